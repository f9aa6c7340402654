"""Hidden Chow-Liu trees inside chunks, cuts in every place between them."""

import math

import numpy as np
from sklearn.utils import check_random_state

from .base import Structure
from .hclt import HCLT, counted_states, tree_node
from .mutual_information import affordable_rows
from .poon_domingos import box_regions, resolve_delta
from .region_graph import check_counts, check_product, region_circuit
from .shapes import check_axes, resolve_shape

#: Columns of a chunk of a line with chunk="auto".
AUTO_LINE = 128
#: Side of a chunk of an image, in pixels.
AUTO_SIDE = 4
#: Rows that are counted in a chunk at least.
FEWEST_ROWS = 10_000


class PDHCLT(Structure):
    """Neighbouring columns in chunks: a learnt tree inside each, boxes of chunks above them.

    A chunk is a hidden Chow-Liu tree of its own columns. Boxes of chunks are cut in every place
    between chunks, as in `PD` [1]_.

    Parameters
    ----------
    shape : None, int, or tuple of int, default=None
        Of one to three axes; the columns lie in it in C order. None is a line: images are not
        guessed. Channels of an image come first: (3, 16, 16).
    chunk : "auto", int, or tuple of int, default="auto"
        Shape of a chunk, whose last ones may be smaller. "auto" is 128 columns of a line, and
        4 x 4 pixels of an image with all its channels: (3, 4, 4) for (3, 16, 16).
    max_partitions : int or None, default=8
        Most cuts of a box; of more, a random part is taken. None takes all.
    n_components : int, optional
        Latent states, and sums of every box; None takes the estimator's.
    n_bins : int or "auto", default="auto"
        See `HCLT`.
    max_rows : int, None or "auto", default="auto"
        See `HCLT`.
    input_sum : bool, default=False
        See `HCLT`.
    product : {"elementwise", "kronecker"}, default="elementwise"
        Whether two boxes are multiplied unit by unit, or every unit of one with every unit of the
        other.

    References
    ----------
    .. [1] X. Liu et al., "Rethinking probabilistic circuit parameter learning",
       arXiv 2505.19982, 2025.

    Examples
    --------
    >>> import numpy as np
    >>> from skpc.distributions import Bernoulli
    >>> from skpc.structures import PDHCLT
    >>> X = np.random.default_rng(0).integers(0, 2, (50, 16)).astype(float)
    >>> PDHCLT(shape=(4, 4), chunk=2).build(X, [Bernoulli()] * 16, n_components=4)
    Circuit(n_variables=16, ...)
    """

    def __init__(
        self,
        shape=None,
        chunk="auto",
        max_partitions=8,
        n_components=None,
        n_bins="auto",
        max_rows="auto",
        input_sum=False,
        product="elementwise",
    ):
        self.shape = shape
        self.chunk = chunk
        self.max_partitions = max_partitions
        self.n_components = n_components
        self.n_bins = n_bins
        self.max_rows = max_rows
        self.input_sum = input_sum
        self.product = product

    def check(self):
        super().check()
        check_counts(self, optional=["max_partitions"])
        check_product(self.product)
        if self.shape is not None:
            check_axes("shape", self.shape)
        if not isinstance(self.chunk, str):
            check_axes("chunk", self.chunk)
        elif self.chunk != "auto":
            raise ValueError(f"chunk={self.chunk!r} must be 'auto', an integer or a tuple of them.")
        self._tree().check()

    def build(self, X, distributions, *, n_components, sample_weight=None, random_state=None):
        """Learn the tree of every chunk and make the circuit.

        Parameters
        ----------
        X : array of shape (n_rows, n_variables), of floats, uint8 or bool
            Encoded rows: codes 0, 1, ... in discrete columns, NaN where a cell is missing.
        distributions : sequence of length n_variables, of Distribution
            The leaf family of each column.
        n_components : int
            Latent states, where the structure has no number of its own.
        sample_weight : array of shape (n_rows,), optional
            A weight of 2 equals two rows, a weight of 0 equals absence.
        random_state : int, numpy RandomState or None
            Draws the counted rows of a chunk, and cuts of boxes with more than max_partitions.

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
        random_state = check_random_state(random_state)
        shape = resolve_shape(self.shape, len(distributions))
        chunk = auto_chunk(shape) if isinstance(self.chunk, str) else self.chunk
        delta = resolve_delta(chunk, shape, "chunk")
        root = box_regions(shape, delta, self.max_partitions, random_state)
        n_chunks = math.prod(-(-size // step) for size, step in zip(shape, delta, strict=True))
        X, tree = np.asarray(X), self._tree()

        def make_leaf(variables):
            families = [distributions[variable] for variable in variables]
            if self.max_rows == "auto":
                # All chunks together take as long as one tree may.
                rows = affordable_rows(counted_states(families), self.n_bins)
                tree.max_rows = max(FEWEST_ROWS, rows // n_chunks)
            edges = tree.learn_tree(X[:, variables], families, sample_weight, random_state)
            groups = [(variable,) for variable in variables]
            return tree_node(edges, groups, distributions, n_components, self.input_sum)

        return region_circuit(root, make_leaf, n_components, len(distributions), self.product)

    def _tree(self):
        return HCLT(n_bins=self.n_bins, max_rows=self.max_rows, input_sum=self.input_sum)


def auto_chunk(shape):
    """The chunk of ``chunk="auto"``.

    Examples
    --------
    >>> auto_chunk((1000,)), auto_chunk((28, 28)), auto_chunk((3, 16, 16))
    ((128,), (4, 4), (3, 4, 4))
    """
    if len(shape) == 1:
        return (AUTO_LINE,)
    return (*shape[:-2], AUTO_SIDE, AUTO_SIDE)
