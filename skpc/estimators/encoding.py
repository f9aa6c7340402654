"""A user's columns as circuits read them: codes, and numbers brought to unit scale."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..distributions import Bernoulli, Categorical, Distribution, Gaussian

BINARY, CATEGORICAL, CONTINUOUS = range(3)
#: An integer column with more distinct values than this is treated as a number.
MAX_CATEGORIES = 64


class TableEncoder:
    """Learns how every column is encoded; rows are then encoded as they are needed.

    - *binary*: only 0 and 1 occur, and the user does not name it; the codes are the values.
    - *categorical*: the columns that the user names; where nobody names any, whole-number and
      boolean columns with at most 64 distinct values. One more code, the last, is kept for
      categories never seen.
    - *continuous*: (x - shift) / scale with robust float64 moments; ``log_scale`` brings
      densities back to the user's units.

    Attributes
    ----------
    kinds : ndarray of shape (n_columns,)
    categories : list of ndarray or None
        Sorted categories of every categorical column.
    shift, scale : ndarray of shape (n_columns,)
    distributions : list of Distribution
    """

    def fit(
        self,
        X: np.ndarray,
        sample_weight: np.ndarray | None = None,
        categorical: np.ndarray | None = None,
    ) -> TableEncoder:
        """Look at every column once; ``categorical`` is a mask of columns the user names, None
        where their dtype decides."""
        n_columns = X.shape[1]
        self.kinds = np.full(n_columns, CONTINUOUS)
        self.categories: list[np.ndarray | None] = [None] * n_columns
        self.shift = np.zeros(n_columns)
        self.scale = np.ones(n_columns)
        whole = X.dtype.kind in "biu" and categorical is None
        for j in range(n_columns):
            column = X[:, j]
            named = categorical is not None and bool(categorical[j])
            if not named and _only_zero_and_one(column):
                self.kinds[j] = BINARY
                continue
            values = np.unique(column) if whole or named else None
            if values is not None and (named or len(values) <= MAX_CATEGORIES):
                self.kinds[j] = CATEGORICAL
                self.categories[j] = values[~np.isnan(values.astype(float))]
            else:
                self.shift[j], self.scale[j] = _moments(column, sample_weight)
        self._finish()
        return self

    def _finish(self) -> None:
        self.distributions: list[Distribution] = [self._family(j) for j in range(len(self.kinds))]
        self.log_scale = np.where(self.kinds == CONTINUOUS, np.log(self.scale), 0.0)

    def _family(self, j: int) -> Distribution:
        if self.kinds[j] == BINARY:
            return Bernoulli()
        categories = self.categories[j]
        if categories is not None:
            return Categorical(max(2, len(categories) + 1))
        return Gaussian()

    def transform(self, X: np.ndarray) -> np.ndarray:
        """Encoded rows, float64 with NaN for missing cells; whole-number tables of binary
        columns are returned as they are."""
        if X.dtype.kind in "bu" and (self.kinds == BINARY).all():
            if X.size and X.max() > 1:
                self._refuse_binary(X)
            return X
        out = np.array(X, dtype=np.float64)
        binary = self.kinds == BINARY
        if binary.any():
            part = out[:, binary]
            if not (np.isnan(part) | (part == 0) | (part == 1)).all():
                self._refuse_binary(X)
        continuous = self.kinds == CONTINUOUS
        if continuous.any():
            with np.errstate(over="ignore"):
                z = (out[:, continuous] - self.shift[continuous]) / self.scale[continuous]
            out[:, continuous] = np.clip(z, -1e150, 1e150)
        for j in np.flatnonzero(self.kinds == CATEGORICAL):
            categories = np.asarray(self.categories[j], dtype=np.float64)
            column = out[:, j]
            code = np.searchsorted(categories, column)
            # A NaN at the end equals nothing, so that what lies above the last is not known.
            known = np.append(categories, np.nan)[code] == column
            code = np.where(known, code, len(categories)).astype(np.float64)
            out[:, j] = np.where(np.isnan(column), np.nan, code)
        return out

    def _refuse_binary(self, X: np.ndarray) -> None:
        for j in np.flatnonzero(self.kinds == BINARY):
            column = np.asarray(X[:, j], dtype=np.float64)
            wrong = ~(np.isnan(column) | (column == 0) | (column == 1))
            if wrong.any():
                row = int(np.flatnonzero(wrong)[0])
                raise ValueError(
                    f"Column {j} held only 0 and 1 when the model was fitted, but row {row} has "
                    f"{column[row]:g} there. Pass NaN where the value is unknown, or name the "
                    "column in categorical_features before fitting."
                )

    def inverse_transform(self, Z: np.ndarray) -> np.ndarray:
        """Rows in the user's units; the code for unseen categories becomes the first one."""
        out = np.array(Z, dtype=np.float64)
        continuous = self.kinds == CONTINUOUS
        out[:, continuous] = out[:, continuous] * self.scale[continuous] + self.shift[continuous]
        for j in np.flatnonzero(self.kinds == CATEGORICAL):
            categories = np.asarray(self.categories[j], dtype=np.float64)
            code = out[:, j]
            if not len(categories):
                out[:, j] = np.nan
                continue
            known = np.where(np.isnan(code) | (code >= len(categories)), 0, code).astype(int)
            out[:, j] = np.where(np.isnan(code), np.nan, categories[known])
        return out

    def log_jacobian(self, X: np.ndarray) -> np.ndarray:
        """Log density of the user's units over that of encoded rows, (n,), nats."""
        used = self.log_scale != 0
        if not used.any():
            return np.zeros(len(X))
        return -((~np.isnan(X[:, used].astype(np.float64))) @ self.log_scale[used])

    # -- files ------------------------------------------------------------------------

    def to_arrays(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Arrays and a JSON-able header."""
        arrays = {"kinds": self.kinds.astype(np.int64), "shift": self.shift, "scale": self.scale}
        header = {
            "categories": [None if c is None else c.astype(float).tolist() for c in self.categories]
        }
        return arrays, header

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray], header: dict[str, Any]) -> TableEncoder:
        """What :meth:`to_arrays` wrote."""
        self = cls()
        self.kinds, self.shift, self.scale = arrays["kinds"], arrays["shift"], arrays["scale"]
        self.categories = [None if c is None else np.array(c) for c in header["categories"]]
        self._finish()
        return self


class IdentityEncoder(TableEncoder):
    """For a hand-made circuit: cells are read as they are, families come from its leaves."""

    def fit(self, X, sample_weight=None, categorical=None):
        n_columns = X.shape[1]
        self.kinds = np.full(n_columns, CONTINUOUS)
        self.categories = [None] * n_columns
        self.shift, self.scale = np.zeros(n_columns), np.ones(n_columns)
        self._finish()
        return self


def _only_zero_and_one(column: np.ndarray) -> bool:
    if column.dtype.kind == "b":
        return True
    if column.dtype.kind in "iu":
        return bool(column.min() >= 0 and column.max() <= 1)
    # A column of numbers that happens to be constant is not yet a binary one.
    zero, one = column == 0, column == 1
    return bool(zero.any() and one.any() and (zero | one | np.isnan(column)).all())


def _moments(column: np.ndarray, sample_weight: np.ndarray | None) -> tuple[float, float]:
    """Weighted mean and standard deviation, safe for values from 1e-300 to 1e300."""
    x = np.asarray(column, dtype=np.float64)
    weight = np.ones(len(x)) if sample_weight is None else sample_weight
    seen = ~np.isnan(x) & (weight > 0)
    x, weight = x[seen], weight[seen]
    if not x.size:
        return 0.0, 1.0
    size = float(np.abs(x).max())
    unit = 1.0 if size == 0 or 1e-100 < size < 1e100 else size
    share = weight / weight.sum()
    mean = float(np.dot(share, x / unit))
    deviation = float(np.sqrt(np.dot(share, (x / unit - mean) ** 2)))
    mean, deviation = mean * unit, deviation * unit
    # A column without variance keeps its units; rounding alone must not become a scale.
    if not deviation > 1e-12 * max(abs(mean), np.finfo(float).tiny):
        return mean, 1.0
    return mean, deviation
