"""LearnSPN: circuits grown by splitting columns that are independent and rows that differ."""

from dataclasses import dataclass, field

import numpy as np

from ..circuit import Circuit, Input, Node, Product, Sum
from ..distributions import Categorical
from ..utils.numbers import is_number, is_whole
from .base import Structure
from .chow_liu import maximum_spanning_tree, tree_centre
from .chow_liu_tree import indicators, tree_vector
from .column_codes import check_n_bins, check_weight, encode_column, resolve_n_bins
from .independence import independent_groups
from .mutual_information import coded_information
from .row_clusters import two_clusters
from .row_evidence import RowEvidence

LEAVES = ("chow_liu", "independent")
#: A part is not cut where the smaller cluster would have less than this share of ``min_rows``.
SMALLEST_CLUSTER = 0.1
#: Columns with more states are no nodes of Chow-Liu trees, and clusters see this many groups of
#: their states: a statistic a state and cell would take 4 GB for 100 000 rows and 5000 words.
MOST_STATES = 100
STATE_GROUPS = 16


class LearnSPN(Structure):
    """Sum-product network learnt by recursive splits of the table [1]_.

    Columns that are independent become a product; if all hang together, the rows are cut into two
    clusters, which become a sum; and so on, until few rows or one column are left. The circuit is
    irregular, a node being a single number, and comes with its parameters.

    Parameters
    ----------
    min_rows : int or "auto", default="auto"
        Rows (or their weight) below which a part of the table is split no more. "auto" is twice
        the square root of all rows: 24 of 150, 260 of 17 000.
    significance : float, default=1e-4
        Probability with which two independent columns are found dependent, by G-tests.
    leaves : {"chow_liu", "independent"}, default="chow_liu"
        What stands for the columns of a part that is split no more: a Chow-Liu tree, whose
        continuous columns each depend on one discrete column, or independent leaves.
    n_bins : int or "auto", default="auto"
        Largest number of quantile bins in which a continuous column is tested.
    pseudocount : float, default=1.0
        Rows with which leaves are drawn to the distribution of their whole column, and tables to
        that of their column in the part of the table.

    Notes
    -----
    Nothing is drawn by chance: the result depends on the rows alone.

    The parameters are counted as the parts are found, and ``fit`` refines them by five passes of
    EM over all rows, instead of the default solver (solvers that are given are used as they are).
    On six binary tables this gains 0.02 to 0.5 nats on rows held out, of which the first pass
    brings two thirds, and ten passes hardly more; the large first steps of the default solver
    lose on plants 0.2 nats. There is no ``partial_fit``.

    References
    ----------
    .. [1] R. Gens and P. Domingos, "Learning the structure of sum-product networks", ICML 2013.

    Examples
    --------
    >>> import numpy as np
    >>> from skpc.distributions import Bernoulli
    >>> from skpc.structures import LearnSPN
    >>> X = np.array([[0, 0, 1], [0, 0, 0], [1, 1, 0], [1, 1, 1]] * 50, dtype=float)
    >>> LearnSPN(leaves="independent").build(X, [Bernoulli()] * 3, n_components=1)
    Circuit(n_variables=3, ...)
    """

    learns_parameters = True

    def __init__(
        self,
        min_rows="auto",
        significance=1e-4,
        leaves="chow_liu",
        n_bins="auto",
        pseudocount=1.0,
    ):
        self.min_rows = min_rows
        self.significance = significance
        self.leaves = leaves
        self.n_bins = n_bins
        self.pseudocount = pseudocount

    def check(self):
        if not (self.min_rows == "auto" or is_whole(self.min_rows, 1)):
            raise ValueError(
                f"min_rows={self.min_rows!r} must be 'auto' or an integer of at least 1."
            )
        if not (is_number(self.significance) and 0 < self.significance < 1):
            raise ValueError(
                f"significance={self.significance!r} must be a number between 0 and 1."
            )
        if self.leaves not in LEAVES:
            raise ValueError(f"leaves={self.leaves!r} is not known; use one of {LEAVES}.")
        check_n_bins(self.n_bins)
        if not (is_number(self.pseudocount) and 0 < self.pseudocount < np.inf):
            raise ValueError(
                f"pseudocount={self.pseudocount!r} must be a positive and finite number."
            )

    def build(self, X, distributions, *, n_components, sample_weight=None, random_state=None):
        """Learn the circuit with its parameters.

        Parameters
        ----------
        X : array of shape (n_rows, n_variables)
            Encoded rows.
        distributions : sequence of length n_variables, of Distribution
        n_components : int
            Not used: how many nodes there are, the rows decide.
        sample_weight : array of shape (n_rows,), optional
            A weight of 2 equals two rows, a weight of 0 equals absence.
        random_state
            Not used.

        Returns
        -------
        Circuit
            Whose nodes carry start values.
        """
        self.check()
        kept, weight = check_weight(sample_weight, len(X))
        X = np.asarray(X)
        table = SplitTable(self, X if kept is None else X[kept], distributions, weight)
        return Circuit(grow(table), len(distributions))


@dataclass
class Region:
    """Some rows and columns of the table, and how they are split.

    Attributes
    ----------
    rows, variables : arrays of int
    is_one_group : bool
        Whether the columns are known to hang together, or must hang together as a part.
    kind : {"leaf", "product", "sum"}
    parts : list of Region
    """

    rows: np.ndarray
    variables: np.ndarray
    is_one_group: bool = False
    kind: str = "leaf"
    parts: list = field(default_factory=list)


def grow(table):
    """The root of the circuit of a whole table.

    Parameters
    ----------
    table : SplitTable

    Returns
    -------
    Node
    """
    n_rows, n_variables = table.X.shape
    root = Region(np.arange(n_rows), np.arange(n_variables))
    regions = [root]
    # The list grows while it is read; parts follow the region that they are parts of.
    for region in regions:
        table.split(region)
        regions += region.parts
    nodes: dict[int, Node] = {}
    for region in reversed(regions):
        parts = [nodes.pop(id(part)) for part in region.parts]
        if region.kind == "leaf":
            node: Node = table.leaf(region)
        elif region.kind == "product":
            node = product_of(parts)
        else:
            sizes = np.array([table.weight[part.rows].sum() for part in region.parts])
            node = sum_of(parts, sizes / sizes.sum())
        nodes[id(region)] = node
    return nodes[id(root)]


def product_of(parts):
    """A product, whose factors are not products themselves."""
    factors: list[Node] = []
    for part in parts:
        factors += part.children if isinstance(part, Product) else [part]
    return Product(factors)


def sum_of(parts, shares):
    """A sum, whose children are not sums themselves, but for Chow-Liu trees."""
    children: list[Node] = []
    weights: list[float] = []
    for part, share in zip(parts, shares, strict=True):
        is_mixture = isinstance(part, Sum) and all(c.n_units == 1 for c in part.children)
        if is_mixture and part.weights is not None:
            children += part.children
            weights += (share * part.weights[0]).tolist()
        else:
            children.append(part)
            weights.append(share)
    return Sum(children, 1, weights=[weights])


def grouped_states(X, distributions, weight, is_wide):
    """The table and its families, with the states of some columns in a few groups of neighbours.

    Parameters
    ----------
    X : array of shape (n_rows, n_variables)
    distributions : sequence of Distribution
    weight : array of shape (n_rows,)
    is_wide : boolean array of shape (n_variables,)

    Returns
    -------
    X : array of shape (n_rows, n_variables)
    distributions : list of Distribution
    """
    families = list(distributions)
    if is_wide.any():
        X = X.astype(np.float64)
    for variable in np.flatnonzero(is_wide):
        codes, size = encode_column(X[:, variable], weight, variable, None, STATE_GROUPS)
        X[:, variable] = np.where(codes < 0, np.nan, codes)
        families[variable] = Categorical(max(size, 2))
    return X, families


class SplitTable:
    """The table, how its parts are split, and the leaves of parts.

    Parameters
    ----------
    settings : LearnSPN
    X : array of shape (n_rows, n_variables)
    distributions : sequence of Distribution
    weight : array of shape (n_rows,)
        Positive.
    """

    def __init__(self, settings, X, distributions, weight):
        self.settings = settings
        self.X = X
        self.distributions = distributions
        self.weight = weight
        self.min_rows = settings.min_rows
        if self.min_rows == "auto":
            self.min_rows = 2 * np.sqrt(weight.sum())
        self.n_states = [family.n_states for family in distributions]
        self.is_wide = np.array([(states or 0) > MOST_STATES for states in self.n_states])
        coarse, families = grouped_states(X, distributions, weight, self.is_wide)
        self.evidence = RowEvidence(coarse, families)
        self.priors = [
            family.moments_prior(coarse[:, variable], weight)
            for variable, family in enumerate(families)
        ]
        self.n_bins = resolve_n_bins(settings.n_bins, weight.sum(), self.n_states)
        finite = [states is not None for states in self.n_states]
        self.codes = np.where(X == X, X, -1)[:, finite].T.astype(np.int32)
        self.place = np.cumsum(finite) - 1
        #: Shares of the states of every discrete column, in the whole table.
        self.shares = {
            variable: family.probabilities(family.moments_prior(X[:, variable], weight))
            for variable, family in enumerate(distributions)
            if family.n_states is not None
        }
        self.indicators = {}

    def split(self, region):
        """Find the parts of a region, if it has any."""
        if len(region.variables) == 1:
            return
        weight = self.weight[region.rows]
        if weight.sum() < self.min_rows:
            return
        if not region.is_one_group:
            codes, sizes = self.coded(region)
            groups, _ = independent_groups(codes, sizes, weight, self.settings.significance)
            if len(groups) > 1:
                region.kind = "product"
                for group in groups:
                    region.parts.append(Region(region.rows, region.variables[group], True))
                return
        part = self.evidence.part(region.rows, region.variables)
        second = two_clusters(part, weight, self.priors)
        smaller = min(weight[second].sum(), weight[~second].sum())
        if smaller < SMALLEST_CLUSTER * self.min_rows:
            return
        region.kind = "sum"
        for mine in (~second, second):
            region.parts.append(Region(region.rows[mine], region.variables))

    def coded(self, region):
        """Codes of the region's columns, and how many each may have."""
        codes, sizes = [], []
        for variable in region.variables:
            if self.n_states[variable] is None:
                values = self.X[region.rows, variable]
                weight = self.weight[region.rows]
                column, size = encode_column(values, weight, variable, None, self.n_bins)
            else:
                column = self.codes[self.place[variable], region.rows]
                size = self.n_states[variable]
            codes.append(column)
            sizes.append(size)
        return np.array(codes), sizes

    def leaf(self, region):
        """A node for a region that is split no more."""
        finite = [
            v for v in region.variables if self.n_states[v] is not None and not self.is_wide[v]
        ]
        if self.settings.leaves == "chow_liu" and finite and len(region.variables) > 1:
            return self.tree(region, finite)
        leaves = self.inputs(region.rows, region.variables, self.weight[region.rows, None])
        return leaves[0] if len(leaves) == 1 else Product(leaves)

    def inputs(self, rows, variables, weight):
        """Leaves of some columns, a unit for each of some weightings (n_rows, k) of the rows."""
        n_units, a = weight.shape[1], self.settings.pseudocount
        made = {}
        narrow = [variable for variable in variables if not self.is_wide[variable]]
        if narrow:
            part = self.evidence.part(rows, narrow)
            for kind, mean in zip(part.kinds, part.means(weight, self.priors, a), strict=True):
                for column, variable in enumerate(kind.variables):
                    made[variable] = Input(variable, kind.family, n_units, mean=mean[:, column])
        for variable in variables:
            if self.is_wide[variable]:
                column = self.codes[self.place[variable], rows]
                unit, place = np.nonzero(weight.T)
                table = self.table(column[place], variable, unit, n_units, weight[place, unit])
                family = self.distributions[variable]
                mean = family.mean_from_probabilities(table)
                made[variable] = Input(variable, family, n_units, mean=mean)
        return [made[variable] for variable in variables]

    def tree(self, region, finite):
        """A Chow-Liu tree of the region's discrete columns, others hanging on its nodes."""
        weight = self.weight[region.rows]
        codes, sizes = self.coded(region)
        information = coded_information(list(codes), sizes, weight, 1.0)
        where = {variable: place for place, variable in enumerate(region.variables)}
        places = [where[variable] for variable in finite]
        edges = maximum_spanning_tree(information[np.ix_(places, places)])
        leaves = [[self.indicator(variable)] for variable in finite]
        for variable in np.setdiff1d(region.variables, finite):
            told_by = int(np.argmax(information[where[variable], places]))
            states = codes[places[told_by]][:, None] == np.arange(self.n_states[finite[told_by]])
            leaves[told_by] += self.inputs(region.rows, [variable], weight[:, None] * states)

        def table_below(node, above, vector):
            n_above = self.n_states[finite[above]]
            given = codes[places[above]]
            table = self.table(codes[places[node]], finite[node], given, n_above, weight)
            return Sum([vector], n_above, weights=table)

        root = tree_centre(edges)
        vector = tree_vector(edges, root, leaves, table_below)
        table = self.table(codes[places[root]], finite[root], None, 1, weight)
        return Sum([vector], 1, weights=table)

    def table(self, column, variable, above, n_above, weight):
        """Probabilities of the states of a column given those above, (n_above, n_states)."""
        n_states = self.n_states[variable]
        a = self.settings.pseudocount
        seen = column >= 0
        counts = np.bincount(column[seen], weight[seen], minlength=n_states)
        marginal = counts + a * self.shares[variable]
        marginal /= marginal.sum()
        if above is None:
            return marginal[None]
        seen &= above >= 0
        cells = above[seen] * n_states + column[seen]
        counts = np.bincount(cells, weight[seen], minlength=n_above * n_states)
        table = counts.reshape(n_above, n_states) + a * marginal
        return table / table.sum(axis=1, keepdims=True)

    def indicator(self, variable):
        """The leaf that knows the states of a column: one for all trees."""
        if variable not in self.indicators:
            self.indicators[variable] = indicators(variable, self.n_states[variable])
        return self.indicators[variable]
