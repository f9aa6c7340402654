"""The estimators, settings and tables over which the common checks run.

A new estimator with ``score_samples`` gets all checks by a line of its own in CONFIGURATIONS.
"""

from typing import Any, NamedTuple

import numpy as np
from sklearn.base import clone

from skpc import PCDensityEstimator
from skpc.solvers import Anemone
from skpc.structures import HMM


class Configuration(NamedTuple):
    """An estimator that is never fitted itself, and a table of at least 80 rows for it."""

    name: str
    estimator: Any
    X: np.ndarray

    def make(self, **params):
        """A fresh estimator, with other settings on request."""
        return clone(self.estimator).set_params(**params)


def hidden_states(n_rows, seed):
    rng = np.random.default_rng(seed)
    return rng, rng.integers(0, 3, n_rows)


def binary(n_rows=90, seed=0, n_columns=6):
    """0 and 1 as uint8, of columns that depend on one another."""
    rng, z = hidden_states(n_rows, seed)
    share = np.random.default_rng(7).choice([0.15, 0.5, 0.85], size=(3, n_columns))
    return (rng.random((n_rows, n_columns)) < share[z]).astype(np.uint8)


def continuous(n_rows=90, seed=0):
    """Floats of three clusters, in units from thousandths to thousands."""
    rng, z = hidden_states(n_rows, seed)
    return (rng.normal(size=(n_rows, 4)) + 3 * z[:, None]) * [1e-3, 1.0, 30.0, 1e3]


def categorical(n_rows=90, seed=0):
    """Whole numbers, some of them negative and none of them all categories in a row."""
    rng, z = hidden_states(n_rows, seed)
    noise = rng.integers(0, 2, (n_rows, 4))
    return np.column_stack([z, z + noise[:, 0], 10 * noise[:, 1] - 3, 2 * z + 5 * noise[:, 2]])


def mixed(n_rows=90, seed=0):
    """Floats with missing cells: a binary column, a column of few values, two of numbers."""
    rng, z = hidden_states(n_rows, seed)
    noise = rng.normal(size=(n_rows, 2))
    X = np.column_stack([z > 0, z, 5 * z + noise[:, 0], 1e4 * (1 + noise[:, 1])]).astype(float)
    X[rng.random(X.shape) < 0.15] = np.nan
    return X


def pc(**params):
    settings = {
        "n_components": 3,
        "max_iter": 4,
        "dtype": "float64",
        "random_state": 0,
        "n_jobs": 1,
    }
    return PCDensityEstimator(**{**settings, **params})


CONFIGURATIONS = [
    Configuration("binary-anemone", pc(), binary()),
    Configuration("continuous-anemone", pc(), continuous()),
    Configuration("categorical-minibatch_em", pc(solver="minibatch_em"), categorical()),
    Configuration("binary-hmm", pc(structure=HMM(homogeneous=False)), binary()),
    Configuration("mixed-learnspn", pc(structure="learnspn"), mixed()),
    Configuration("mixed-em", pc(solver="em"), mixed()),
    Configuration("mixed-adam", pc(solver="adam"), mixed()),
    Configuration("binary-sgd", pc(solver="sgd"), binary()),
    Configuration("mixed-float32", pc(dtype="float32", categorical_features=[1]), mixed()),
    Configuration("binary-em-float32", pc(solver="em", dtype="float32"), binary()),
    Configuration(
        "continuous-minibatch_em-contamination",
        pc(solver="minibatch_em", contamination=0.1, dtype="float32"),
        continuous(),
    ),
    Configuration(
        "mixed-momentum-contamination",
        pc(solver=Anemone(momentum=0.5), contamination=0.1),
        mixed(),
    ),
]
