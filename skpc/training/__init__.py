"""From a circuit and a source of data to learnt parameters: start values and the loop.

The loop knows sources of batches, solvers and backends by their contracts, never arrays,
estimators or files.
"""

from .initialise import initial_parameters
from .loop import EpochRecord, TrainingResult, train
from .smoothing import smoothing_statistics
from .sources import ArraySource, Source

__all__ = [
    "ArraySource",
    "EpochRecord",
    "Source",
    "TrainingResult",
    "initial_parameters",
    "smoothing_statistics",
    "train",
]
