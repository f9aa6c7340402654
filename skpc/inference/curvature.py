"""How sharp a fitted circuit is: second derivatives of the log-likelihood by its sum weights.

At a sharp maximum the likelihood of new rows falls off quickly: Suresh et al., "Tractable
sharpness-aware learning of probabilistic circuits", arXiv 2508.05537. A circuit is linear in each
of its weights, so the trace of the Hessian is minus a sum of squares of first derivatives and
costs about as much as a pass of learning. Weights are taken as linear and free, also those that
are zero; a unit that gives a row no probability counts nothing for it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..backends import Backend
from ..circuit import Parameters


class SharpnessGradient(NamedTuple):
    """Sharpness and where it rises.

    Attributes
    ----------
    sharpness : float
        Mean over the rows of Σ g², which is minus the trace of the Hessian.
    weights : ndarray of shape (n_weights,)
        Its derivative by every linear weight.
    leaves : list of ndarray of shape (family units, 1 + n_statistics)
        Its derivative by the log density of every leaf unit, summed over the rows in which the
        cell is there (column 0), and the same times the sufficient statistics: the derivative
        by a natural parameter is that less column 0 times the mean parameter.
    """

    sharpness: float
    weights: np.ndarray
    leaves: list[np.ndarray]


def hessian_trace(
    backend: Backend,
    parameters: Parameters,
    X: np.ndarray,
    sample_weight: np.ndarray | None = None,
) -> float:
    """Trace of the Hessian of the mean log-likelihood by the linear sum weights.

    It is -Σ g² averaged over the rows, with g the derivative of log p by a weight: never
    positive, and the larger in size, the sharper the maximum. It compares models of one circuit
    on one set of rows; wider circuits have more weights, hence larger traces.

    Parameters
    ----------
    backend : Backend
        What computes; float32 gives about six digits.
    parameters : Parameters
    X : ndarray of shape (n, n_variables)
        Encoded rows, NaN for missing cells.
    sample_weight : ndarray of shape (n,), optional

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If the circuit has shared weights, for which the formula is false.

    Examples
    --------
    >>> import numpy as np
    >>> from skpc.backends.numba_cpu import NumbaBackend
    >>> from skpc.circuit import Circuit, Input, Parameters, Product, Program, Sum
    >>> leaves = [Input(i, "bernoulli", 2, mean=[0.9, 0.1]) for i in range(2)]
    >>> program = Program(Circuit(Sum(Product(leaves), weights=[0.5, 0.5])))
    >>> backend = NumbaBackend(program, np.float64)
    >>> round(hessian_trace(backend, Parameters.uniform(program), np.array([[1.0, 1.0]])), 2)
    -3.9
    """
    return float(hessian_diagonal(backend, parameters, X, sample_weight).sum())


def hessian_diagonal(
    backend: Backend,
    parameters: Parameters,
    X: np.ndarray,
    sample_weight: np.ndarray | None = None,
) -> np.ndarray:
    """The diagonal of the Hessian, one entry a weight: which edges are sharp.

    Arguments, errors and units as for :func:`hessian_trace`.

    Returns
    -------
    ndarray of shape (n_weights,)
    """
    statistics = backend.statistics(parameters, X, sample_weight, ("squares",)).mean()
    return -statistics.extra["squares"]


def sharpness_gradient(
    backend: Backend,
    parameters: Parameters,
    X: np.ndarray,
    sample_weight: np.ndarray | None = None,
) -> SharpnessGradient:
    """Sharpness, the mean of Σ g², and its gradient: 2 H g, by two more passes over the rows.

    Arguments and errors as for :func:`hessian_trace`.
    """
    statistics = backend.statistics(parameters, X, sample_weight, ("squares", "curvature")).mean()
    extra = statistics.extra
    leaves = [extra[f"curvature_{f}"] for f in range(len(parameters.leaves))]
    return SharpnessGradient(float(extra["squares"].sum()), extra["curvature"], leaves)


def degree_of_overfitting(train: float, test: float) -> float:
    """(NLL_test - NLL_train) / |NLL_train|, from mean log-likelihoods in nats a row.

    Examples
    --------
    >>> round(degree_of_overfitting(train=-5.0, test=-6.0), 3)
    0.2
    """
    if train == 0:
        raise ValueError("train=0: the degree of overfitting is relative to that value.")
    return (train - test) / abs(train)
