"""Everything of scikit-learn that is private, or that older versions lack.

No other file of the package imports a private name: when scikit-learn moves one, this file
changes and nothing else. Supported are scikit-learn 1.6 and newer.
"""

from __future__ import annotations

from typing import Any

import sklearn
from sklearn.base import _fit_context as fit_context
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import validate_data

__all__ = [
    "CallbackSupportMixin",
    "Interval",
    "StrOptions",
    "check_columns",
    "fit_context",
    "has_callbacks",
    "validate_data",
    "validate_params",
    "with_callbacks",
]

try:
    from sklearn.callback import CallbackSupportMixin, with_callbacks
except ImportError:  # before 1.9

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """Stands in for the mixin that gives ``set_callbacks``."""

    def with_callbacks(method):
        """Return the method as it is: there are no callbacks to set up."""
        return method


#: Since 1.9 scikit-learn asks narwhals for the names of columns.
_KNOWS_FRAMES = tuple(int(part) for part in sklearn.__version__.split(".")[:2]) >= (1, 9)


class _NamesOnly:
    """Shape and names of a data frame, in the protocol that older versions ask."""

    def __init__(self, shape: tuple[int, int], names: list[Any]) -> None:
        self.shape = shape
        self._names = names

    def __dataframe__(self) -> _NamesOnly:
        return self

    def column_names(self) -> list[Any]:
        return self._names


def check_columns(estimator: Any, X: Any, names: list[Any], reset: bool) -> None:
    """Check number and names of the columns of a data frame, or write them down with ``reset``."""
    frame = X if _KNOWS_FRAMES else _NamesOnly(X.shape, names)
    validate_data(estimator, frame, reset=reset, skip_check_array=True)


def validate_params(estimator: Any) -> None:
    """Check the arguments of the constructor against ``_parameter_constraints``."""
    estimator._validate_params()


def has_callbacks(estimator: Any) -> bool:
    """Whether callbacks wait for the tasks of a fit: set by the user or by a search around it."""
    return hasattr(estimator, "_skl_callbacks")
