"""Check a wheel and its installed copy: python -I check_wheel.py WHEEL CHECKOUT."""

import sys
from importlib.metadata import version
from pathlib import Path
from zipfile import ZipFile

import numpy as np
from sklearn.datasets import load_iris

import skpc

with ZipFile(sys.argv[1]) as wheel:
    names = wheel.namelist()
tests = [name for name in names if {"tests", "conftest.py"} & set(Path(name).parts)]
strangers = [name for name in names if not name.startswith(("skpc/", "skpc-"))]
assert not tests, f"tests in the wheel: {tests}"
assert not strangers, f"files outside the package: {strangers}"
checkout = Path(sys.argv[2])
sources = [
    path.relative_to(checkout).as_posix()
    for path in checkout.glob("skpc/**/*")
    if path.is_file() and "__pycache__" not in path.parts
]
missing = sorted(set(sources) - set(names))
assert "skpc/py.typed" in sources, f"{checkout} is no checkout of skpc"
assert not missing, f"not in the wheel: {missing}"
assert any(name.endswith("/LICENSE") for name in names), "LICENSE is missing"

assert Path(skpc.__file__).is_relative_to(sys.prefix), f"imported from {skpc.__file__}"
assert skpc.__version__ == version("skpc"), (skpc.__version__, version("skpc"))

X = load_iris().data
model = skpc.PCDensityEstimator(n_components=8, random_state=0).fit(X)
scores = model.score_samples(X)
assert scores.shape == (150,), scores.shape
assert np.isfinite(scores).all(), scores
assert "torch" not in sys.modules, "work on the CPU loaded torch"
print(f"skpc {skpc.__version__} from a wheel: mean log-likelihood {scores.mean():.3f} on iris")
