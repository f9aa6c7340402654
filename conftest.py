"""What holds for the tests and for the doctests in the package alike."""

from importlib.util import find_spec

import hypothesis

# The doctests' collector imports every module, and these cannot be imported without PyTorch.
collect_ignore_glob = [] if find_spec("torch") else ["skpc/backends/torch/*"]

# The first example of a test may compile kernels for seconds; that is no reason to fail it.
hypothesis.settings.register_profile("skpc", hypothesis.settings(), deadline=None)
hypothesis.settings.load_profile("skpc")
