"""The scikit-learn face: estimators, the encoding of tables, files on disk.

Estimators are thin: they check input, call the rooms below, and keep what was learnt.
"""

from .density import PCDensityEstimator
from .loading import load
from .mixing import mix

__all__ = ["PCDensityEstimator", "load", "mix"]
