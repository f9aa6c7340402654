"""Statistics of all cells of a table, from which leaves and mixtures of leaves are estimated."""

from typing import NamedTuple

import numpy as np

from ..distributions import Distribution


class Kind(NamedTuple):
    """Neighbouring columns of one family: where their statistics stand."""

    family: Distribution
    variables: np.ndarray
    columns: slice
    features: slice


class RowEvidence:
    """The statistics of every cell, in one matrix.

    An exponential family sees of a cell nothing but its statistics, so that the log densities of
    rows under leaves of all columns are a matrix product, and so are the statistics of clusters.

    Parameters
    ----------
    X : array of shape (n_rows, n_variables)
        Encoded rows.
    distributions : sequence of Distribution
        The family of every column.

    Attributes
    ----------
    statistics : array of shape (n_rows, n_features)
        Zeros where a cell is missing.
    present : array of shape (n_rows, n_variables) or None
        None where no cell is missing.
    """

    def __init__(self, X, distributions):
        X = np.asarray(X)
        self.distributions = list(distributions)
        parts = [
            family.statistics(X[:, variable]).T for variable, family in enumerate(distributions)
        ]
        widths = [family.n_statistics for family in distributions]
        self.first = np.cumsum([0, *widths[:-1]])
        self.statistics = np.concatenate(parts, axis=1)
        present = X == X
        self.present = None if present.all() else present.astype(np.float64)

    def part(self, rows, variables):
        """That of some rows and columns."""
        return Part(self, rows, variables)


class Part:
    """The evidence of some rows and columns, the columns sorted by family.

    Parameters
    ----------
    evidence : RowEvidence
    rows, variables : arrays of int
    """

    def __init__(self, evidence, rows, variables):
        order: dict = {}
        for variable in variables:
            order.setdefault(evidence.distributions[variable], []).append(variable)
        self.kinds = []
        features, columns, width = [], 0, 0
        for family, mine in order.items():
            first = evidence.first[mine][:, None] + np.arange(family.n_statistics)
            features.append(first.ravel())
            self.kinds.append(
                Kind(
                    family,
                    np.array(mine),
                    slice(columns, columns + len(mine)),
                    slice(width, width + first.size),
                )
            )
            columns, width = columns + len(mine), width + first.size
        self.variables = np.concatenate([kind.variables for kind in self.kinds])
        self.statistics = evidence.statistics[np.ix_(rows, np.concatenate(features))]
        self.present = None
        if evidence.present is not None:
            self.present = evidence.present[np.ix_(rows, self.variables)]

    def means(self, weight, priors, pseudocount):
        """Mean parameters of every column, for each of some weightings of the rows.

        Parameters
        ----------
        weight : array of shape (n_rows, k)
        priors : sequence of arrays of shape (n_statistics,)
            Of every variable of the table: what a column is drawn to.
        pseudocount : float
            Rows with which it is.

        Returns
        -------
        list of arrays of shape (k, n_columns, n_statistics)
            One a family, as in `kinds`.
        """
        sums = weight.T @ self.statistics
        if self.present is None:
            totals = np.repeat(weight.sum(axis=0)[:, None], len(self.variables), axis=1)
        else:
            totals = weight.T @ self.present
        means = []
        for family, variables, columns, features in self.kinds:
            prior = np.stack([priors[variable] for variable in variables])
            mine = sums[:, features].reshape(len(sums), len(variables), -1)
            total = totals[:, columns, None] + pseudocount
            means.append(family.project((mine + pseudocount * prior) / total))
        return means

    def log_densities(self, means):
        """Log densities of all cells of a row together, less terms that are alike for all means.

        Parameters
        ----------
        means : list of arrays of shape (k, n_columns, n_statistics)

        Returns
        -------
        array of shape (n_rows, k)
        """
        natural, partition = [], []
        for kind, mean in zip(self.kinds, means, strict=True):
            eta = kind.family.natural_parameters(mean)
            natural.append(eta.reshape(len(mean), -1))
            partition.append(kind.family.log_partition(eta))
        inner = self.statistics @ np.concatenate(natural, axis=1).T
        log_partition = np.concatenate(partition, axis=1)
        if self.present is None:
            return inner - log_partition.sum(axis=1)
        return inner - self.present @ log_partition.T
