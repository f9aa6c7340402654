"""Full-batch expectation maximisation."""

from __future__ import annotations

from ..backends import Mixing
from .base import StepSolver
from .mixing import mix


class EM(StepSolver):
    """θ'_nc ∝ F̄_nc over the whole data set: eq. 5 of Liu, Shao and Van den Broeck,
    arXiv 2505.19982 [1]_.

    Without pseudocount and floors the likelihood of the data never falls.

    References
    ----------
    .. [1] Liu, Shao & Van den Broeck, "Rethinking probabilistic circuit parameter learning",
       arXiv 2505.19982.

    Examples
    --------
    >>> from skpc.solvers import EM
    >>> EM()
    EM()
    """

    full_batch = True

    def next_step(self, state):
        """All the way."""
        return 1.0

    def take_step(self, step, state, parameters, statistics, top_down):
        """Replace the parameters by what the flows say."""
        return {}, mix(parameters, Mixing(step, by_top_down=False), statistics, None)
