"""Parameter learning: (state, Parameters, mean Statistics, TopDown) -> the same, updated.

One short file a published solver. No solver touches data, knows a backend or a circuit's
shape: all of that is in the statistics.
"""

from .anemone import Anemone
from .base import Solver, SolverState
from .em import EM
from .minibatch_em import MiniBatchEM
from .registry import SOLVERS, resolve_solver
from .schedules import SCHEDULES, scheduled_step

__all__ = [
    "EM",
    "SCHEDULES",
    "SOLVERS",
    "Anemone",
    "MiniBatchEM",
    "Solver",
    "SolverState",
    "resolve_solver",
    "scheduled_step",
]
