"""The circuits of Poon and Domingos: lines, images and volumes cut in every place."""

import numpy as np
from sklearn.utils import check_random_state

from ..utils.numbers import is_whole
from .base import Structure
from .region_graph import Region, check_counts, check_product, factorised_leaf, region_circuit
from .shapes import check_axes, resolve_shape

#: Pieces into which delta="auto" cuts each axis, by the number of axes.
AUTO_PIECES = {1: 8, 2: 4, 3: 3}


class PD(Structure):
    """Boxes of neighbouring columns, each cut across in every place of a grid [1]_.

    Columns lie in a line, an image or a volume. A box is a mixture over all ways to cut it in two
    along one axis, and boxes that several cuts lead to are one node, so that the circuit is no
    tree. The smallest boxes, the cells of the grid, have independent columns in each of their
    units.

    Parameters
    ----------
    shape : None, int, or tuple of int, default=None
        Of one to three axes; the columns lie in it in C order (the last axis is neighbours in a
        row). None is a line: images are not guessed.
    delta : "auto", int, or tuple of int, default="auto"
        Distance between two cuts, for all axes or an axis each. "auto" cuts a line into 8 pieces,
        every axis of an image into 4 and of a volume into 3.
    max_partitions : int or None, default=8
        Most cuts of a box; of more, a random part is taken. None takes all.
    n_components : int, optional
        Sums of every box; None takes the estimator's.
    n_leaf_units : int, optional
        Units of every cell of the grid; None has as many as there are sums.
    product : {"elementwise", "kronecker"}, default="elementwise"
        Whether two parts are multiplied unit by unit, or every unit of one with every unit of the
        other.

    Notes
    -----
    In cells of many columns units differ by more than float32 can hold. Such rows are computed
    again in float64; ``dtype="float64"`` computes them once (see doc/structures.md).

    A line of n pieces has n (n + 1) / 2 boxes, an image of m x n pieces as many as both numbers
    multiplied.

    References
    ----------
    .. [1] H. Poon and P. Domingos, "Sum-product networks: a new deep architecture", UAI 2011.

    Examples
    --------
    >>> import numpy as np
    >>> from skpc.distributions import Bernoulli
    >>> from skpc.structures import PD
    >>> PD(shape=(4, 4), delta=2).build(np.zeros((1, 16)), [Bernoulli()] * 16, n_components=4)
    Circuit(n_variables=16, ...)
    """

    def __init__(
        self,
        shape=None,
        delta="auto",
        max_partitions=8,
        n_components=None,
        n_leaf_units=None,
        product="elementwise",
    ):
        self.shape = shape
        self.delta = delta
        self.max_partitions = max_partitions
        self.n_components = n_components
        self.n_leaf_units = n_leaf_units
        self.product = product

    def check(self):
        super().check()
        check_counts(self, optional=["max_partitions", "n_leaf_units"])
        check_product(self.product)
        if self.shape is not None:
            check_axes("shape", self.shape)
        if not isinstance(self.delta, str):
            check_axes("delta", self.delta)
        elif self.delta != "auto":
            raise ValueError(f"delta={self.delta!r} must be 'auto', an integer or a tuple of them.")

    def build(self, X, distributions, *, n_components, sample_weight=None, random_state=None):
        """Make the circuit; the rows are not looked at.

        Parameters
        ----------
        X : array of shape (n_rows, n_variables)
        distributions : sequence of length n_variables, of Distribution
            The leaf family of each column.
        n_components : int
            Sums of every box, where the structure has no number of its own.
        sample_weight
            Not used.
        random_state : int, numpy RandomState or None
            Chooses the cuts of boxes with more than max_partitions.

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
        delta = resolve_delta(self.delta, shape)
        root = box_regions(shape, delta, self.max_partitions, check_random_state(random_state))
        leaf = factorised_leaf(distributions, self.n_leaf_units or n_components)
        return region_circuit(root, leaf, n_components, len(distributions), self.product)


def resolve_delta(delta, shape, name="delta"):
    """Distance between two cuts of every axis.

    Examples
    --------
    >>> resolve_delta("auto", (28, 30)), resolve_delta(2, (28, 30)), resolve_delta((4, 5), (28, 30))
    ((7, 8), (2, 2), (4, 5))
    """
    if isinstance(delta, str):
        return tuple(-(-size // AUTO_PIECES[len(shape)]) for size in shape)
    if is_whole(delta, 1):
        return (int(delta),) * len(shape)
    if len(delta) != len(shape):
        raise ValueError(
            f"{name}={delta!r} has {len(delta)} axes, but the columns lie in the shape {shape}; "
            "give a number an axis."
        )
    return tuple(int(step) for step in delta)


def box_regions(shape, delta, max_partitions, random_state):
    """The region graph of a box cut at every multiple of `delta`, along every axis.

    Parameters
    ----------
    shape, delta : tuple of int
        An entry an axis.
    max_partitions : int or None
        Most cuts of a box, drawn without replacement.
    random_state : numpy RandomState

    Returns
    -------
    Region
        Equal boxes are one region. Cells of the grid are leaves; cells at the upper ends may be
        smaller.
    """
    columns = np.arange(np.prod(shape)).reshape(shape)
    whole = tuple((0, size) for size in shape)
    regions = {whole: Region()}
    waiting = [whole]
    while waiting:
        box = waiting.pop()
        cuts = [
            (axis, place)
            for axis, (start, stop) in enumerate(box)
            for place in range((start // delta[axis] + 1) * delta[axis], stop, delta[axis])
        ]
        if not cuts:
            cells = columns[tuple(slice(*ends) for ends in box)]
            regions[box].variables = tuple(cells.ravel().tolist())
            continue
        if max_partitions is not None and len(cuts) > max_partitions:
            drawn = random_state.choice(len(cuts), max_partitions, replace=False)
            cuts = [cuts[i] for i in np.sort(drawn)]
        for axis, place in cuts:
            parts = []
            for ends in ((box[axis][0], place), (place, box[axis][1])):
                part = (*box[:axis], ends, *box[axis + 1 :])
                if part not in regions:
                    regions[part] = Region()
                    waiting.append(part)
                parts.append(regions[part])
            regions[box].partitions.append(tuple(parts))
    return regions[whole]
