"""From a circuit and a source of data to learnt parameters: start values and the loop.

The loop knows sources of batches, solvers and backends by their contracts, never arrays,
estimators or files.
"""

from .defaults import default_batch_size, default_passes, refining_passes
from .initialise import initial_parameters, leaf_priors
from .linear_ascent import linear_ascent
from .loop import EpochRecord, Monitor, TrainingResult, train
from .shrinkage import ReadOut, covariance_shrinkage
from .smoothing import smoothing_statistics
from .sources import ArraySource, Source
from .stream import Learnt, OpenBatch, Piece, ToLearn, learn_stream

__all__ = [
    "ArraySource",
    "EpochRecord",
    "Learnt",
    "Monitor",
    "OpenBatch",
    "Piece",
    "ReadOut",
    "Source",
    "ToLearn",
    "TrainingResult",
    "covariance_shrinkage",
    "default_batch_size",
    "default_passes",
    "initial_parameters",
    "leaf_priors",
    "learn_stream",
    "linear_ascent",
    "refining_passes",
    "smoothing_statistics",
    "train",
]
