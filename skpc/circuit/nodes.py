"""The three kinds of node. Each is a vector of units that share one scope.

A unit is one number per row: a density (input), a product of densities, or a
weighted mean of densities. Circuits are built bottom-up from these nodes and
handed to :class:`~skpc.circuit.Circuit`, which checks them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ..distributions import Distribution, resolve_distribution

SUM_KINDS = ("dense", "block", "mixing")


class Node:
    """A vector of ``n_units`` units over the variables of ``scope``."""

    children: tuple[Node, ...] = ()
    #: The scope as one integer, variable v as 2**v: a chain of 10 000 variables is made in 0.3 s
    #: and 0.1 GB so, in 2 s and 1.2 GB with sets.
    scope_bits: int
    n_units: int
    #: The node whose parameters this one uses, None for its own.
    share: Any = None

    @property
    def scope(self) -> frozenset[int]:
        """The variables that the units speak of."""
        return frozenset(variables_of(self.scope_bits))

    def _fields(self) -> str:
        return f"n_units={self.n_units}"

    def __repr__(self) -> str:
        variables = variables_of(self.scope_bits)
        names = ", ".join(str(v) for v in variables[:6])
        more = ", …" if len(variables) > 6 else ""
        return f"{type(self).__name__}({self._fields()}, scope={{{names}{more}}})"


class Input(Node):
    """``n_units`` members of one family of distributions over one variable, or a group.

    Parameters
    ----------
    variables : int or sequence of int
        Column of the data, from 0; the columns of the group for a family over several, such as
        ``MultivariateGaussian(3)``.
    distribution : Distribution or str
        The family, e.g. ``Bernoulli()``, ``Categorical(5)``, ``Gaussian()``, or the name of
        one whose fields all have defaults: ``"bernoulli"``, ``"gaussian"``.
    n_units : int
        Length of the vector.
    mean : array-like of shape (n_units, n_statistics), optional
        Start values: the mean parameters of every unit, e.g. the probability of a one for
        ``Bernoulli()``, [E[x], E[x²]] for ``Gaussian()``.
    share : Input, optional
        Use the parameters of that node, which must be of the same family and length.

    Raises
    ------
    ValueError, TypeError
        If there is no such family, or no member of it has such a mean.
    """

    def __init__(
        self,
        variables: int | Sequence[int],
        distribution: Distribution | str,
        n_units: int = 1,
        *,
        mean: Any = None,
        share: Input | None = None,
    ) -> None:
        self.distribution = family = resolve_distribution(distribution)
        given = [variables] if np.ndim(variables) == 0 else list(variables)  # type: ignore
        self.variables = tuple(_index(v, "variable") for v in given)
        if len(self.variables) != family.n_variables:
            raise ValueError(
                f"variables={variables!r} are {len(self.variables)} columns, but {family!r} is a "
                f"distribution of {family.n_variables}."
            )
        if len(set(self.variables)) < len(self.variables):
            raise ValueError(f"variables={variables!r} names a column twice.")
        self.n_units = _count(n_units, "n_units")
        self.scope_bits = sum(1 << v for v in self.variables)
        self.share = _shared(self, share)
        if share is not None and share.distribution != family:
            raise ValueError(
                f"share: {share!r} is of family {share.distribution!r}, this Input of "
                f"{family!r}; shared parameters need one family."
            )
        self.mean = None if mean is None else _mean(mean, family, self.n_units)

    @property
    def variable(self) -> int:
        """The column, or the first one of a group."""
        return self.variables[0]

    def _fields(self) -> str:
        return f"{self.distribution!r}, n_units={self.n_units}"


class Product(Node):
    """Independent parts: unit k is the product of the k-th units of the children.

    Parameters
    ----------
    children : sequence of Node
        Nodes with disjoint scopes and, unless ``kronecker``, equal lengths.
    kronecker : bool, default=False
        Multiply every unit of the first child with every unit of the second (exactly
        two children). Such a product may only be the child of one dense Sum, which
        computes both at once, so that the long vector is never stored.
    grid : (int, int), optional
        Of a single child: (rows, columns) of the table that its units fill row by row. The
        product has the same units column by column: number ``j * rows + i`` is the child's
        ``i * columns + j``. Between two block sums every part of one so meets every part of
        the other.
    """

    def __init__(
        self,
        children: Node | Sequence[Node],
        *,
        kronecker: bool = False,
        grid: tuple[int, int] | None = None,
    ) -> None:
        self.children = _children(children)
        self.kronecker = bool(kronecker)
        self.grid = None if grid is None else _grid(grid, self.children, self.kronecker)
        self.scope_bits = _union(self.children)
        lengths = [c.n_units for c in self.children]
        if self.kronecker:
            if len(lengths) != 2:
                raise ValueError(
                    f"A Kronecker product has exactly two children, got {len(lengths)}."
                )
            self.n_units = lengths[0] * lengths[1]
        else:
            if len(set(lengths)) > 1:
                raise ValueError(
                    f"The children of a Product have {lengths} units; they must have the same "
                    "number, or be two children of a Kronecker product (kronecker=True)."
                )
            self.n_units = lengths[0]

    def _fields(self) -> str:
        extra = ", kronecker=True" if self.kronecker else ""
        return f"n_units={self.n_units}{extra}" + (f", grid={self.grid}" if self.grid else "")


class Sum(Node):
    """Mixtures: unit k is a weighted sum of units of the children.

    Parameters
    ----------
    children : Node or sequence of Node
        Nodes with the same scope.
    n_units : int
        Length of the vector.
    kind : {"dense", "block", "mixing"}, default="dense"
        Dense: over all units of all children. Block: unit and child vectors are cut into
        ``n_blocks`` equal parts, and part b sees only part b. Mixing: unit k mixes the
        k-th units of the children, one weight a child.
    n_blocks : int, default=1
        Number of parts of a block sum; the other kinds have one.
    weights : array-like of shape (n_units, n_inputs), optional
        Start values, one row a unit. ``n_inputs`` is the number of units that one unit
        sees, over the children in order. Rows need not sum to one: training starts from
        the same distribution, normalised (where weights are shared, from rows divided by
        their sums).
    share : Sum, optional
        Use the weights of that node, which must have the same shape.
    """

    def __init__(
        self,
        children: Node | Sequence[Node],
        n_units: int = 1,
        *,
        kind: str = "dense",
        n_blocks: int = 1,
        weights: Any = None,
        share: Sum | None = None,
    ) -> None:
        self.children = _children(children)
        self.n_units = _count(n_units, "n_units")
        self.n_blocks = _count(n_blocks, "n_blocks")
        if kind not in SUM_KINDS:
            raise ValueError(f"kind={kind!r} is not known; use one of {SUM_KINDS}.")
        if kind != "block" and self.n_blocks != 1:
            raise ValueError(
                f"n_blocks={n_blocks!r} cuts a block Sum only, this one has kind={kind!r}; "
                'leave n_blocks away or use kind="block".'
            )
        self.kind = kind
        self.scope_bits = _union(self.children)
        lengths = [c.n_units for c in self.children]
        if kind == "mixing" and set(lengths) != {self.n_units}:
            raise ValueError(
                f"A mixing Sum of {self.n_units} units needs children of {self.n_units} units, "
                f"got {lengths}."
            )
        if kind == "block":
            for n in (self.n_units, *lengths):
                if n % self.n_blocks:
                    raise ValueError(
                        f"A block Sum cuts every vector into n_blocks={self.n_blocks} equal "
                        f"parts; {n} units cannot be cut so."
                    )
        if any(isinstance(c, Product) and c.kronecker for c in self.children) and (
            len(self.children) > 1 or kind != "dense"
        ):
            raise ValueError(
                "A Kronecker product must be the only child of a dense Sum; wrap each such "
                "product in a Sum of its own and mix these."
            )
        self.share = _shared(self, share)
        if share is not None and (
            share.kind != kind
            or share.n_blocks != self.n_blocks
            or share.input_shapes != self.input_shapes
            or share.n_inputs != self.n_inputs
        ):
            raise ValueError(f"share: {share!r} has weights of another shape than this Sum.")
        self.weights = None
        if weights is not None:
            value = np.atleast_2d(np.asarray(weights, dtype=np.float64))
            shape = (self.n_units, self.n_inputs)
            if value.shape != shape:
                raise ValueError(f"weights have shape {value.shape}; {shape} is needed.")
            if not np.all(np.isfinite(value)) or np.any(value < 0):
                raise ValueError("weights must be finite and not negative.")
            self.weights = value

    @property
    def input_shapes(self) -> tuple[int, ...]:
        """Length of every child, with a Kronecker product as its two factors."""
        child = self.children[0]
        if isinstance(child, Product) and child.kronecker:
            return tuple(c.n_units for c in child.children)
        return tuple(c.n_units for c in self.children)

    @property
    def n_inputs(self) -> int:
        """Number of units that one unit of this sum sees."""
        if self.kind == "mixing":
            return len(self.children)
        return sum(c.n_units for c in self.children) // self.n_blocks

    def _fields(self) -> str:
        extra = "" if self.kind == "dense" else f", kind={self.kind!r}"
        return f"n_units={self.n_units}{extra}"


def variables_of(scope_bits: int) -> list[int]:
    """The variables of a scope, ascending.

    Examples
    --------
    >>> variables_of(0b10011)
    [0, 1, 4]
    """
    n_bytes = (scope_bits.bit_length() + 7) // 8
    octets = np.frombuffer(scope_bits.to_bytes(n_bytes, "little"), dtype=np.uint8)
    return np.flatnonzero(np.unpackbits(octets, bitorder="little")).tolist()


def topological_order(root: Node) -> list[Node]:
    """All nodes below ``root``, children first, each once; without recursion."""
    order: list[Node] = []
    seen: set[int] = set()
    stack: list[tuple[Node, Iterator[Node]]] = [(root, iter(root.children))]
    seen.add(id(root))
    while stack:
        node, rest = stack[-1]
        for child in rest:
            if id(child) not in seen:
                seen.add(id(child))
                stack.append((child, iter(child.children)))
                break
        else:
            order.append(node)
            stack.pop()
    return order


def _children(children: Node | Sequence[Node]) -> tuple[Node, ...]:
    nodes = (children,) if isinstance(children, Node) else tuple(children)
    if not nodes:
        raise ValueError("A Sum or Product needs at least one child.")
    for node in nodes:
        if not isinstance(node, Node):
            raise TypeError(f"children must be Input, Product or Sum nodes, got {node!r}.")
    return nodes


def _union(nodes: Sequence[Node]) -> int:
    # Equal scopes are one integer in memory, for sums have the scope of their children.
    bits = nodes[0].scope_bits
    for node in nodes[1:]:
        if node.scope_bits != bits:
            bits |= node.scope_bits
    return bits


def _count(value: Any, name: str) -> int:
    if isinstance(value, bool) or int(value) != value or value < 1:
        raise ValueError(f"{name}={value!r} must be a whole number of at least 1.")
    return int(value)


def _grid(grid: Any, children: tuple[Node, ...], kronecker: bool) -> tuple[int, int]:
    rows, columns = (_count(n, "grid") for n in grid)
    if kronecker or len(children) != 1 or rows * columns != children[0].n_units:
        lengths = [child.n_units for child in children]
        raise ValueError(
            f"grid={grid!r} orders the units of one child of {rows * columns} units; got children "
            f"of {lengths} units{' and kronecker=True' if kronecker else ''}."
        )
    return rows, columns


def _index(value: Any, name: str) -> int:
    if isinstance(value, bool) or int(value) != value or value < 0:
        raise ValueError(f"{name}={value!r} must be the number of a column, from 0.")
    return int(value)


def _mean(mean: Any, family: Distribution, n_units: int) -> np.ndarray:
    value = np.asarray(mean, dtype=np.float64)
    shape = (n_units, family.n_statistics)
    if value.size != shape[0] * shape[1]:
        raise ValueError(f"mean has shape {value.shape}; {shape} is needed.")
    value = value.reshape(shape)
    finite = np.isfinite(value)
    # What is not finite cannot be projected; it is refused anyway. Float32 probabilities pass.
    near = np.isclose(family.project(np.where(finite, value, 0.0)), value, rtol=1e-12, atol=1e-6)
    bad = np.flatnonzero(~(finite & near).all(axis=1))
    if bad.size:
        raise ValueError(
            f"mean={value[bad[0]].tolist()} of unit {bad[0]}: no {family!r} has such a mean; "
            f"give {family.mean_in_words}."
        )
    return value


def _shared(node: Node, other: Any) -> Any:
    if other is None:
        return None
    if type(other) is not type(node) or other.n_units != node.n_units:
        raise ValueError(
            f"share={other!r} must be a {type(node).__name__} of {node.n_units} units."
        )
    return other if other.share is None else other.share
