"""The contract between what a circuit is and how it is computed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import numpy as np

from ..circuit import Parameters, Program, Statistics


class TopDown(NamedTuple):
    """Probability that a unit is used by a draw from the circuit, tied copies added up.

    It is the flow of a row whose cells are all missing, and the mean flow of the circuit's
    own samples.

    Attributes
    ----------
    rows : ndarray of shape (n_rows,)
        Of every unit of every sum, by normaliser row.
    leaves : list of ndarray of shape (family units,)
    """

    rows: np.ndarray
    leaves: list[np.ndarray]


#: Below the smallest normal number, quotients lose their digits and reciprocals overflow.
SMALLEST = float(np.finfo(np.float64).tiny)


class Mixing(NamedTuple):
    """A step of the EM family: θ'_nc ∝ (1 - α) u_n θ_nc + α F̄_nc, for every unit n.

    Means of leaves are mixed by the same shares. A unit for which old and new together weigh less
    than ``SMALLEST`` stays as it is.

    Attributes
    ----------
    step : float
        α in [0, 1].
    by_top_down : bool
        Whether u_n is the top-down probability of the unit, or the flow that the batch sent it, by
        which every unit moves as far.
    """

    step: float
    by_top_down: bool


class Learnt(NamedTuple):
    """What a backend made of some batches.

    Attributes
    ----------
    n : int
        Batches that were learnt, the first ones.
    log_likelihood, weight : float
        Their sums, each with the parameters before its step.
    parameters : Parameters
        After these steps.
    statistics : Statistics or None
        Of the next batch, if it was passed but its step is still to be taken.
    """

    n: int
    log_likelihood: float
    weight: float
    parameters: Parameters
    statistics: Statistics | None


#: What a backend adds to the statistics on request: see ``Statistics.extra``.
WANTED = ("squares", "curvature")


#: The way out of what shared weights forbid.
UNTIE = "Give every place weights of its own, as HMM(homogeneous=False) does."


def check_wanted(program: Program, wanted: tuple[str, ...]) -> None:
    """Refuse unknown names, and second derivatives of circuits that share weights."""
    if not wanted:
        return
    unknown = sorted(set(wanted) - set(WANTED))
    if unknown:
        raise ValueError(f"wanted names {unknown[0]!r}, which is not known; use some of {WANTED}.")
    if any(node.share is not None for node in program.circuit.sums):
        raise ValueError(
            "Second derivatives are only computed for circuits without shared weights: where one "
            "weight is used at several places, the second derivative by it is not minus the "
            "square of the first, and the trace has terms that this formula lacks. "
            f"{UNTIE}"
        )


class Backend(ABC):
    """One way to compute a program.

    Rows are given as an array (n, n_variables) of numbers, NaN for missing cells; columns
    with finite families hold codes 0..n_states-1.
    """

    program: Program
    #: Precision of the values inside the circuit.
    dtype: np.dtype
    #: Threads; None means the allowed cores.
    n_jobs: int | None
    #: Where it computes, as an estimator names it: "cpu", "torch", "cuda", "cuda:1", ….
    device: str = "cpu"
    #: To what the factors of products may be rounded in ``statistics``: "tf32", "bfloat16" or None.
    products: str | None = None

    #: Whether parameters may stay where it computes during a training: see ``taken``.
    keeps_parameters = False

    def taken(self, thing: Any) -> Any:
        """Parameters, statistics or a dict of arrays as this backend holds them; None is None."""
        return thing

    def given(self, thing: Any) -> Any:
        """The same with numpy arrays."""
        return thing

    def recorded(self, run: Callable[..., Any]) -> Callable[..., Any] | None:
        """A function that does the same faster from its second call on; None where nothing does.

        Parameters
        ----------
        run : callable
            From a number, a dict of arrays as this backend holds them, Parameters, and Statistics
            to such a dict and Parameters: those that come next. It does the same operations
            whatever is in the arrays, may write over its arguments, and takes the number as an
            array of one as well.
        """
        return None

    def at_work(self) -> AbstractContextManager:
        """Around many calls: what each of them would set and reset."""
        return nullcontext()

    def prepared(self, parameters: Parameters) -> Any:
        """Parameters as this backend reads them: ``statistics`` and ``log_likelihood`` take it in
        their place, which saves time where few rows are computed at once."""
        return parameters

    @abstractmethod
    def log_likelihood(self, parameters: Parameters, X: np.ndarray) -> np.ndarray:
        """Natural log density of every row, float64 of shape (n,)."""

    @abstractmethod
    def statistics(
        self,
        parameters: Parameters,
        X: np.ndarray,
        sample_weight: np.ndarray | None = None,
        wanted: tuple[str, ...] = (),
        top_down: bool = False,
    ) -> Statistics:
        """Sums of flows and leaf statistics over the rows, and what is ``wanted`` beside them.

        In arrays of the caller, who may write over them.

        Parameters
        ----------
        parameters : Parameters
        X : ndarray of shape (n, n_variables)
        sample_weight : ndarray of shape (n,), optional
        wanted : tuple of str
            Names of :data:`WANTED`: they come in ``Statistics.extra``. Not for tied circuits.
        top_down : bool, default=False
            Whether the next call is :meth:`top_down` of the same parameters: a backend may
            compute it beside.
        """

    def most_batches(self, n_rows: int) -> int:
        """How many batches of so many rows :meth:`learn` can make use of in one call."""
        return 1

    def learn(
        self,
        parameters: Parameters,
        batches: list[tuple[np.ndarray, np.ndarray | None]],
        mixings: list[Mixing],
        smoothing: Statistics | None,
    ) -> Learnt:
        """Learn one or more of the batches, each with its step, where that is faster at once.

        Parameters
        ----------
        parameters : Parameters
            Their arrays must not be changed afterwards: what the last call returned is known again.
        batches : list of (rows, weights or None)
            As in :meth:`statistics`, at least one.
        mixings : list of Mixing
            A step for each.
        smoothing : Statistics or None
            Added to the mean statistics.
        """
        X, weight = batches[0]
        total = self.statistics(parameters, X, weight, (), mixings[0].by_top_down)
        return Learnt(0, 0.0, 0.0, parameters, total)

    @abstractmethod
    def top_down(self, parameters: Parameters) -> TopDown:
        """Data-free probability of every unit (normalised circuits)."""
