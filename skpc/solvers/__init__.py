"""Parameter learning: (state, Parameters, mean Statistics, TopDown) -> the same, updated.

One short file a published solver. No solver touches data or knows a circuit's shape: all of
that is in the statistics. The flat loop over all weights is a backend's kernel.
"""

from .adam import Adam
from .anemone import Anemone, unit_steps
from .base import Solver, SolverState, StepSolver
from .coordinates import Coordinates
from .em import EM
from .gradient import GradientSolver
from .minibatch_em import MiniBatchEM
from .registry import SOLVERS, resolve_solver
from .schedules import SCHEDULES, Constant, Cosine, Schedule, resolve_schedule, scheduled_step
from .sgd import SGD
from .sharpness_em import SharpnessEM

__all__ = [
    "EM",
    "SCHEDULES",
    "SGD",
    "SOLVERS",
    "Adam",
    "Anemone",
    "Constant",
    "Coordinates",
    "Cosine",
    "GradientSolver",
    "MiniBatchEM",
    "Schedule",
    "SharpnessEM",
    "Solver",
    "SolverState",
    "StepSolver",
    "resolve_schedule",
    "resolve_solver",
    "scheduled_step",
    "unit_steps",
]
