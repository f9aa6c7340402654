"""Questions about the maximum that an estimator found."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from ..inference import Landscape, hessian_trace, loss_landscape
from .tables import check_table


class CurvatureMixin:
    """How sharp the maximum of the likelihood is, for estimators with a model."""

    _ready_model: Any

    def sharpness(self, X, sample_weight=None):
        """How fast the likelihood of rows falls off around the sum weights.

        It is minus the trace of the Hessian of the mean log density by the linear weights [1]_:
        the larger, the sharper. Training rows of an overfitted model have a sharp maximum. Compare
        it between fits of one circuit on the same rows, for wider circuits have larger ones.

        The derivatives are those of free weights, which leave the simplex: so rows add to it
        whose cells are all missing, although their density is one for all weights that sum to one.

        Parameters
        ----------
        X : array-like or data frame of shape (n_samples, n_features)
        sample_weight : array-like of shape (n_samples,), optional

        Returns
        -------
        float
            At least 0, in nats a row.

        Raises
        ------
        ValueError
            For circuits with shared weights, for which the trace is another.

        References
        ----------
        .. [1] Suresh et al., "Tractable sharpness-aware learning of probabilistic circuits",
           arXiv 2508.05537.

        Examples
        --------
        >>> import numpy as np
        >>> from skpc import PCDensityEstimator
        >>> X = np.random.default_rng(0).integers(0, 2, (60, 5))
        >>> model = PCDensityEstimator(n_components=4, random_state=0).fit(X)
        >>> smoothed = PCDensityEstimator(n_components=4, alpha=20, random_state=0).fit(X)
        >>> bool(model.sharpness(X) > smoothed.sharpness(X))
        True
        """
        return -hessian_trace(*self._encoded(self._table_asked(X, sample_weight)))

    def loss_landscape(
        self, X, sample_weight=None, *, directions=1, steps=None, random_state=None
    ) -> Landscape:
        """Mean log density of rows where log weights are moved along one or two directions.

        Parameters
        ----------
        X : array-like or data frame of shape (n_samples, n_features)
        sample_weight : array-like of shape (n_samples,), optional
        directions : {1, 2} or array-like, default=1
            A number draws so many at random, as long as the weights of every unit; see
            :func:`skpc.inference.loss_landscape`.
        steps : array-like of shape (n,), optional
            By default 21 from -1 to 1.
        random_state : int, RandomState instance or None, default=None

        Returns
        -------
        Landscape
            With ``steps``, ``values`` (nats a row in the units of X: at step 0 what ``score``
            says) and ``plot()``.
        """
        seed = np.random.default_rng(check_random_state(random_state).randint(2**31))
        table = self._table_asked(X, sample_weight)
        around = loss_landscape(
            *self._encoded(table), directions=directions, steps=steps, random_state=seed
        )
        units = self._ready_model().encoder.log_jacobian(table.X[:])
        return replace(around, values=around.values + np.average(units, weights=table.weights))

    def _table_asked(self, X, sample_weight):
        """The rows that a question is about."""
        check_is_fitted(self)
        known = getattr(self, "_schema", None)
        return check_table(self, X, sample_weight, False, known, learns=False)

    def _encoded(self, table):
        """What computes, parameters, encoded rows and their weights."""
        model = self._ready_model()
        names = getattr(self, "feature_names_in_", None)
        rows = model.encoder.transform(table.X[:], 0, names)
        return model.backend, model.parameters, rows, table.weights
