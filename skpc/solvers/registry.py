"""Solvers by name."""

from __future__ import annotations

from sklearn.base import clone

from .adam import Adam
from .anemone import Anemone
from .base import Solver
from .em import EM
from .minibatch_em import MiniBatchEM
from .sgd import SGD
from .sharpness_em import SharpnessEM

SOLVERS: dict[str, type[Solver]] = {
    "adam": Adam,
    "anemone": Anemone,
    "em": EM,
    "minibatch_em": MiniBatchEM,
    "sgd": SGD,
    "sharpness_em": SharpnessEM,
}


def resolve_solver(solver: str | Solver) -> Solver:
    """A fresh, checked solver from a name or from an object, which is cloned."""
    if isinstance(solver, str):
        if solver not in SOLVERS:
            raise ValueError(
                f"solver={solver!r} is not known; use one of {sorted(SOLVERS)} or a Solver object."
            )
        made = SOLVERS[solver]()
    elif isinstance(solver, Solver):
        made = clone(solver)
    else:
        raise ValueError(f"solver={solver!r} must be one of {sorted(SOLVERS)} or a Solver object.")
    made.check()
    return made
