"""Which distribution the leaves of a column get: what the user says, else what fits it best."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from ..distributions import (
    DISTRIBUTIONS,
    Beta,
    Binomial,
    CountDistribution,
    DiscretisedLogistic,
    Distribution,
    Gaussian,
    LogNormal,
    NegativeBinomial,
    Poisson,
    resolve_distribution,
)
from ..utils.quantiles import weighted_quantiles
from .scaling import robust_moments

#: Families that no single column can have, or that only circuits made by hand use.
_NOT_FOR_COLUMNS = ("factor_gaussian", "indicator", "multivariate_gaussian")
#: Distinct values that are looked at, at most.
MOST_VALUES = 256
#: Rows that they are taken from, at most: a draw from long tables.
MOST_ROWS = 1 << 15
#: Units of the small mixtures that families are compared by.
UNITS = (1, 2, 4)
PASSES = 40
#: By so many nats a row another family must fit better than a Gaussian.
MARGIN = 0.05
#: Whole numbers of a larger standard deviation are as good as any numbers.
MANY_STEPS = 10
#: Variance at which a normal density is at most one, so that at whole numbers it is like a mass.
STEP_VARIANCE = 1 / (2 * np.pi)
#: Squares of larger numbers are no numbers of float64.
LARGEST = 1e100
#: Log masses of larger counts are differences of numbers so large that digits are missing.
LARGEST_COUNT = 1e9
#: Units of a circuit are narrower than the column: by so much their dispersion is larger.
NARROWER = 4
#: A value that more than this share of the cells has is worth telling.
SPIKE = 0.2
#: And a beta, which unlike Gaussians, log-normal ones too, stands apart from the other columns: by
#: 0.07 nats five columns of breast_cancer asked for it, and all together lost 1.8 by it.
BETA_MARGIN = 0.25
#: Fewest rows that another family is chosen from.
FEWEST = 20


class Leaf(NamedTuple):
    """The distribution of a column's leaves, in the user's units, and why it has it."""

    distribution: Distribution
    why: str


def named_leaves(
    leaves: Any, n_columns: int, names: list[Any] | None = None
) -> dict[int, str | Distribution] | str | Distribution:
    """The argument ``leaves`` with columns by number; one for all columns stays as it is.

    Parameters
    ----------
    leaves : str, Distribution or mapping
    n_columns : int
    names : list of str, optional
        Of the columns.

    Raises
    ------
    ValueError
        For columns that are not there, and distributions that a column cannot have.
    """
    if not isinstance(leaves, Mapping):
        _check_leaf(leaves, "leaves")
        return leaves
    places = {name: j for j, name in enumerate(names or [])}
    out: dict[int, str | Distribution] = {}
    for column, leaf in leaves.items():
        is_place = isinstance(column, int | np.integer) and not isinstance(column, bool)
        if column in places:
            place = places[column]
        elif is_place and 0 <= column < n_columns:
            place = int(column)
        else:
            known = f"names of its columns ({list(places)[:5]} ...)" if places else "their numbers"
            raise ValueError(
                f"leaves names the column {column!r}, which X does not have; give {known}, from 0 "
                f"to {n_columns - 1} where they are counted."
            )
        _check_leaf(leaf, f"leaves[{column!r}]")
        if place in out:
            raise ValueError(
                f"leaves names column {place} twice, once as {column!r}; once is enough."
            )
        out[place] = leaf
    return out


def _check_leaf(leaf: Any, name: str) -> None:
    known = sorted(set(DISTRIBUTIONS) - set(_NOT_FOR_COLUMNS))
    wrong = isinstance(leaf, Distribution) and leaf.name in _NOT_FOR_COLUMNS
    if wrong or not isinstance(leaf, str | Distribution):
        raise ValueError(
            f"{name}={leaf!r} must be 'auto', one of {known}, or an object of skpc.distributions "
            "that describes one column."
        )
    if isinstance(leaf, str) and leaf != "auto" and leaf not in known:
        raise ValueError(f"{name}={leaf!r} is not known; use 'auto' or one of {known}.")


def completed(leaf: str | Distribution, column: np.ndarray, weight: np.ndarray | None):
    """The distribution of a name, with what it needs to know of a column of numbers.

    Returns
    -------
    Distribution
    shift : float
        What its first state is in the user's units.
    """
    if isinstance(leaf, Distribution):
        return leaf, 0.0
    x, w = _distinct(column, weight)
    low, high = (float(x[0]), float(x[-1])) if len(x) else (0.0, 1.0)
    if leaf == "binomial":
        return Binomial(max(1, int(min(high, 1e6)))), 0.0
    if leaf == "discretised_logistic":
        return DiscretisedLogistic(int(min(max(3.0, high - low + 1), 1e5))), low
    if leaf == "negative_binomial":
        return NegativeBinomial(NARROWER * _size(x, w)), 0.0
    return resolve_distribution(leaf), 0.0


def unit_of_steps(family: Distribution) -> float | None:
    """In which units the leaves that `choose_leaf` has made for whole numbers take them."""
    if isinstance(family, Gaussian) and family != Gaussian():
        return float((STEP_VARIANCE / family.variance_floor) ** 0.5)
    return None


def _normal_of_steps(scale: float) -> tuple[Gaussian, float]:
    """Normal leaves of whole numbers, and the unit that they take them in.

    Powers of two, so that many columns have the same family and are computed together.
    """
    unit = max(1.0, 2.0 ** float(np.round(np.log2(scale))))
    floor = STEP_VARIANCE / unit**2
    return (Gaussian(floor), unit) if floor > Gaussian().variance_floor else (Gaussian(), scale)


def choose_leaf(column: np.ndarray, sample_weight: np.ndarray | None, counts: bool = True) -> Leaf:
    """The family that fits a column of numbers best.

    Mixtures of 1, 2 and 4 units of every family that can take all values are compared by the
    Bayesian information criterion: for whole numbers from 0 on Poisson and negative binomial,
    for positive numbers log-normal, between 0 and 1 beta. Another family than the Gaussian must
    be ahead of it by 0.05 nats a row, of one unit and of several, a beta by 0.25; for whole
    numbers of a standard deviation up to 10 it must not be behind by 0.05. Gaussian units of
    whole numbers have a standard deviation of at least 0.4, and so a density of at most one.

    Parameters
    ----------
    column : ndarray of shape (n,)
        NaN is missing.
    sample_weight : ndarray of shape (n,) or None
    counts : bool, default=True
        Whether it may be a column of counts, as far as other columns go.

    Returns
    -------
    Leaf

    Examples
    --------
    >>> import numpy as np
    >>> choose_leaf(np.exp(np.random.default_rng(0).normal(size=500)), None).distribution
    LogNormal(variance_floor=0.001)
    """
    cells = _seen(column, sample_weight)
    if not len(cells):
        return Leaf(Gaussian(), "no cell has a value")
    low, high = float(cells.min()), float(cells.max())
    whole = bool((cells == np.floor(cells)).all())
    words = f"{'whole ' if whole else ''}numbers from {low:.4g} to {high:.4g}"
    if low == high:
        return Leaf(Gaussian(), f"one value only, {low:.4g}")
    if max(-low, high) > LARGEST:
        return Leaf(Gaussian(), words)
    x, weight = _distinct(column, sample_weight)
    total = weight.sum()
    shift, scale = robust_moments(x, weight)
    normal, unit = _normal_of_steps(scale) if whole else (Gaussian(), scale)
    if len(x) < 2 or total < FEWEST:
        return Leaf(normal, f"{words}, too few to tell more")
    often = int(weight.argmax())
    if not whole and weight[often] > SPIKE * total:
        share = weight[often] / total
        words += f", {share:.0%} of them {x[often]:.4g}: a narrow normal stands for these"
    candidates: list[Distribution] = []
    if not counts:
        words += ", closer to other columns than counts can be"
    elif whole and low >= 0 and high <= LARGEST_COUNT:
        candidates = [Poisson()]
        if _size(x, weight) < 1e6:
            candidates.append(NegativeBinomial(NARROWER * _size(x, weight)))
    if low > 0 and (not whole or scale > MANY_STEPS):
        candidates.append(LogNormal())
    if low > 0 and high < 1:
        candidates.append(Beta())
    if not candidates:
        return Leaf(normal, words)
    words_tried = f"{words}; not enough better: {', '.join(c.name for c in candidates)}"
    margin = -MARGIN if whole and scale <= MANY_STEPS else MARGIN
    z = (x - shift) / unit
    one_normal = _criterion(normal, z, weight, UNITS[:1]) / total - np.log(unit)
    # Several normal units follow what a single one misses: who is not ahead of one may go, but
    # for counts, of which a unit may be much narrower than the column.
    candidates = [
        family
        for family in candidates
        if isinstance(family, CountDistribution)
        or _criterion(family, x, weight, UNITS[:1]) / total > one_normal + margin
    ]
    if not candidates:
        return Leaf(normal, words_tried)
    plain = _criterion(normal, z, weight) / total - np.log(unit)
    best, gain = None, margin
    for family in candidates:
        ahead = _criterion(family, x, weight) / total - plain
        if isinstance(family, Beta) and ahead < BETA_MARGIN:
            continue
        # Units of a circuit are many: what several Poisson ones follow needs no wider family.
        wider = MARGIN if isinstance(family, NegativeBinomial) and best is not None else 0.0
        if ahead > gain + wider:
            best, gain = family, ahead
    if best is None:
        return Leaf(normal, words_tried)
    if gain < MARGIN:
        return Leaf(best, f"{words}: counts in small steps")
    return Leaf(best, f"{words}, {gain:.2f} nats a row better than Gaussian")


def _seen(column: np.ndarray, weight: np.ndarray | None) -> np.ndarray:
    """The cells that have a value, in rows that have weight."""
    column = np.asarray(column, dtype=np.float64)
    seen = ~np.isnan(column)
    return column[seen if weight is None else seen & (weight > 0)]


def _distinct(column: np.ndarray, weight: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Distinct values in order and their weights: as they are, or quantiles if there are many."""
    column = np.asarray(column, dtype=np.float64)
    seen = ~np.isnan(column)
    weight = np.ones(len(column)) if weight is None else weight
    x, w = column[seen], weight[seen]
    if len(x) > MOST_ROWS:
        drawn = np.unique(np.random.RandomState(0).randint(len(x), size=MOST_ROWS))
        x, w = x[drawn], w[drawn]
    values, place = np.unique(x, return_inverse=True)
    if len(values) <= MOST_VALUES:
        return values, np.bincount(place, weights=w, minlength=len(values))
    levels = (np.arange(MOST_VALUES) + 0.5) / MOST_VALUES
    values, place = np.unique(weighted_quantiles(x, w, levels.tolist()), return_inverse=True)
    return values, np.bincount(place) * (w.sum() / MOST_VALUES)


def _size(x: np.ndarray, weight: np.ndarray) -> float:
    if not len(x):
        return 1.0
    mean = float(np.average(x, weights=weight))
    return NegativeBinomial.size_from_moments(
        mean, float(np.average((x - mean) ** 2, weights=weight))
    )


def _criterion(family: Distribution, x: np.ndarray, weight: np.ndarray, units=UNITS) -> float:
    """Log-likelihood of the best small mixture, less its penalty: -BIC/2, nats."""
    total = weight.sum()
    best = -np.inf
    for n_units in units:
        if n_units > len(x):
            break
        fit = _mixture_likelihood(family, x, weight, n_units)
        n_parameters = n_units * (family.n_statistics + 1) - 1
        best = max(best, fit - 0.5 * n_parameters * np.log(total))
    return best


def _mixture_likelihood(family, x, weight, n_units: int) -> float:
    """Of a mixture by EM that starts from slices of the sorted values."""
    share = (np.cumsum(weight) - 0.5 * weight) / weight.sum()
    slices = np.minimum((share * n_units).astype(int), n_units - 1)
    flow = weight[:, None] * (slices[:, None] == np.arange(n_units))
    # Slices without a value.
    flow = flow[:, flow.sum(axis=0) > 0]
    before = -np.inf
    for _ in range(PASSES):
        sums = family.flow_statistics(np.zeros((flow.shape[1], family.n_statistics)), x, flow)
        mean = family.project(sums[:, 1:] / np.maximum(sums[:, :1], np.finfo(float).tiny))
        with np.errstate(divide="ignore"):
            terms = family.log_density(mean, x) + np.log(sums[:, :1] / sums[:, 0].sum())
        top = terms.max(axis=0)
        values = np.exp(terms - top)
        likelihood = float(weight @ (top + np.log(values.sum(axis=0))))
        if likelihood < before + 1e-4 * weight.sum():
            break
        before = likelihood
        flow = (weight * values / values.sum(axis=0)).T
    return likelihood
