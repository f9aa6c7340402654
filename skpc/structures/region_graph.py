"""Region graphs: sets of columns with the ways to cut them, and the circuits that they make."""

from collections import Counter
from typing import Any

from ..circuit import Circuit, Input, Node, Product, Sum
from ..circuit.nodes import topological_order
from ..utils.numbers import is_whole

PRODUCTS = ("elementwise", "kronecker")


class Region:
    """A set of columns: cut into smaller regions, in one way or several, or a leaf.

    Several partitions may hold the same region, which then is one node of the circuit.

    Parameters
    ----------
    variables : sequence of int, default=()
        The columns of a leaf. Those of other regions are what their parts hold together.
    partitions : sequence of tuple of Region, default=()
        Every partition holds all columns of the region, each in one of its parts. They may be
        added later.
    """

    def __init__(self, variables=(), partitions=()):
        self.variables = tuple(int(variable) for variable in variables)
        self.partitions = list(partitions)

    @property
    def children(self):
        """All parts of all partitions."""
        return [part for partition in self.partitions for part in partition]


def region_circuit(root, make_leaf, n_components, n_variables, product="elementwise"):
    """The circuit of a region graph: a vector of sums a region, a product a partition [1]_, [2]_.

    With elementwise products a region is one dense sum over the products of all its partitions.
    With Kronecker products, of all pairs of units of two parts, every partition has a dense sum
    of its own and the region mixes these; more than two parts are joined in pairs.

    Parameters
    ----------
    root : Region
    make_leaf : callable
        Called with the columns of a leaf region; returns its Node.
    n_components : int
        Sums of every region but the root, which has one.
    n_variables : int
        Columns of the data.
    product : {"elementwise", "kronecker"}, default="elementwise"

    Returns
    -------
    Circuit

    References
    ----------
    .. [1] R. Peharz et al., "Random sum-product networks: a simple and effective approach to
       probabilistic deep learning", UAI 2019.
    .. [2] R. Peharz et al., "Einsum networks: fast and scalable learning of tractable
       probabilistic circuits", ICML 2020.

    Examples
    --------
    >>> from skpc.distributions import Bernoulli
    >>> first, second, third = Region([0]), Region([1]), Region([2])
    >>> pair = Region(partitions=[(first, second)])
    >>> root = Region(partitions=[(pair, third)])
    >>> region_circuit(root, factorised_leaf([Bernoulli()] * 3, 4), 4, 3)
    Circuit(n_variables=3, nodes=7 (3 Input, 2 Product, 2 Sum), edges=20, parameters=32)
    """
    join = elementwise_sum if product == "elementwise" else kronecker_sum
    nodes: dict[Region, Node] = {}
    regions: list[Any] = topological_order(root)
    uses = Counter(part for region in regions for part in region.children)

    def factors(parts):
        for part in parts:
            node = nodes[part]
            # A product that nothing else reads is not worth a vector.
            if product == "elementwise" and uses[part] == 1 and isinstance(node, Product):
                yield from node.children
            else:
                yield node

    for region in regions:
        n_units = 1 if region is root else n_components
        if region.partitions:
            partitions = [list(factors(parts)) for parts in region.partitions]
            nodes[region] = join(partitions, n_units, n_components)
        else:
            leaf = make_leaf(region.variables)
            # Leaves are as they are below Kronecker products, which take any two lengths.
            fits = leaf.n_units == n_units or (product == "kronecker" and region is not root)
            nodes[region] = leaf if fits else Sum([leaf], n_units)
    return Circuit(nodes[root], n_variables)


def elementwise_sum(partitions, n_units, _):
    """One dense sum over the elementwise products of lists of nodes."""
    return Sum([Product(parts) for parts in partitions], n_units)


def kronecker_sum(partitions, n_units, n_inner):
    """A mixing sum over dense sums of Kronecker products of lists of nodes.

    Of more than two nodes neighbours are joined, with `n_inner` sums a pair, until two are left.
    """
    sums = []
    for parts in partitions:
        while len(parts) > 2:
            pairs = [parts[i : i + 2] for i in range(0, len(parts), 2)]
            parts = [
                Sum(Product(pair, kronecker=True), n_inner) if len(pair) == 2 else pair[0]
                for pair in pairs
            ]
        sums.append(Sum(Product(parts, kronecker=True), n_units))
    return sums[0] if len(sums) == 1 else Sum(sums, n_units, kind="mixing")


def factorised_leaf(distributions, n_units):
    """For `region_circuit`: leaf regions in which the columns of a unit are independent.

    Parameters
    ----------
    distributions : sequence of Distribution
        Of every column.
    n_units : int

    Returns
    -------
    callable
        From columns to a Node of `n_units` units.
    """

    def make_leaf(variables):
        inputs = [Input(variable, distributions[variable], n_units) for variable in variables]
        return inputs[0] if len(inputs) == 1 else Product(inputs)

    return make_leaf


def check_product(product):
    """Raise ValueError unless this names a kind of product."""
    if product not in PRODUCTS:
        raise ValueError(f"product={product!r} is not known; use one of {PRODUCTS}.")


def check_counts(structure, *names, optional=()):
    """Raise ValueError for a setting that is not a whole number of at least 1.

    Parameters
    ----------
    structure : Structure
    *names : str
        Settings that are numbers.
    optional : sequence of str, default=()
        Settings that are numbers or None.
    """
    for name in (*names, *optional):
        count = getattr(structure, name)
        if not (is_whole(count, 1) or (count is None and name in optional)):
            or_none = " or None" if name in optional else ""
            raise ValueError(f"{name}={count!r} must be an integer of at least 1{or_none}.")
