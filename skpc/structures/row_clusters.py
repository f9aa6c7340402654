"""Two clusters of rows: a mixture of two products of leaves, by EM."""

import numpy as np


def two_clusters(part, weight, priors, n_iter=20, pseudocount=1.0, tol=1e-3):
    """The likelier one of two components for every row.

    EM starts from the two sides of the direction in which the rows vary most, so that nothing is
    drawn by chance, and a row of weight 2 counts as two rows from the first step on.

    Parameters
    ----------
    part : Part
        Evidence of the rows.
    weight : array of shape (n_rows,)
        Positive.
    priors : sequence of arrays
        Mean parameters of every variable of the table, to which components are drawn.
    n_iter : int, default=20
        Most steps of EM.
    pseudocount : float, default=1.0
        Rows with which they are.
    tol : float, default=1e-3
        Smallest rise of the log-likelihood, in nats a row, after which EM goes on.

    Returns
    -------
    array of shape (n_rows,), bool
        True for the second component.
    """
    share = np.where(_leading_side(part, weight), 0.9, 0.1)
    before = -np.inf
    for _ in range(n_iter):
        both = np.column_stack([1 - share, share]) * weight[:, None]
        means = part.means(both, priors, pseudocount)
        sizes = both.sum(axis=0) + 1
        log_joint = part.log_densities(means) + np.log(sizes / sizes.sum())
        difference = log_joint[:, 1] - log_joint[:, 0]
        share = 1 / (1 + np.exp(-np.clip(difference, -700, 700)))
        now = weight @ np.logaddexp(log_joint[:, 0], log_joint[:, 1]) / weight.sum()
        if now - before < tol:
            break
        before = now
    return difference > 0


def _leading_side(part, weight, n_iter=20):
    """On which side of the mean every row lies along the direction of largest variance."""
    if part.present is None:
        scaled = part.statistics - np.average(part.statistics, axis=0, weights=weight)
    else:
        seen = np.concatenate(
            [
                np.repeat(part.present[:, kind.columns], kind.family.n_statistics, axis=1)
                for kind in part.kinds
            ],
            axis=1,
        )
        total = np.maximum(weight @ seen, np.finfo(float).tiny)
        scaled = (part.statistics - (weight @ part.statistics) / total) * seen
    deviation = np.sqrt(weight @ scaled**2 / weight.sum())
    scaled /= np.where(deviation > 0, deviation, 1.0)
    covariance = (scaled * weight[:, None]).T @ scaled
    direction = covariance[np.argmax(np.abs(covariance).sum(axis=1))]
    for _ in range(n_iter):
        length = np.linalg.norm(direction)
        if length == 0:
            break
        direction = covariance @ (direction / length)
    return scaled @ direction > 0
