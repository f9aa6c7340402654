"""Everything of scikit-learn that is private, or that older versions lack.

No other file of the package imports a private name: when scikit-learn moves one, this file
changes and nothing else. Supported are scikit-learn 1.6 and newer.
"""

from __future__ import annotations

from typing import Any

from sklearn.base import _fit_context as fit_context
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import validate_data

__all__ = [
    "CallbackSupportMixin",
    "Interval",
    "StrOptions",
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


def validate_params(estimator: Any) -> None:
    """Check the arguments of the constructor against ``_parameter_constraints``."""
    estimator._validate_params()


def has_callbacks(estimator: Any) -> bool:
    """Whether callbacks wait for the tasks of a fit: set by the user or by a search around it."""
    return hasattr(estimator, "_skl_callbacks")
