import numpy as np
import pytest

from skpc.backends.numba_cpu import NumbaBackend
from skpc.circuit import Input, Product, Sum
from skpc.distributions import Bernoulli, Categorical
from skpc.structures.region_graph import Region, factorised_leaf, region_circuit
from tests import reference


def two_cuts():
    """Columns 0 to 3, cut in the middle and at the ends; the leaf of column 0 is used twice."""
    first, second, last = Region([0]), Region([1]), Region([2, 3])
    left = Region(partitions=[(first, second)])
    right = Region(partitions=[(second, last)])
    return Region(partitions=[(left, last), (first, right)])


def circuit_of(root, n_components, n_leaf_units=None, product="elementwise", n_variables=4):
    leaf = factorised_leaf([Bernoulli()] * n_variables, n_leaf_units or n_components)
    return region_circuit(root, leaf, n_components, n_variables, product)


def leaf_values(parameters, circuit, x):
    """Densities of every unit of every input, (n_variables, n_units)."""
    values = {
        leaf.variable: np.exp(reference.leaf_log_density(parameters, leaf, x[None]))[:, 0]
        for leaf in circuit.inputs
    }
    return [values[variable] for variable in range(len(values))]


def test_elementwise_products_are_an_explicit_loop():
    circuit = circuit_of(two_cuts(), 3)
    parameters = reference.make(circuit)
    left, right, root = (reference.weights_of(parameters, node) for node in circuit.sums)
    for x in reference.all_states(circuit):
        a, b, c, d = leaf_values(parameters, circuit, x)
        found = 0.0
        for k in range(3):
            low = sum(left[k, j] * a[j] * b[j] for j in range(3))
            high = sum(right[k, j] * b[j] * c[j] * d[j] for j in range(3))
            found += root[0, k] * low * c[k] * d[k] + root[0, 3 + k] * a[k] * high
        backend = NumbaBackend(parameters.program, np.float64, 1)
        assert backend.log_likelihood(parameters, x[None])[0] == pytest.approx(np.log(found))


def test_kronecker_products_are_an_explicit_loop():
    """Leaves have other lengths than sums; unit i of one part meets unit j of the other."""
    circuit = circuit_of(two_cuts(), 3, 2, "kronecker")
    parameters = reference.make(circuit)
    left, middle, right, ends, root = (
        reference.weights_of(parameters, node) for node in circuit.sums
    )
    for x in reference.all_states(circuit):
        a, b, c, d = leaf_values(parameters, circuit, x)
        low, high = np.zeros(3), np.zeros(3)
        for k in range(3):
            for i in range(2):
                for j in range(2):
                    low[k] += left[k, 2 * i + j] * a[i] * b[j]
                    high[k] += right[k, 2 * i + j] * b[i] * c[j] * d[j]
        found = 0.0
        for i in range(3):
            for j in range(2):
                found += root[0, 0] * middle[0, 2 * i + j] * low[i] * c[j] * d[j]
                found += root[0, 1] * ends[0, 3 * j + i] * a[j] * high[i]
        backend = NumbaBackend(parameters.program, np.float64, 1)
        assert backend.log_likelihood(parameters, x[None])[0] == pytest.approx(np.log(found))


@pytest.mark.parametrize("product", ["elementwise", "kronecker"])
def test_a_region_of_two_partitions_is_one_node(product):
    first, second = Region([0]), Region([1])
    shared = Region(partitions=[(first, second)])
    two, three = Region([2]), Region([3])
    one = Region(partitions=[(shared, two)])
    other = Region(partitions=[(two, three)])
    root = Region(partitions=[(one, three), (shared, other)])
    circuit = circuit_of(root, 4, product=product)
    assert len(circuit.inputs) == 4
    n_region_sums = 4 if product == "elementwise" else 4 + 2
    assert len(circuit.sums) == n_region_sums


def test_a_product_that_nothing_else_reads_is_no_vector():
    root = Region(partitions=[(Region([0, 1]), Region([2, 3]))])
    assert len(circuit_of(root, 4).products) == 1
    # Region (2, 3) of the two cuts is read twice, and stays a product of its own.
    assert len(circuit_of(two_cuts(), 4).products) == 5


def test_leaves_of_other_lengths_get_a_sum_below_elementwise_products():
    circuit = circuit_of(Region(partitions=[(Region([0]), Region([1, 2, 3]))]), 4, 7)
    assert [leaf.n_units for leaf in circuit.inputs] == [7] * 4
    assert [(node.n_units, node.n_inputs) for node in circuit.sums] == [(4, 7), (4, 7), (1, 4)]


def test_four_parts_are_joined_in_pairs_by_kronecker_products():
    root = Region(partitions=[[Region([variable]) for variable in range(4)]])
    circuit = circuit_of(root, 3, 2, "kronecker")
    shapes = [(node.n_units, *node.input_shapes) for node in circuit.sums]
    assert shapes == [(3, 2, 2), (3, 2, 2), (1, 3, 3)]
    three = Region(partitions=[[Region([variable]) for variable in range(3)]])
    circuit = circuit_of(three, 3, 2, "kronecker", n_variables=3)
    assert [(s.n_units, *s.input_shapes) for s in circuit.sums] == [(3, 2, 2), (1, 3, 2)]


@pytest.mark.parametrize("product", ["elementwise", "kronecker"])
def test_a_single_leaf_is_a_mixture(product):
    circuit = circuit_of(Region([0, 1, 2, 3]), 5, product=product)
    assert isinstance(circuit.root, Sum)
    assert isinstance(circuit.root.children[0], Product)
    assert circuit.n_edges == 5


def test_leaves_have_the_families_of_their_columns():
    families = [Bernoulli(), Categorical(3)]
    node = factorised_leaf(families, 2)((1, 0))
    assert [child.distribution for child in node.children] == [Categorical(3), Bernoulli()]
    assert isinstance(factorised_leaf(families, 2)((1,)), Input)


def test_a_deep_region_graph_needs_no_recursion():
    region = Region([0])
    for variable in range(1, 3000):
        region = Region(partitions=[(region, Region([variable]))])
    assert len(circuit_of(region, 1, n_variables=3000).inputs) == 3000
