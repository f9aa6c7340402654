"""A checked circuit: which distribution, not how to compute it."""

from __future__ import annotations

from collections import Counter

from .nodes import Input, Node, Product, Sum, topological_order


class Circuit:
    """A smooth and decomposable circuit with one output unit.

    Smooth: the children of a sum speak of the same variables. Decomposable: the children
    of a product speak of different ones. Both together make every marginal exact in one
    pass (Darwiche 2003; Poon & Domingos 2011). They are checked here once.

    Parameters
    ----------
    root : Node
        The output; a node of one unit.
    n_variables : int, optional
        Columns of the data. By default one more than the largest variable.

    Attributes
    ----------
    nodes : list of Node
        Every node once, children before parents.
    inputs, products, sums : list of Node
        The same by kind.

    Examples
    --------
    >>> from skpc.circuit import Circuit, Input, Product, Sum
    >>> from skpc.distributions import Bernoulli
    >>> left = Product([Input(0, Bernoulli(), 2), Input(1, Bernoulli(), 2)])
    >>> circuit = Circuit(Sum(left, 1))
    >>> circuit
    Circuit(n_variables=2, nodes=4 (2 Input, 1 Product, 1 Sum), edges=2, parameters=6)
    """

    def __init__(self, root: Node, n_variables: int | None = None) -> None:
        if not isinstance(root, Node):
            raise TypeError(f"root must be an Input, Product or Sum node, got {root!r}.")
        # The first attribute: pickle and deepcopy meet children before parents, so that they
        # do not recurse as deep as the circuit (100 levels were too many).
        self.nodes = topological_order(root)
        self.root = root
        top = root.scope_bits.bit_length()
        self.n_variables = top if n_variables is None else int(n_variables)
        if self.n_variables < top:
            raise ValueError(
                f"n_variables={n_variables} but the circuit has a leaf for variable {top - 1}."
            )
        self.inputs: list[Input] = [n for n in self.nodes if isinstance(n, Input)]
        self.products: list[Product] = [n for n in self.nodes if isinstance(n, Product)]
        self.sums: list[Sum] = [n for n in self.nodes if isinstance(n, Sum)]
        self._check()

    @property
    def scope(self) -> frozenset[int]:
        """Variables that the circuit speaks of."""
        return self.root.scope

    @property
    def is_tied(self) -> bool:
        """Whether two nodes share parameters."""
        return any(n.share is not None for n in (*self.sums, *self.inputs))

    @property
    def n_edges(self) -> int:
        """Weighted edges: units of sums times the units each sees."""
        return sum(s.n_units * s.n_inputs for s in self.sums)

    @property
    def n_parameters(self) -> int:
        """Stored numbers: sum weights and mean parameters, tied ones once."""
        weights = sum(s.n_units * s.n_inputs for s in self.sums if s.share is None)
        leaves = sum(
            i.n_units * i.distribution.n_statistics for i in self.inputs if i.share is None
        )
        return weights + leaves

    def _check(self) -> None:
        if self.root.n_units != 1:
            raise ValueError(
                f"The root {self.root!r} has {self.root.n_units} units; a distribution needs "
                "one: put Sum(root, 1) above it."
            )
        known = {id(n) for n in self.nodes}
        for node in self.nodes:
            if isinstance(node, Sum):
                for child in node.children:
                    if child.scope_bits != node.scope_bits:
                        missing = sorted(node.scope - child.scope)[:5]
                        raise ValueError(
                            f"{node!r} is not smooth: its child {child!r} lacks the variables "
                            f"{missing}. The children of a sum need one scope."
                        )
            elif isinstance(node, Product):
                sizes = [child.scope_bits.bit_count() for child in node.children]
                if sum(sizes) > node.scope_bits.bit_count():
                    count = Counter(v for child in node.children for v in child.scope)
                    twice = sorted(v for v, n in count.items() if n > 1)[:5]
                    raise ValueError(
                        f"{node!r} is not decomposable: its children share the variables "
                        f"{twice}. The children of a product need disjoint scopes."
                    )
                if node.kronecker and node is self.root:
                    raise ValueError("A Kronecker product cannot be the root.")
            if node.share is not None and id(node.share) not in known:
                raise ValueError(
                    f"{node!r} shares the parameters of {node.share!r}, which is not part of "
                    "this circuit."
                )
        for node in self.nodes:
            if isinstance(node, Product):
                for child in node.children:
                    if isinstance(child, Product) and child.kronecker:
                        raise ValueError(
                            f"{child!r} is a Kronecker product below a product; put a Sum "
                            "between them."
                        )

    def __repr__(self) -> str:
        kinds = f"{len(self.inputs)} Input, {len(self.products)} Product, {len(self.sums)} Sum"
        return (
            f"Circuit(n_variables={self.n_variables}, nodes={len(self.nodes)} ({kinds}), "
            f"edges={self.n_edges}, parameters={self.n_parameters})"
        )
