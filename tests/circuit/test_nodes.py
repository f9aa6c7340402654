"""Nodes refuse what they cannot mean, and the message names the fault."""

import numpy as np
import pytest

from skpc.circuit import Input, Product, Sum
from skpc.distributions import Bernoulli, Categorical, Gaussian


def inputs(*lengths, start=0):
    return [Input(start + i, Bernoulli(), n) for i, n in enumerate(lengths)]


# -- inputs -------------------------------------------------------------------------------


def test_input_holds_what_it_was_given():
    leaf = Input(np.int64(3), Categorical(4), 2.0, mean=np.eye(2, 4))
    assert (leaf.variable, leaf.n_units, leaf.scope) == (3, 2, {3})
    assert leaf.children == ()
    assert leaf.share is None
    np.testing.assert_array_equal(leaf.mean, np.eye(2, 4))
    assert repr(leaf) == f"Input({Categorical(4)!r}, n_units=2, scope={{3}})"


def test_means_of_one_statistic_may_be_a_list():
    assert Input(0, Bernoulli(), 3, mean=[0.1, 0.2, 0.3]).mean.shape == (3, 1)


@pytest.mark.parametrize("variable", [-1, 0.5, True])
def test_variable_must_be_a_column(variable):
    with pytest.raises(ValueError, match=f"variable={variable!r} must be the number of a column"):
        Input(variable, Bernoulli())


@pytest.mark.parametrize("n_units", [0, -2, 1.5, True])
@pytest.mark.parametrize("make", [lambda n: Input(0, Bernoulli(), n),
                                  lambda n: Sum(Input(0, Bernoulli()), n)])  # fmt: skip
def test_number_of_units_must_be_a_count(make, n_units):
    with pytest.raises(ValueError, match=f"n_units={n_units!r} must be a whole number"):
        make(n_units)


def test_families_have_names():
    assert Input(0, "gaussian").distribution == Gaussian()
    first = Input(0, Bernoulli(), 2)
    assert Input(1, "bernoulli", 2, share=first).share is first
    with pytest.raises(ValueError, match=r"unknown name 'gausian'; use one of \['bernoulli'"):
        Input(0, "gausian")
    with pytest.raises(TypeError, match="Gaussian'>; call the class to make one"):
        Input(0, Gaussian)


@pytest.mark.parametrize(
    ("family", "mean", "way_out"),
    [
        (Bernoulli(), [0.5, 1.5], "the probability of a 1"),
        (Bernoulli(), [0.5, -0.1], "the probability of a 1"),
        (Bernoulli(), [0.5, np.nan], "the probability of a 1"),
        (Categorical(3), [[0, 0, 1], [3, 1, 0]], "a probability for each state"),
        (Gaussian(), [[0, 1], [8, 3]], r"\[mean, mean² \+ sd²\]"),
        (Gaussian(), [[0, 1], [8, 64]], "sd² at least the variance_floor"),
        (Gaussian(), [[0, 1], [1000, 1e6]], "sd² at least the variance_floor"),
        (Gaussian(), [[0, 1], [np.inf, np.inf]], r"\[mean, mean² \+ sd²\]"),
    ],
)
def test_means_that_no_member_has(family, mean, way_out):
    with pytest.raises(ValueError, match=rf"of unit 1: no {type(family).__name__}.*{way_out}"):
        Input(0, family, 2, mean=mean)


def test_means_at_the_edge_are_admissible():
    Input(0, Bernoulli(), 2, mean=[0, 1])
    Input(0, Categorical(3), mean=np.float32([0.1, 0.2, 0.7]))
    Input(0, Gaussian(0.1), mean=[3.0, 3.0**2 + 0.1])


def test_means_of_another_shape():
    with pytest.raises(ValueError, match=r"mean has shape \(3,\); \(2, 1\) is needed"):
        Input(0, Bernoulli(), 2, mean=[0.1, 0.2, 0.3])


def test_inputs_share_only_with_their_like():
    first = Input(0, Bernoulli(), 2)
    assert Input(1, Bernoulli(), 2, share=first).share is first
    with pytest.raises(ValueError, match=r"must be a Input of 3 units"):
        Input(1, Bernoulli(), 3, share=first)
    with pytest.raises(ValueError, match=r"of family Bernoulli\(\), this Input of Gaussian"):
        Input(1, Gaussian(), 2, share=first)
    with pytest.raises(ValueError, match="must be a Input"):
        Input(1, Bernoulli(), 2, share=Sum(first, 2))


def test_sharing_with_a_copy_is_sharing_with_the_owner():
    first = Input(0, Bernoulli(), 2)
    second = Input(1, Bernoulli(), 2, share=first)
    assert Input(2, Bernoulli(), 2, share=second).share is first
    a = Sum(first, 2)
    b = Sum(second, 2, share=a)
    assert Sum(first, 2, share=b).share is a


# -- products -----------------------------------------------------------------------------


def test_product_multiplies_unit_by_unit():
    node = Product(inputs(3, 3, 3))
    assert (node.n_units, node.scope, node.kronecker) == (3, {0, 1, 2}, False)
    assert repr(node) == "Product(n_units=3, scope={0, 1, 2})"


def test_kronecker_product_multiplies_every_pair():
    node = Product(inputs(2, 5), kronecker=True)
    assert (node.n_units, node.scope) == (10, {0, 1})
    assert repr(node) == "Product(n_units=10, kronecker=True, scope={0, 1})"


def test_product_of_unequal_lengths():
    with pytest.raises(ValueError, match=r"have \[2, 3\] units; they must have the same number"):
        Product(inputs(2, 3))


@pytest.mark.parametrize("n", [1, 3])
def test_kronecker_product_of_two(n):
    with pytest.raises(ValueError, match=f"exactly two children, got {n}"):
        Product(inputs(*[2] * n), kronecker=True)


@pytest.mark.parametrize("kind", [Product, Sum])
def test_children_must_be_nodes(kind):
    with pytest.raises(ValueError, match="at least one child"):
        kind([])
    with pytest.raises(TypeError, match="must be Input, Product or Sum nodes, got 'x'"):
        kind([Input(0, Bernoulli()), "x"])


def test_one_child_needs_no_list_and_a_generator_will_do():
    leaf = Input(0, Bernoulli())
    assert Sum(leaf).children == (leaf,)
    assert Product(n for n in [leaf]).children == (leaf,)


# -- sums ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "n_units", "n_blocks", "lengths", "n_inputs"),
    [
        ("dense", 5, 1, [4, 3], 7),
        ("block", 4, 2, [4, 6], 5),
        ("block", 6, 3, [3], 1),
        ("mixing", 3, 1, [3, 3], 2),
    ],
)
def test_number_of_inputs_of_a_unit(kind, n_units, n_blocks, lengths, n_inputs):
    children = [Input(0, Bernoulli(), n) for n in lengths]
    node = Sum(children, n_units, kind=kind, n_blocks=n_blocks)
    assert node.n_inputs == n_inputs
    assert node.input_shapes == tuple(lengths)
    ones = np.ones((n_units, n_inputs))
    given = Sum(children, n_units, kind=kind, n_blocks=n_blocks, weights=ones)
    np.testing.assert_array_equal(given.weights, ones)


def test_sum_over_a_kronecker_product_sees_every_pair():
    node = Sum(Product(inputs(2, 5), kronecker=True), 3)
    assert node.n_inputs == 10
    assert node.input_shapes == (2, 5)
    assert repr(node) == "Sum(n_units=3, scope={0, 1})"


def test_repr_names_the_kind_and_shortens_the_scope():
    parts = inputs(*[2] * 8)
    node = Sum(Product(parts), 2, kind="mixing")
    assert repr(node) == "Sum(n_units=2, kind='mixing', scope={0, 1, 2, 3, 4, 5, …})"


def test_unknown_kind():
    with pytest.raises(ValueError, match=r"kind='sparse' is not known; use one of \('dense'"):
        Sum(inputs(2), kind="sparse")


def test_mixing_needs_children_of_its_own_length():
    with pytest.raises(ValueError, match=r"of 2 units needs children of 2 units, got \[2, 3\]"):
        Sum([Input(0, Bernoulli(), 2), Input(0, Bernoulli(), 3)], 2, kind="mixing")


@pytest.mark.parametrize(("n_units", "length", "odd"), [(3, 4, 3), (4, 3, 3)])
def test_blocks_must_cut_every_vector(n_units, length, odd):
    with pytest.raises(ValueError, match=f"n_blocks=2 equal parts; {odd} units cannot"):
        Sum(Input(0, Bernoulli(), length), n_units, kind="block", n_blocks=2)


@pytest.mark.parametrize("kind", ["mixing", "dense"])
def test_only_block_sums_have_blocks(kind):
    with pytest.raises(ValueError, match=f"n_blocks=2 cuts a block Sum only.*kind='{kind}'"):
        Sum(inputs(2), 2, kind=kind, n_blocks=2)


@pytest.mark.parametrize("kind", ["mixing", "block"])
def test_kronecker_products_stand_below_dense_sums_only(kind):
    pair = Product(inputs(2, 2), kronecker=True)
    with pytest.raises(ValueError, match="must be the only child of a dense Sum"):
        Sum(pair, 4, kind=kind)


def test_kronecker_products_stand_alone():
    pair = Product(inputs(2, 2), kronecker=True)
    with pytest.raises(ValueError, match="must be the only child of a dense Sum"):
        Sum([pair, Product(inputs(2, 2))], 4)


def test_weights_of_another_shape():
    with pytest.raises(ValueError, match=r"weights have shape \(1, 3\); \(1, 2\) is needed"):
        Sum(inputs(2), weights=[0.2, 0.3, 0.5])


@pytest.mark.parametrize("bad", [-0.1, np.nan, np.inf])
def test_weights_must_be_finite_and_not_negative(bad):
    with pytest.raises(ValueError, match="weights must be finite and not negative"):
        Sum(inputs(2), weights=[0.5, bad])


def test_sums_share_only_with_their_like():
    leaf = Input(0, Bernoulli(), 4)
    first = Sum(leaf, 4, kind="block", n_blocks=2)
    assert Sum(leaf, 4, kind="block", n_blocks=2, share=first).share is first
    for other in (
        {"n_units": 4, "kind": "block", "n_blocks": 4},
        {"n_units": 4},
        {"n_units": 4, "kind": "mixing"},
    ):
        with pytest.raises(ValueError, match="has weights of another shape"):
            Sum(leaf, share=first, **other)
    with pytest.raises(ValueError, match="has weights of another shape"):
        Sum(Input(0, Bernoulli(), 6), 4, kind="block", n_blocks=2, share=first)
    with pytest.raises(ValueError, match="must be a Sum of 2 units"):
        Sum(leaf, 2, share=first)


def test_a_dense_sum_does_not_share_with_a_sum_over_a_kronecker_product():
    """2 + 3 columns are not 2 · 3, though the children have the same lengths."""
    pair = Sum(Product(inputs(2, 3), kronecker=True), 2)
    with pytest.raises(ValueError, match="has weights of another shape"):
        Sum([Input(0, Bernoulli(), 2), Input(0, Bernoulli(), 3)], 2, share=pair)
