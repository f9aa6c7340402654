"""From scores to decisions: below which log density a row counts as an outlier."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..utils.quantiles import weighted_quantiles
from .fitting import Model
from .tables import Table

#: "auto" flags rows this many spreads below the lower quartile: Tukey's far outliers.
FAR = 3.0
#: Smallest spread, nats: tables of few distinct rows have no other.
SMALLEST_SPREAD = 1.0


def outlier_offset(
    scores: np.ndarray, sample_weight: np.ndarray | None, contamination: float | str
) -> float:
    """The log density that separates outliers from the other rows.

    Parameters
    ----------
    scores : ndarray of shape (n,)
        Log densities of training rows, nats.
    sample_weight : ndarray of shape (n,) or None
    contamination : float or "auto"
        A share of the rows: the offset is that quantile of the scores. "auto":
        Q1 - 3 max(Q3 - Q1, 1 nat) with the quartiles Q1 and Q3 of the scores, the fence beyond
        which Tukey calls a value far out. Of clean normal data with 1, 2, 10, 50 columns it
        flags 0.7, 0.9, 0.09, 0.009 % in the limit of many rows, and a quarter of the rows may be
        outliers before it moves far.

    Returns
    -------
    float
        Nats.
    """
    if isinstance(contamination, str):
        low, high = weighted_quantiles(scores, sample_weight, [0.25, 0.75]).tolist()
        return low - FAR * max(high - low, SMALLEST_SPREAD)
    return float(weighted_quantiles(scores, sample_weight, [contamination])[0])


@dataclass
class Threshold:
    """An offset, computed when it is asked for: a stream of single rows may never ask.

    Attributes
    ----------
    contamination : float or "auto"
        What the estimator had when it learnt.
    value : float or None
        None until it is computed.
    """

    contamination: float | str
    value: float | None = None

    @classmethod
    def of_rows(cls, model: Model, table: Table, contamination: float | str) -> Threshold:
        """That of a model for the rows it was fitted to."""
        threshold = cls(contamination)
        threshold.compute(model, table.X, table.sample_weight)
        return threshold

    def compute(self, model: Model, X: np.ndarray, sample_weight: np.ndarray | None) -> float:
        """Set the value from rows the model has learnt from."""
        self.value = outlier_offset(model.scores(X), sample_weight, self.contamination)
        return self.value


class DecisionMixin:
    """Decisions by the log density of a row, for estimators with ``score_samples``."""

    _ready_model: Any
    _threshold: Any
    _stream: Any
    score_samples: Any
    fit: Any

    @property
    def offset_(self) -> float:
        """Log density below which a row is an outlier, nats."""
        threshold = getattr(self, "_threshold", None)
        if threshold is None:
            raise AttributeError(f"{type(self).__name__} has no offset_ before fit.")
        if threshold.value is None:
            memory = self._stream.memory
            return threshold.compute(self._ready_model(), memory.X, memory.sample_weight)
        return threshold.value

    @offset_.setter
    def offset_(self, value: float) -> None:
        if getattr(self, "_threshold", None) is None:
            raise AttributeError(f"{type(self).__name__} has no offset_ before fit.")
        if np.isnan(value):
            raise ValueError(f"offset_={value!r} must be a number, a log density in nats.")
        self._threshold = Threshold(self._threshold.contamination, float(value))

    def decision_function(self, X):
        """How far the log density of every row lies above ``offset_``.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,), float64
            Nats; negative for outliers.
        """
        scores, offset = self.score_samples(X), self.offset_
        if np.isneginf(offset):
            # So many training rows were impossible that only such rows are below any line.
            return np.where(np.isneginf(scores), -np.inf, np.inf)
        return scores - offset

    def predict(self, X):
        """Tell outliers from other rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,), int
            -1 for rows with a log density below ``offset_``, else +1.
        """
        return np.where(self.decision_function(X) < 0, -1, 1)

    def fit_predict(self, X, y=None, sample_weight=None):
        """Fit, and tell the outliers of the training rows from the others.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : Ignored
        sample_weight : array-like of shape (n_samples,), optional

        Returns
        -------
        ndarray of shape (n_samples,), int
            -1 for outliers, else +1.
        """
        return self.fit(X, sample_weight=sample_weight).predict(X)
