"""Brute force in float64: what a circuit means, written down naively, for the tests to believe.

Nothing here uses the engines. Values go unit by unit in logarithms; flows come twice, by the
rule of the flows and by their definition: an *induced tree* keeps one child of every sum unit
that it reaches and all children of every product, its mass is the product of its weights and
leaf densities, and the flow of an edge is the posterior mass of the trees that use it.
"""

from itertools import product as combinations
from typing import NamedTuple

import numpy as np

from skpc.circuit import Circuit, Input, Parameters, Product, Program, Statistics, Sum
from skpc.distributions import Bernoulli, Categorical, Gaussian

MISSING = np.nan


# -- circuits -----------------------------------------------------------------------------


def bernoulli_inputs(n_variables, n_units):
    return [Input(i, Bernoulli(), n_units) for i in range(n_variables)]


def tree(n_units=3):
    """A hidden Chow-Liu tree: 1 and 2 below 0, 3 and 4 below 2."""
    leaf = bernoulli_inputs(5, n_units)
    inner = Product([leaf[2], Sum(leaf[3], n_units), Sum(leaf[4], n_units)])
    return Circuit(Sum(Product([leaf[0], Sum(leaf[1], n_units), Sum(inner, n_units)])))


def chain(n_variables, n_units, make_leaf=lambda i, k: Input(i, Bernoulli(), k)):
    """Every variable below the one before it."""
    node = make_leaf(n_variables - 1, n_units)
    for i in range(n_variables - 2, -1, -1):
        node = Product([make_leaf(i, n_units), Sum(node, n_units)])
    return Circuit(Sum(node))


def dag():
    """Shared nodes of every kind: a leaf below sum and product, a sum below two products."""
    a, b, c, d = (Input(i, Categorical(3), 2) for i in range(4))
    shared_sum = Sum(Product([a, b]), 2)
    leaf_sum = Sum(c, 2)
    left = Product([shared_sum, c])
    right = Product([shared_sum, leaf_sum])
    both = Sum([left, right, left], 2)
    nested = Product([Product([shared_sum, leaf_sum]), d])
    return Circuit(Sum([Product([both, d]), nested, Product([both, Sum(d, 2)])]))


def block():
    a, b, c = (Input(i, Bernoulli(), 6) for i in range(3))
    low = Sum([Product([a, b]), Product([Sum(a, 6, kind="block", n_blocks=2), b])], 4,
              kind="block", n_blocks=2)  # fmt: skip
    return Circuit(Sum(Product([low, Sum(c, 4, kind="block", n_blocks=2)])))


def mixing():
    a, b = (Input(i, Categorical(4), 3) for i in range(2))
    other = Product([Sum(a, 3), Sum(b, 3)])
    mixed = Sum([Product([a, b]), other, Product([Sum(a, 3), b])], 3, kind="mixing")
    return Circuit(Sum(Sum([mixed, other], 3, kind="mixing")))


def kronecker():
    """Sums over Kronecker products: of leaves, of sums, one of them shared, and mixed."""
    a, b, c = Input(0, Bernoulli(), 2), Input(1, Categorical(3), 3), Input(2, Bernoulli(), 2)
    pair = Product([a, b], kronecker=True)
    first, second = Sum(pair, 2), Sum(pair, 2)
    third = Sum(Product([Sum(a, 3), b], kronecker=True), 2)
    mixed = Sum([first, second, third], 2, kind="mixing")
    top = Sum(Product([mixed, c], kronecker=True), 1)
    return Circuit(Sum([top, Sum(Product([first, c]))]))


def transposed():
    """Units in the order of a grid's columns: of a leaf, between block sums, seen twice."""
    a, b, c = Input(0, Categorical(3), 6), Input(1, Bernoulli(), 6), Input(2, Bernoulli(), 6)
    low = Sum(Product([Product([a], grid=(2, 3)), b]), 6, kind="block", n_blocks=2)
    turned = Product(low, grid=(3, 2))
    high = Sum(turned, 6, kind="block", n_blocks=3)
    mixed = Sum([Product(high, grid=(2, 3)), turned, Product(turned, grid=(6, 1))], 6,
                kind="mixing")  # fmt: skip
    return Circuit(Sum([Product([mixed, c]), Product([Product([a, b]), c])]))


def hmm(n_steps=5, n_units=2):
    """One transition matrix and one emission for all steps."""
    emission = Input(n_steps - 1, Categorical(3), n_units)
    transition, node = None, emission
    for i in range(n_steps - 2, -1, -1):
        above = Sum(node, n_units, share=transition)
        transition = transition or above
        node = Product([Input(i, Categorical(3), n_units, share=emission), above])
    return Circuit(Sum(node))


def sum_of_sums():
    a, b = bernoulli_inputs(2, 3)
    deep = Sum(Sum(Sum(Product([a, b]), 4), 2), 3)
    return Circuit(Sum(Sum([deep, Sum(Product([a, b]), 2)], 2)))


def single_input():
    return Circuit(Input(0, Categorical(4)))


def single_product():
    return Circuit(Product([Product([Input(i, Bernoulli())]) for i in range(3)]))


def mixed_families():
    """Leaves of four families, two of them for one variable, and a column without a leaf."""
    families = [Gaussian(), Bernoulli(), Categorical(9), Gaussian(variance_floor=1e-2)]
    leaves = [Input(i, family, 3) for i, family in enumerate(families)]
    other = Input(1, Categorical(2), 3)
    low = Sum(Product([leaves[0], Sum([leaves[1], other], 3)]), 3)
    return Circuit(Sum(Product([low, leaves[2], Sum(leaves[3], 3)])), n_variables=5)


def scalar():
    """Vectors of one unit: the shape of LearnSPN and of circuits made by hand."""
    a, b, c = (Input(0, Bernoulli()), Input(0, Bernoulli()), Input(1, Bernoulli()))
    d, e, f = (Input(1, Bernoulli()), Input(2, Categorical(3)), Input(2, Categorical(3)))
    inner = Sum([Product([a, c]), Product([b, d]), Product([a, d])])
    return Circuit(Sum([Product([inner, e]), Product([a, c, f])]))


def wide():
    """Lengths that fit no vector register, tiles of 64 rows, and a gather of many states."""
    a, b = Input(0, Categorical(11), 67), Input(1, Categorical(11), 67)
    low = Sum([Product([a, b]), Product([Sum(a, 67), b])], 7)
    return Circuit(Sum(Product([low, Input(2, Bernoulli(), 7)])))


def sums_of_columns():
    """Sums of sums of a column, beside others straight above its leaves, read by two products."""
    columns = []
    for i in range(4):
        deep = Sum(Sum(Input(i, Bernoulli(), 2), 3), 2)
        columns.append((deep, Sum(Input(i, Bernoulli(), 2), 2)))
    a, b = (
        Sum([Product([left[k], right[k]]) for k in range(2)], 2)
        for left, right in (columns[:2], columns[2:])
    )
    return Circuit(Sum(Product([a, b])))


CIRCUITS = {
    f.__name__: f
    for f in (
        tree, dag, block, mixing, kronecker, transposed, hmm, sum_of_sums, single_input,
        single_product, mixed_families, scalar, wide, sums_of_columns,
    )
}  # fmt: skip
UNTIED = {name: make for name, make in CIRCUITS.items() if name != "hmm"}
#: Few enough induced trees to list them all.
ENUMERABLE = {name: make for name, make in CIRCUITS.items() if name != "wide"}


def random_circuit(rng, n_variables=4, depth=3):
    """A smooth and decomposable DAG of every kind of node, over Bernoulli and ternary leaves."""
    made: dict[frozenset, list] = {}

    def again(scope):
        nodes = made.get(scope, [])
        return nodes[rng.integers(len(nodes))] if nodes and rng.random() < 0.4 else None

    def remember(node):
        made.setdefault(node.scope, []).append(node)
        return node

    def fit(node, n_units):
        return node if node.n_units == n_units else remember(Sum(node, n_units))

    def build(scope, n_units, depth):
        node = again(scope)
        if node is not None:
            return fit(node, n_units)
        variables = sorted(scope)
        if len(variables) == 1:
            family = Bernoulli() if variables[0] % 2 else Categorical(3)
            node = remember(Input(variables[0], family, int(rng.integers(1, 4))))
            return fit(node, n_units)
        parts = []
        for _ in range(int(rng.integers(1, 3)) if depth else 1):
            cut = rng.permutation(variables)
            at = int(rng.integers(1, len(variables)))
            first, second = frozenset(cut[:at].tolist()), frozenset(cut[at:].tolist())
            if rng.random() < 0.3:
                pair = [build(first, 2, depth - 1), build(second, 3, depth - 1)]
                parts.append(remember(Sum(Product(pair, kronecker=True), n_units)))
            else:
                pair = [build(first, n_units, depth - 1), build(second, n_units, depth - 1)]
                parts.append(remember(Product(pair)))
        if len(parts) > 1 or isinstance(parts[0], Product):
            kind = str(rng.choice(["dense", "mixing", "block"]))
            n_blocks = 2 if kind == "block" and n_units % 2 == 0 else 1
            return remember(Sum(parts, n_units, kind=kind, n_blocks=n_blocks))
        return parts[0]

    root = build(frozenset(range(n_variables)), int(rng.integers(1, 5)), depth)
    return Circuit(Sum(root))


# -- numbers ------------------------------------------------------------------------------


def random_parameters(program, rng, zero_fraction=0.0):
    """Normalised weights and diverse leaves; a share of weights and states may be zero."""

    def rows(shape):
        mass = rng.exponential(size=shape) + 1e-3
        mass[rng.random(shape) < zero_fraction] = 0.0
        empty = mass.sum(axis=-1) == 0
        mass[empty, rng.integers(shape[-1], size=empty.sum())] = 1.0
        return mass / mass.sum(axis=-1, keepdims=True)

    parameters = Parameters.uniform(program)
    for node in owners(program.circuit.sums):
        program.write_matrix(node, rows((node.n_units, node.n_inputs)), parameters.weights)
    for f, family in enumerate(program.families):
        n_units = program.family_units[f]
        if family.n_states is None:
            parameters.leaves[f] = family.random_mean(family.uniform_prior(), n_units, rng)
        else:
            states = rows((n_units, family.n_states))
            parameters.leaves[f] = family.mean_from_probabilities(states)
    return parameters


def random_rows(circuit, rng, n_rows, missing=0.2):
    """Rows in the support of the leaves, with missing cells; the first is all missing."""
    X = np.zeros((n_rows, circuit.n_variables))
    for leaf in circuit.inputs:
        family = leaf.distribution
        if family.n_states is None:
            X[:, leaf.variable] = 2 * rng.standard_normal(n_rows)
        else:
            X[:, leaf.variable] = rng.integers(smallest_support(circuit, leaf), size=n_rows)
    X[rng.random(X.shape) < missing] = MISSING
    X[:1] = MISSING
    return X


def smallest_support(circuit, leaf):
    """States that every leaf of a variable knows."""
    same = [i for i in circuit.inputs if i.variable == leaf.variable]
    return min(i.distribution.n_states for i in same)


def all_states(circuit, variables=None):
    """Every row of the finite variables; the others are missing."""
    sizes = {
        i.variable: smallest_support(circuit, i)
        for i in circuit.inputs
        if i.distribution.n_states is not None
    }
    variables = sorted(sizes) if variables is None else list(variables)
    states = np.array(list(combinations(*(range(sizes[v]) for v in variables))), dtype=float)
    X = np.full((len(states), circuit.n_variables), MISSING)
    X[:, variables] = states
    return X


def owners(nodes):
    """Nodes that hold parameters of their own."""
    return [n for n in nodes if n.share is None]


def owner(node):
    return node if node.share is None else node.share


# -- meaning ------------------------------------------------------------------------------


def columns(node, unit):
    """What a unit of a sum sees: (column, child, unit of the child)."""
    if node.kind == "mixing":
        return [(c, child, unit) for c, child in enumerate(node.children)]
    if node.kind == "dense":
        seen = [(child, k) for child in node.children for k in range(child.n_units)]
    else:
        part = unit // (node.n_units // node.n_blocks)
        seen = []
        for child in node.children:
            width = child.n_units // node.n_blocks
            seen += [(child, part * width + k) for k in range(width)]
    return [(column, *at) for column, at in enumerate(seen)]


def factors(node, unit):
    """What a unit of a product multiplies: (child, unit of the child)."""
    if node.kronecker:
        first, second = node.children
        return [(first, unit // second.n_units), (second, unit % second.n_units)]
    if node.grid:
        rows, columns = node.grid
        return [(node.children[0], unit % rows * columns + unit // rows)]
    return [(child, unit) for child in node.children]


def weights_of(parameters, node):
    return parameters.program.read_matrix(node, parameters.weights)


def leaf_log_density(parameters, leaf, X):
    """Shape (units, n)."""
    family, where = parameters.program.input_slice(owner(leaf))
    return leaf.distribution.log_density(
        parameters.leaves[family][where],
        X[:, leaf.variable] if len(leaf.variables) == 1 else X[:, list(leaf.variables)],
    )


def log_sum(terms):
    """log Σ exp of a list of arrays; -inf for the sum of nothing but zeros."""
    terms = np.array(terms)
    top = terms.max(axis=0)
    top = np.where(np.isfinite(top), top, 0.0)
    with np.errstate(divide="ignore"):
        return np.log(np.exp(terms - top).sum(axis=0)) + top


def log_values(parameters, X):
    """log of every unit: {(node, unit): array of shape (n,)}."""
    X = np.asarray(X, dtype=np.float64)
    values = {}
    for node in parameters.program.circuit.nodes:
        if isinstance(node, Input):
            densities = leaf_log_density(parameters, node, X)
        elif isinstance(node, Sum):
            with np.errstate(divide="ignore"):
                log_weights = np.log(weights_of(parameters, node))
        for k in range(node.n_units):
            if isinstance(node, Input):
                values[node, k] = densities[k]
            elif isinstance(node, Product):
                values[node, k] = sum(values[at] for at in factors(node, k))
            else:
                values[node, k] = log_sum(
                    [log_weights[k, c] + values[child, j] for c, child, j in columns(node, k)]
                )
    return values


def log_likelihood(parameters, X):
    """Natural log density of every row."""
    return log_values(parameters, X)[parameters.program.circuit.root, 0]


class Flows(NamedTuple):
    """Flows of every row: units {(node, unit): (n,)}, edges {sum: (n, units, inputs)}."""

    log_likelihood: np.ndarray
    units: dict
    edges: dict


def flows(parameters, X):
    """Flows by the rule: a parent hands its flow to its children, by share or whole."""
    circuit = parameters.program.circuit
    values = log_values(parameters, X)
    root = values[circuit.root, 0]
    log_flow = {at: np.full(root.shape, -np.inf) for at in values}
    log_flow[circuit.root, 0] = np.where(np.isneginf(root), -np.inf, 0.0)
    edges = {}
    for node in reversed(circuit.nodes):
        if isinstance(node, Sum):
            weights = weights_of(parameters, node)
            edges[node] = np.zeros((len(root), *weights.shape))
        for k in range(node.n_units):
            if isinstance(node, Product):
                for at in factors(node, k):
                    log_flow[at] = np.logaddexp(log_flow[at], log_flow[node, k])
            elif isinstance(node, Sum):
                used = [at for at in columns(node, k) if weights[k, at[0]] > 0]
                terms = [np.log(weights[k, c]) + values[child, j] for c, child, j in used]
                # Against the largest term, for log p of 1e60 would swallow a weight.
                top = np.maximum(np.max(terms, axis=0), np.finfo(float).min)
                total = log_sum([term - top for term in terms])
                for (c, child, j), term in zip(used, terms):
                    edge = np.full(root.shape, -np.inf)
                    at = ~np.isneginf(log_flow[node, k])
                    edge[at] = log_flow[node, k][at] + (term - top)[at] - total[at]
                    edges[node][:, k, c] = np.exp(edge)
                    log_flow[child, j] = np.logaddexp(log_flow[child, j], edge)
    return Flows(root, {at: np.exp(f) for at, f in log_flow.items()}, edges)


class InducedTrees(NamedTuple):
    """All induced trees: log of their weights, the edges and the leaf units they use."""

    log_weight: np.ndarray
    edges: list  # of tuples (sum, unit, column)
    leaves: list  # of tuples (input, unit)


def induced_trees(parameters):
    """The trees below the root, listed."""
    found = {}
    for node in parameters.program.circuit.nodes:
        for k in range(node.n_units):
            if isinstance(node, Input):
                found[node, k] = [(0.0, (), ((node, k),))]
            elif isinstance(node, Product):
                found[node, k] = [
                    tuple(sum(part, start=type(part[0])()) for part in zip(*choice))
                    for choice in combinations(*(found[at] for at in factors(node, k)))
                ]
            else:
                weights = weights_of(parameters, node)
                found[node, k] = [
                    (np.log(weights[k, c]) + log_weight, ((node, k, c), *edges), leaves)
                    for c, child, j in columns(node, k)
                    if weights[k, c] > 0
                    for log_weight, edges, leaves in found[child, j]
                ]
    trees = found[parameters.program.circuit.root, 0]
    assert len(trees) < 50_000, "too many induced trees to list"
    return InducedTrees(*(list(part) for part in zip(*trees)))


def flows_by_enumeration(parameters, X):
    """Flows by definition: the posterior mass of the induced trees that use an edge."""
    X = np.asarray(X, dtype=np.float64)
    circuit = parameters.program.circuit
    trees = induced_trees(parameters)
    density = {leaf: leaf_log_density(parameters, leaf, X) for leaf in circuit.inputs}
    log_mass = [
        log_weight + sum(density[leaf][k] for leaf, k in leaves)
        for log_weight, leaves in zip(trees.log_weight, trees.leaves)
    ]
    root = log_sum(log_mass)
    units = {(node, k): np.zeros(len(X)) for node in circuit.nodes for k in range(node.n_units)}
    edges = {node: np.zeros((len(X), node.n_units, node.n_inputs)) for node in circuit.sums}
    for mass, used_edges, leaves in zip(log_mass, trees.edges, trees.leaves):
        posterior = np.exp(np.where(np.isneginf(root), -np.inf, mass - np.maximum(root, -1e300)))
        for node, k, c in used_edges:
            edges[node][:, k, c] += posterior
            units[node, k] += posterior
        for at in leaves:
            units[at] += posterior
    return Flows(root, units, edges)


def statistics(parameters, X, sample_weight=None, flows_of=flows):
    """The package's `Statistics` of some rows, from the flows of every row."""
    X = np.asarray(X, dtype=np.float64)
    program = parameters.program
    weight = np.ones(len(X)) if sample_weight is None else np.asarray(sample_weight, float)
    result, total = flows_of(parameters, X), Statistics.zeros(program)
    used = weight > 0
    total.weight = float(weight.sum())
    total.log_likelihood = float(weight[used] @ result.log_likelihood[used])
    for node in program.circuit.sums:
        matrix = program.read_matrix(node, total.flows)
        matrix += np.tensordot(weight, result.edges[node], 1)
        program.write_matrix(owner(node), matrix, total.flows)
    for leaf in program.circuit.inputs:
        family, where = program.input_slice(owner(leaf))
        x = X[:, leaf.variable]
        present = ~np.isnan(x)
        evidence = np.vstack([present, leaf.distribution.statistics(x)])
        for k in range(leaf.n_units):
            total.leaves[family][where.start + k] += evidence @ (weight * result.units[leaf, k])
    return total


def top_down(parameters):
    """Probability of every unit by enumeration: the flows of a row without any cell."""
    X = np.full((1, parameters.program.n_variables), MISSING)
    return flows_by_enumeration(parameters, X)


def make(name_or_circuit, seed=0, zero_fraction=0.0):
    """Random parameters of a circuit, by name or given; its program is ``.program``."""
    circuit = CIRCUITS[name_or_circuit]() if isinstance(name_or_circuit, str) else name_or_circuit
    return random_parameters(Program(circuit), np.random.default_rng(seed), zero_fraction)
