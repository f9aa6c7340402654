"""One estimator made of several fitted ones: a weighted mixture of their circuits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.utils.validation import check_is_fitted

from .density import PCDensityEstimator
from .stacking import joined, stacking_weights
from .tables import check_table, words_named
from .thresholds import Threshold


def mix(
    models: Sequence[PCDensityEstimator], X: Any, sample_weight: Any = None
) -> PCDensityEstimator:
    """Mix fitted estimators into one, whose density is a weighted mean of theirs.

    Circuits that were learnt from the same rows with other structures, widths, solvers or seeds
    err on different rows, and their mean is mostly better than the best of them. It is a circuit
    too: it scores, samples, is saved and learns on (``warm_start``, ``partial_fit``), and then
    its parts are learnt together.

    Parameters
    ----------
    models : sequence of fitted PCDensityEstimator
        Of one table: their columns must be encoded alike. They are left as they are.
    X : array-like or data frame of shape (n_samples, n_features)
        Rows that none of them has learnt from. EM finds the weights that are likeliest for them,
        with a row more for every model; ``offset_`` comes from them too.
    sample_weight : array-like of shape (n_samples,), optional
        A weight of 2 equals two rows, 0 equals absence.

    Returns
    -------
    PCDensityEstimator
        With the arguments and the history of the model of the largest weight, but for
        ``structure``, which is the circuit that mixes all: what learns on does so with that
        model's solver.

    Raises
    ------
    ValueError
        If there are no models, or if their columns differ.
    TypeError
        If ``models`` is no sequence of estimators.

    See Also
    --------
    skpc.structures.MixedStructures : Several structures in one circuit, trained together.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skpc import PCDensityEstimator, mix
    >>> X = (load_digits().data > 7).astype(int)
    >>> train, valid, test = X[:1200], X[1200:1500], X[1500:]
    >>> models = [PCDensityEstimator(name, n_components=4, max_iter=5, random_state=0).fit(train)
    ...           for name in ("hclt", "learnspn")]
    >>> both = mix(models, valid)
    >>> bool(both.score(test) > max(model.score(test) for model in models))
    True
    """
    models = _checked(models)
    first = models[0]
    table = check_table(first, X, sample_weight, False, first._schema, learns=False)
    parts = [model._ready_model() for model in models]
    with words_named(table.X):
        scores = np.column_stack([part.scores(table.X) for part in parts])
        weights = stacking_weights(scores, table.weights)
        main = int(np.argmax(weights))
        model = joined(parts, weights, main)
        threshold = Threshold.of_rows(model, table, models[main].contamination)
    mixed = clone(models[main]).set_params(structure=model.circuit)
    mixed.n_features_in_ = first.n_features_in_
    if hasattr(first, "feature_names_in_"):
        mixed.feature_names_in_ = first.feature_names_in_
    mixed._adopt(model, None, threshold, first._schema)
    mixed.history_ = list(models[main].history_)
    mixed.n_iter_ = models[main].n_iter_
    mixed.converged_ = all(model.converged_ for model in models)
    return mixed


def _checked(models: Any) -> list[PCDensityEstimator]:
    """The models as a list, if they can be mixed."""
    if isinstance(models, PCDensityEstimator):
        raise TypeError("models is one PCDensityEstimator; give a list of them: [model, ...].")
    models = list(models)
    if not models:
        raise ValueError("models is empty; give at least one fitted PCDensityEstimator.")
    for place, model in enumerate(models):
        if not isinstance(model, PCDensityEstimator):
            raise TypeError(
                f"models[{place}] is a {type(model).__name__}; give fitted PCDensityEstimators."
            )
        check_is_fitted(model)
        if not _reads_alike(models[0], model):
            raise ValueError(
                f"models[{place}] reads its columns in another way than models[0]; fit all of "
                "them on the same rows, with the same leaves, categorical_features, "
                "handle_unknown and sample_weight. A homogeneous hidden Markov model encodes all "
                "columns alike: beside other structures use HMM(homogeneous=False)."
            )
    return models


def _reads_alike(one: PCDensityEstimator, other: PCDensityEstimator) -> bool:
    """Whether two models have the same columns, encoded in the same way."""
    encoders: list[Any] = [one.encoder_, other.encoder_]
    (arrays, header), (others, other_header) = (encoder.to_arrays() for encoder in encoders)
    return (
        one.n_features_in_ == other.n_features_in_
        and type(encoders[0]) is type(encoders[1])
        and header == other_header
        and all(np.array_equal(array, others[name]) for name, array in arrays.items())
        and one._schema == other._schema
        and np.array_equal(
            getattr(one, "feature_names_in_", []), getattr(other, "feature_names_in_", [])
        )
    )
