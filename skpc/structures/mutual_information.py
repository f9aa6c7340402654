"""Mutual information of all pairs of columns, from exact weighted counts."""

from itertools import combinations_with_replacement

import numpy as np
from scipy.special import xlogy

from .column_codes import check_weight, encode_column, resolve_n_bins

# A pair of columns with s states each costs 2 (s - 1)^2 operations a row as a matrix product and
# about 5 ns a row as a bincount. At the 150 GFLOP/s of two laptop cores they break even near
# s = 20; columns with more states are counted pair by pair.
MAX_MATRIX_STATES = 20
# States of one block of columns: its tables hold 2048^2 cells, 33 MB in float64.
BLOCK_STATES = 2048
# 4096 rows x 2048 states in float32 are 33 MB, and long enough for full speed of the product.
BLOCK_ROWS = 4096
# float32 holds every integer up to here.
EXACT_FLOAT32 = 2**24


def pairwise_mutual_information(X, n_states, *, sample_weight=None, n_bins="auto"):
    """Mutual information of every pair of columns, in nats.

    It is that of the empirical distribution, the sum over the cells of a pair's table of
    p(a, b) log(p(a, b) / (p(a) p(b))) with 0 log 0 = 0 [1]_, less its expected excess over that
    of the distribution that the rows come from: (c - s - t + 1) / (2 n_rows) for a table with c
    cells, s rows and t columns that occur [2]_. Uncorrected, columns with many states look
    dependent on everything.

    Parameters
    ----------
    X : array of shape (n_rows, n_columns), of floats, integers or bools
        Discrete columns hold the codes 0, 1, ..., n_states - 1. NaN is a missing cell: a pair is
        counted, its marginals included, over the rows in which both cells are present.
    n_states : sequence of length n_columns, of int or None
        The number of states of a discrete column, None for a continuous one, which is cut at its
        weighted quantiles (`column_codes.quantile_edges`).
    sample_weight : array of shape (n_rows,), optional
        A weight of 2 equals two rows, a weight of 0 equals absence.
    n_bins : int or "auto"
        The largest number of bins of a continuous column; see `column_codes.default_n_bins`.

    Returns
    -------
    array of shape (n_columns, n_columns), float64
        Symmetric, in nats, negative where columns look more independent than chance would have
        them. Columns which are constant or wholly missing have exact zeros.

    Raises
    ------
    ValueError
        If a discrete column holds something else than its codes, if weights are negative or not
        finite, or if an argument has the wrong length or range.

    Notes
    -----
    Columns become one-hot blocks, and the tables of all pairs of two blocks are one matrix product.
    A block lacks the last state of each column: its counts are the rest of the marginals, so a
    binary column is a single row of the product. Columns with missing cells have one more row, the
    indicator that they are observed.

    Weights that are small integers (or all equal) are multiplied in float32, where blocks of rows
    below a total weight of 2**24 are exact, and summed in float64; other weights are multiplied in
    float64, which takes about twice the time. So counts of rows are exact, and the result has the
    same bits for any number of threads. Beside one small-integer code a cell and the result, memory
    grows with neither rows nor columns: 20 000 rows of 1000 columns take 0.2 GB beside X.

    Columns with more than 20 states that occur are counted pair by pair instead.

    References
    ----------
    .. [1] C. K. Chow and C. N. Liu, "Approximating discrete probability distributions with
       dependence trees", IEEE Transactions on Information Theory 14, 1968.
    .. [2] G. A. Miller, "Note on the bias of information estimates", in Information Theory in
       Psychology, 1955.

    Examples
    --------
    >>> import numpy as np
    >>> from skpc.structures.mutual_information import pairwise_mutual_information
    >>> X = np.array([[0, 0, 0], [0, 0, 1], [1, 1, 0], [1, 1, 1]] * 100, dtype=float)
    >>> pairwise_mutual_information(X, [2, 2, 2]).round(3)
    array([[ 0.694,  0.694, -0.001],
           [ 0.694,  0.694, -0.001],
           [-0.001, -0.001,  0.694]])
    """
    X = np.asarray(X)
    if X.ndim != 2 or len(n_states) != X.shape[1]:
        raise ValueError(
            f"n_states has {len(n_states)} entries for X of shape {X.shape}; give one an entry of "
            "each column (None for a continuous one)."
        )
    kept, weight = check_weight(sample_weight, X.shape[0])
    # Weights that are no counts, such as shares that sum to 1, do not make rows fewer.
    n_rows = max(weight.sum(), weight.size)
    n_bins = resolve_n_bins(n_bins, n_rows, n_states)
    row_weight = weight.sum() / n_rows if weight.size else 0.0

    codes, sizes = [], []
    for column, states in enumerate(n_states):
        values = X[:, column] if kept is None else X[kept, column]
        column_codes, size = encode_column(values, weight, column, states, n_bins)
        codes.append(column_codes)
        sizes.append(size)

    return coded_information(codes, sizes, weight, row_weight)


def coded_information(codes, sizes, weight, row_weight):
    """Mutual information of every pair of columns of codes, in nats.

    Parameters
    ----------
    codes : sequence of integer arrays of shape (n_rows,)
        -1 is missing.
    sizes : sequence of int
        Codes are below; a column of less than two states has no information.
    weight : array of shape (n_rows,)
        Positive.
    row_weight : float
        Weight of a row, which corrects the bias; 0 corrects nothing.

    Returns
    -------
    array of shape (n_columns, n_columns)
    """
    information = np.zeros((len(codes), len(codes)))
    fill_narrow_pairs(information, codes, sizes, weight, row_weight)
    fill_wide_pairs(information, codes, sizes, weight, row_weight)
    return information


def affordable_rows(n_states, n_bins="auto"):
    """Rows that `pairwise_mutual_information` counts in some ten seconds on two laptop cores.

    At least 10 000, whatever they cost: 28 x 28 pixels of 256 states then take 30 seconds.

    Parameters
    ----------
    n_states : sequence of int or None
        As in `pairwise_mutual_information`.
    n_bins : int or "auto"
        As in `pairwise_mutual_information`.

    Returns
    -------
    int

    Examples
    --------
    >>> affordable_rows([2] * 1000), affordable_rows([None] * 1000), affordable_rows([256] * 784)
    (93750, 23437, 10000)
    """
    n_bins = resolve_n_bins(n_bins, np.inf, n_states)
    sizes = np.array([n_bins if states is None else states for states in n_states], dtype=float)
    narrow = sizes <= MAX_MATRIX_STATES
    n_columns, n_wide = sizes.size, np.count_nonzero(~narrow)
    # Nanoseconds a row: encoding (a sort, for continuous columns), the product, the bincounts.
    encoding = 100 * n_columns
    product = (sizes[narrow] - 1).sum() ** 2 / 150
    bincounts = 5 * n_wide * (n_columns - (n_wide - 1) / 2)
    return max(10_000, int(10e9 / (encoding + product + bincounts)))


class Block:
    """Columns with equally many states, all or none of them with missing cells.

    Parameters
    ----------
    columns : list of int
    codes : list of arrays of shape (n_rows,)
        Of these columns.
    n_states : int
    has_missing : bool
    weight : array of shape (n_rows,)
    """

    def __init__(self, columns, codes, n_states, has_missing, weight):
        self.columns = np.array(columns)
        self.codes = codes
        self.n_states = n_states
        self.has_missing = has_missing
        # Weight of the states but the last one, then of the observed rows.
        self.totals = np.empty((len(columns), n_states))
        for row, column_codes in zip(self.totals, codes, strict=True):
            row[:] = np.bincount(column_codes + 1, weight, minlength=n_states + 1)[1:]
            row[-1] = row.sum()

    @property
    def n_features(self):
        """Rows of a column in the matrix products."""
        return self.n_states - 1 + self.has_missing

    def one_hot(self, rows, scratch):
        """Indicators of shape (n_columns * n_features, n_rows), the observed one last."""
        codes = np.stack([column_codes[rows] for column_codes in self.codes])
        shape = (codes.shape[0], self.n_features, codes.shape[1])
        features = scratch[: np.prod(shape)].reshape(shape)
        for state in range(self.n_states - 1):
            features[:, state] = codes == state
        if self.has_missing:
            features[:, -1] = codes >= 0
        return features.reshape(-1, codes.shape[1])


def fill_narrow_pairs(information, codes, sizes, weight, row_weight):
    """Write the pairs of columns with 2 to 20 states, by matrix products of blocks."""
    kinds: dict[tuple[int, bool], list[int]] = {}
    for column, (column_codes, size) in enumerate(zip(codes, sizes, strict=True)):
        if 2 <= size <= MAX_MATRIX_STATES:
            kinds.setdefault((size, bool((column_codes < 0).any())), []).append(column)
    if not kinds:
        return
    # Equal weights are unit weights in another unit, and integers keep float32 exact.
    unit = weight[0] if (weight == weight[0]).all() else 1.0
    weight = weight / unit
    exact = (weight == np.rint(weight)).all() and weight.max() * BLOCK_ROWS <= EXACT_FLOAT32
    weight = weight.astype(np.float32 if exact else np.float64)
    blocks = []
    for (size, has_missing), columns in sorted(kinds.items()):
        step = BLOCK_STATES // size
        for start in range(0, len(columns), step):
            part = columns[start : start + step]
            blocks.append(Block(part, [codes[c] for c in part], size, has_missing, weight))
    # Allocated once: fresh pages for every product cost a third of the time.
    n_features = max(len(block.columns) * block.n_features for block in blocks)
    scratch = (
        np.empty(n_features * min(BLOCK_ROWS, weight.size), dtype=weight.dtype),
        np.empty(n_features * min(BLOCK_ROWS, weight.size), dtype=weight.dtype),
        np.empty(n_features**2, dtype=weight.dtype),
    )
    for first, second in combinations_with_replacement(blocks, 2):
        counts = pair_counts(first, second, weight, scratch)
        counts *= unit
        values = table_information(counts, row_weight)
        if first is second:
            values = (values + values.T) / 2
        information[np.ix_(first.columns, second.columns)] = values
        information[np.ix_(second.columns, first.columns)] = values.T


def pair_counts(first, second, weight, scratch):
    """Weighted tables of all pairs of a column of one block and a column of another.

    Parameters
    ----------
    first, second : Block
        Of m columns with s states and n columns with t states.
    weight : array of shape (n_rows,)
        In the type of the products.
    scratch : tuple of three arrays
        Of that type, large enough for the indicators of each block and their product.

    Returns
    -------
    array of shape (m, s, n, t), float64
    """
    m, s, n, t = len(first.columns), first.n_states, len(second.columns), second.n_states
    shape = (m * first.n_features, n * second.n_features)
    part = scratch[2][: shape[0] * shape[1]].reshape(shape)
    products = np.zeros(shape)
    for start in range(0, weight.size, BLOCK_ROWS):
        rows = slice(start, start + BLOCK_ROWS)
        left = first.one_hot(rows, scratch[0])
        if first is second and (weight[rows] == 1).all():
            # The product of a matrix with its own transpose costs half.
            np.matmul(left, left.T, out=part)
        else:
            right = second.one_hot(rows, scratch[1])
            if (weight[rows] != 1).any():
                right *= weight[rows]
            np.matmul(left, right.T, out=part)
        products += part

    tables = np.empty((m, s, n, t))
    tables[:, : first.n_features, :, : second.n_features] = products.reshape(
        m, first.n_features, n, second.n_features
    )
    # A column without missing cells is observed wherever the other one is.
    if not first.has_missing:
        tables[:, -1] = second.totals
    if not second.has_missing:
        tables[..., -1] = first.totals[:, :, None]
    if not first.has_missing and not second.has_missing:
        tables[:, -1, :, -1] = weight.sum(dtype=np.float64)
    # From "observed" to the last state, along both axes.
    tables[:, -1] -= tables[:, :-1].sum(axis=1)
    tables[..., -1] -= tables[..., :-1].sum(axis=-1)
    # Weights that are no integers leave rounding of either sign where the count is 0.
    return np.maximum(tables, 0.0, out=tables)


def bias(joint, left, right, total, row_weight):
    """Expected excess of the mutual information of a sample, in nats.

    Parameters
    ----------
    joint, left, right : arrays or ints
        Numbers of cells, rows and columns that occur.
    total : array or float
        Weight of a table.
    row_weight : float
        Weight of a row, which is 1 where weights are counts of rows.
    """
    return (joint - left - right + 1) * row_weight / (2 * total)


def table_information(tables, row_weight):
    """Mutual information of tables of counts.

    Parameters
    ----------
    tables : array of shape (m, s, n, t)
        Overwritten.
    row_weight : float
        See `bias`.

    Returns
    -------
    array of shape (m, n)
        In nats, 0 for an empty table.
    """
    # Rounding leaves the same ratio of exactly 1 wherever integer counts are independent, which
    # differences of entropies would not: exact zeros make the ties of constant columns exact.
    left = tables.sum(axis=3, keepdims=True)
    right = tables.sum(axis=1, keepdims=True)
    total = left.sum(axis=1, keepdims=True)
    total[total == 0] = 1.0
    # Rounding of weights that are no integers is below this, a row hardly ever.
    least = 1e-12 * total
    joint, rows, columns = ((t > least).sum(axis=(1, 3)) for t in (tables, left, right))
    excess = np.where(joint > 0, bias(joint, rows, columns, total[:, 0, :, 0], row_weight), 0.0)
    expected = left * right
    expected[expected == 0] = 1.0
    ratio = np.divide(tables * total, expected, out=expected)
    return xlogy(tables, ratio, out=ratio).sum(axis=(1, 3)) / total[:, 0, :, 0] - excess


def fill_wide_pairs(information, codes, sizes, weight, row_weight):
    """Write the pairs in which a column has more than 20 states, one by one."""
    if (weight == 1).all():
        weight = None
    for first, size in enumerate(sizes):
        if size <= MAX_MATRIX_STATES:
            continue
        first_codes = codes[first].astype(np.intp)
        for second, other_size in enumerate(sizes):
            if other_size < 2 or (other_size > MAX_MATRIX_STATES and second < first):
                continue
            information[first, second] = information[second, first] = pair_information(
                first_codes, codes[second], (size, other_size), weight, row_weight
            )


def pair_information(first, second, shape, weight, row_weight):
    """Mutual information of two columns of codes, from the cells that occur.

    Parameters
    ----------
    first, second : integer arrays of shape (n_rows,)
        -1 is missing.
    shape : tuple (s, t)
        Numbers of states.
    weight : array of shape (n_rows,) or None
        None is a weight of 1 for every row.
    row_weight : float
        See `bias`.

    Returns
    -------
    float
        In nats, 0 for an empty table.
    """
    present = (first >= 0) & (second >= 0)
    if not present.all():
        first, second = first[present], second[present]
        weight = None if weight is None else weight[present]
    if first.size == 0:
        return 0.0
    cells = first * shape[1] + second
    if shape[0] * shape[1] > 16 * cells.size:
        # A table much larger than the rows (10 000 x 10 000 states are 800 MB) is not made.
        cells = np.unique(cells, return_inverse=True)[1]
    counts = np.bincount(cells, weight)
    counts = counts[counts > 0]
    left = np.bincount(first, weight, minlength=shape[0])
    right = np.bincount(second, weight, minlength=shape[1])
    occurring = np.count_nonzero(left), np.count_nonzero(right)
    total = left.sum()
    excess = bias(counts.size, *occurring, total, row_weight)
    joint = np.dot(counts, np.log(counts))
    margins = xlogy(left, left).sum() + xlogy(right, right).sum()
    return (joint - margins) / total + np.log(total) - excess
