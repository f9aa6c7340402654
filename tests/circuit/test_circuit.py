"""A circuit is checked once, and names the node that breaks a rule."""

import copy
import pickle

import numpy as np
import pytest

from skpc.circuit import Circuit, Input, Parameters, Product, Program, Sum
from skpc.distributions import Bernoulli, Categorical
from tests import reference


def leaf(variable, n_units=1):
    return Input(variable, Bernoulli(), n_units)


# -- what is refused ------------------------------------------------------------------------


def test_root_must_be_a_node():
    with pytest.raises(TypeError, match=r"root must be an Input, Product or Sum node, got \[\]"):
        Circuit([])


def test_root_must_have_one_unit():
    with pytest.raises(ValueError, match=r"The root Sum\(n_units=3.* put Sum\(root, 1\) above it"):
        Circuit(Sum(leaf(0), 3))


def test_too_few_columns():
    with pytest.raises(ValueError, match="n_variables=2 but the circuit has a leaf for variable 2"):
        Circuit(leaf(2), n_variables=2)
    assert Circuit(leaf(2)).n_variables == 3
    assert Circuit(leaf(2), n_variables=7).n_variables == 7


def test_a_sum_that_is_not_smooth_is_named():
    bad = Sum([leaf(0, 2), Product([leaf(0, 2), leaf(1, 2)])], 5)
    with pytest.raises(ValueError) as error:
        Circuit(Sum(bad))
    assert str(error.value) == (
        "Sum(n_units=5, scope={0, 1}) is not smooth: its child Input(Bernoulli(), n_units=2, "
        "scope={0}) lacks the variables [1]. The children of a sum need one scope."
    )


def test_a_product_that_is_not_decomposable_is_named():
    bad = Product([Product([leaf(0), leaf(3)]), Product([leaf(3), leaf(1)])])
    with pytest.raises(ValueError) as error:
        Circuit(Sum(bad))
    assert str(error.value) == (
        "Product(n_units=1, scope={0, 1, 3}) is not decomposable: its children share the "
        "variables [3]. The children of a product need disjoint scopes."
    )


def test_a_child_twice_below_a_product_is_not_decomposable():
    node = leaf(0)
    with pytest.raises(ValueError, match="is not decomposable: its children share the variables"):
        Circuit(Product([node, node]))


def test_kronecker_products_need_a_sum_above():
    with pytest.raises(ValueError, match="A Kronecker product cannot be the root"):
        Circuit(Product([leaf(0), leaf(1)], kronecker=True))
    pair = Product([leaf(0, 2), leaf(1, 2)], kronecker=True)
    with pytest.raises(ValueError, match=r"Product\(n_units=4.* is a Kronecker product below a"):
        Circuit(Sum(Product([pair, leaf(2, 4)])))


@pytest.mark.parametrize("kind", ["leaf", "sum"])
def test_parameters_are_shared_within_the_circuit_only(kind):
    stranger = leaf(0, 2) if kind == "leaf" else Sum(leaf(0, 2), 2)
    mine = Input(0, Bernoulli(), 2, share=stranger if kind == "leaf" else None)
    node = mine if kind == "leaf" else Sum(mine, 2, share=stranger)
    with pytest.raises(ValueError, match="shares the parameters of .* not part of this circuit"):
        Circuit(Sum(node))


# -- what it says about itself ----------------------------------------------------------------


def test_counts_and_repr():
    circuit = reference.tree(n_units=3)
    assert [len(part) for part in (circuit.inputs, circuit.products, circuit.sums)] == [5, 2, 5]
    assert circuit.n_edges == 4 * 9 + 3
    assert circuit.n_parameters == 39 + 15
    assert circuit.scope == set(range(5))
    assert not circuit.is_tied
    assert repr(circuit) == (
        "Circuit(n_variables=5, nodes=12 (5 Input, 2 Product, 5 Sum), edges=39, parameters=54)"
    )


def test_tied_parameters_count_once_and_tied_edges_every_time():
    circuit = reference.hmm(n_steps=5, n_units=2)
    assert circuit.is_tied
    assert circuit.n_edges == 4 * 4 + 2
    assert circuit.n_parameters == 4 + 2 + 2 * 3


@pytest.mark.parametrize("name", reference.CIRCUITS)
def test_children_come_before_parents_each_once(name):
    circuit = reference.CIRCUITS[name]()
    place = {id(node): i for i, node in enumerate(circuit.nodes)}
    assert len(place) == len(circuit.nodes)
    assert circuit.nodes[-1] is circuit.root
    for node in circuit.nodes:
        assert all(place[id(child)] < place[id(node)] for child in node.children)


# -- depth and copies -------------------------------------------------------------------------


def test_five_thousand_levels():
    """No recursion anywhere: building, lowering, copying, pickling."""
    node = leaf(0, 2)
    for _ in range(5000):
        node = Sum(node, 2)
    circuit = Circuit(Sum(node))
    program = Program(circuit)
    assert len(circuit.nodes) == 5002
    assert program.level.max() == 5001
    assert program.n_weights == 5000 * 4 + 2
    again = pickle.loads(pickle.dumps(Parameters.uniform(program)))
    np.testing.assert_array_equal(again.program.args, program.args)
    assert repr(copy.deepcopy(circuit)) == repr(circuit)


def test_a_deep_circuit_of_many_variables():
    circuit = reference.chain(600, 2)
    assert len(circuit.nodes) == 600 + 599 + 600
    assert len(pickle.loads(pickle.dumps(circuit)).nodes) == len(circuit.nodes)
    assert len(copy.deepcopy(circuit).nodes) == len(circuit.nodes)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda p: pickle.loads(pickle.dumps(p))])
@pytest.mark.parametrize("name", ["dag", "kronecker", "hmm"])
def test_copies_read_their_parameters_by_their_own_nodes(name, copied):
    parameters = reference.make(name)
    again = copied(parameters)
    assert again.program.circuit is not parameters.program.circuit
    X = reference.random_rows(parameters.program.circuit, np.random.default_rng(1), 10)
    np.testing.assert_array_equal(
        reference.log_likelihood(again, X), reference.log_likelihood(parameters, X)
    )


def test_one_family_of_two_sizes_is_two_families():
    a, b = Input(0, Categorical(2)), Input(1, Categorical(3))
    program = Program(Circuit(Product([a, b])))
    assert program.families == [Categorical(2), Categorical(3)]
