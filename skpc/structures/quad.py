"""Quad trees and quad graphs: images cut into quarters of quarters."""

import numpy as np

from .base import Structure
from .region_graph import Region, check_counts, check_product, factorised_leaf, region_circuit
from .shapes import check_axes, resolve_shape

KINDS = ("graph", "tree")


class Quad(Structure):
    """An image cut into quarters, these into quarters, down to single pixels [1]_ [2]_.

    Images may have any height and width; halves of odd sizes differ by one. A quad tree joins the
    four quarters at once. A quad graph mixes two ways to join them: rows first, and columns first,
    above the same quarters. What is one pixel high or wide is halved.

    Parameters
    ----------
    shape : None, int, or tuple of int, default=None
        (height, width) or (channels, height, width), or (n,) for a line, which is halved again and
        again; the columns lie in it in C order. None is a line: images are not guessed. The
        channels of a pixel are independent in each of its units.
    kind : {"graph", "tree"}, default="graph"
    n_components : int, optional
        Sums of every region; None takes the estimator's.
    n_leaf_units : int, optional
        Units of every pixel; None has as many as there are sums.
    product : {"elementwise", "kronecker"}, default="elementwise"
        Whether parts are multiplied unit by unit, or every unit of one with every unit of the
        other; a quad tree then joins the quarters of a row first.

    References
    ----------
    .. [1] A. Mari, G. Vessio and A. Vergari, "Unifying and understanding overparameterized
       circuit representations via low-rank tensor decompositions", TPM 2023.
    .. [2] L. Loconte et al., "What is the relationship between tensor factorizations and circuits
       (and how can we exploit it)?", TMLR 2025.

    Examples
    --------
    >>> import numpy as np
    >>> from skpc.distributions import Bernoulli
    >>> from skpc.structures import Quad
    >>> Quad(shape=(3, 5)).build(np.zeros((1, 15)), [Bernoulli()] * 15, n_components=4)
    Circuit(n_variables=15, ...)
    """

    def __init__(
        self, shape=None, kind="graph", n_components=None, n_leaf_units=None, product="elementwise"
    ):
        self.shape = shape
        self.kind = kind
        self.n_components = n_components
        self.n_leaf_units = n_leaf_units
        self.product = product

    def check(self):
        super().check()
        check_counts(self, optional=["n_leaf_units"])
        check_product(self.product)
        if self.kind not in KINDS:
            raise ValueError(f"kind={self.kind!r} is not known; use one of {KINDS}.")
        if self.shape is not None:
            check_axes("shape", self.shape)

    def build(self, X, distributions, *, n_components, sample_weight=None, random_state=None):
        """Make the circuit; the rows are not looked at.

        Parameters
        ----------
        X : array of shape (n_rows, n_variables)
        distributions : sequence of length n_variables, of Distribution
            The leaf family of each column.
        n_components : int
            Sums of every region, where the structure has no number of its own.
        sample_weight, random_state
            Not used.

        Returns
        -------
        Circuit

        Raises
        ------
        ValueError
            If the shape does not have as many cells as there are columns.
        """
        self.check()
        n_components = self.resolve_n_components(n_components)
        shape = resolve_shape(self.shape, len(distributions))
        shape = (1,) * (3 - len(shape)) + shape
        leaf = factorised_leaf(distributions, self.n_leaf_units or n_components)
        root = quad_regions(shape, self.kind)
        return region_circuit(root, leaf, n_components, len(distributions), self.product)


def quad_regions(shape, kind):
    """The region graph of an image.

    Parameters
    ----------
    shape : tuple (channels, height, width)
    kind : {"graph", "tree"}

    Returns
    -------
    Region
        Pixels are leaves.
    """
    columns = np.arange(np.prod(shape)).reshape(shape)

    def cut(image):
        """The region of a part of the image, of shape (channels, height, width)."""
        height, width = image.shape[1:]
        if height == width == 1:
            return Region(image.ravel())
        rows = np.array_split(image, min(height, 2), axis=1)
        quarters = [
            [cut(part) for part in np.array_split(row, min(width, 2), axis=2)] for row in rows
        ]
        if kind == "tree" or height == 1 or width == 1:
            return Region(partitions=[tuple(part for row in quarters for part in row)])
        halves = [
            tuple(Region(partitions=[pair]) for pair in pairs)
            for pairs in (quarters, zip(*quarters, strict=True))
        ]
        return Region(partitions=halves)

    return cut(columns)
