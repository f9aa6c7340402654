"""Probabilistic circuits for scikit-learn users: exact densities of tables.

Start with :class:`PCDensityEstimator`. Reading order: ``estimators/density.py``,
``training/loop.py``, ``solvers/anemone.py``, then ``circuit/`` and ``backends/``.
"""

from .estimators import PCDensityEstimator, load, mix

__version__ = "0.1.0"

__all__ = ["PCDensityEstimator", "__version__", "load", "mix"]
