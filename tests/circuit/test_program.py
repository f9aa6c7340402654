"""The flat layout: what lies where, and that nothing lies twice or nowhere."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skpc.circuit import Circuit, Input, Product, Program, Sum
from skpc.circuit.program import INPUT, KRONECKER, MIXING, PRODUCT, SUM
from skpc.distributions import Bernoulli
from tests import reference

every_circuit = pytest.mark.parametrize("name", reference.CIRCUITS)


def program_of(name):
    return Program(reference.CIRCUITS[name]())


def numbered(program):
    """Every weight its own number."""
    return np.arange(program.n_weights, dtype=float)


@every_circuit
def test_groups_tile_the_weights(name):
    """They follow each other without gap or overlap, one group a shape."""
    program = program_of(name)
    offset = 0
    for group in program.groups:
        assert group.offset == offset
        assert group.row_index.shape == (group.n, group.rows)
        offset += group.n * group.rows * group.cols
    assert offset == program.n_weights
    shapes = [(group.rows, group.cols) for group in program.groups]
    assert len(set(shapes)) == len(shapes)
    seen = [group.view(numbered(program)) for group in program.groups]
    assert all(view.shape[1:] == shape for view, shape in zip(seen, shapes, strict=True))
    flat = np.concatenate([view.ravel() for view in seen]) if seen else np.zeros(0)
    np.testing.assert_array_equal(flat, numbered(program))


def test_a_view_of_a_group_is_no_copy():
    program = program_of("tree")
    weights = np.zeros(program.n_weights)
    for group in program.groups:
        group.view(weights)[...] = 1
    assert (weights == 1).all()


def test_blocks_of_one_shape_stand_by_level():
    program = program_of("tree")
    group = next(g for g in program.groups if (g.rows, g.cols) == (3, 3))
    assert group.n == 4
    level_of_row = np.zeros(program.n_rows, dtype=int)
    for node in program.circuit.sums:
        v = program.vector_of(node)
        level_of_row[program.row_start[v] : program.row_start[v] + node.n_units] = program.level[v]
    levels = level_of_row[group.row_index[:, 0]]
    np.testing.assert_array_equal(levels, np.sort(levels))
    assert len(set(levels)) == 2


@every_circuit
def test_matrices_partition_the_weights_and_round_trip(name):
    program = program_of(name)
    owners = reference.owners(program.circuit.sums)
    matrices = [program.read_matrix(node, numbered(program)) for node in owners]
    for node, matrix in zip(owners, matrices, strict=True):
        assert matrix.shape == (node.n_units, node.n_inputs)
    flat = np.concatenate([m.ravel() for m in matrices]) if matrices else np.zeros(0)
    np.testing.assert_array_equal(np.sort(flat), numbered(program))
    weights = np.full(program.n_weights, -1.0)
    for node, matrix in zip(owners, matrices, strict=True):
        program.write_matrix(node, matrix, weights)
    np.testing.assert_array_equal(weights, numbered(program))


def test_tied_sums_read_and_write_the_matrix_of_their_owner():
    program = program_of("hmm")
    weights = numbered(program)
    owner = next(s for s in program.circuit.sums if s.n_units == 2 and s.share is None)
    copies = [s for s in program.circuit.sums if s.share is owner]
    assert len(copies) == 3
    for node in copies:
        np.testing.assert_array_equal(
            program.read_matrix(node, weights), program.read_matrix(owner, weights)
        )
    program.write_matrix(copies[0], np.full((2, 2), 7.0), weights)
    np.testing.assert_array_equal(program.read_matrix(owner, weights), 7)
    assert program.n_rows == 3


@every_circuit
def test_row_sums_and_spread_rows_follow_the_matrices(name):
    program = program_of(name)
    weights = np.random.default_rng(0).random(program.n_weights)
    sums = program.row_sums(weights)
    assert sums.shape == (program.n_rows,)
    spread = program.spread_rows(np.arange(program.n_rows, dtype=float))
    covered = np.zeros(program.n_rows, dtype=int)
    for node in reference.owners(program.circuit.sums):
        start = program.row_start[program.vector_of(node)]
        rows = np.arange(start, start + node.n_units)
        covered[rows] += 1
        matrix = program.read_matrix(node, weights)
        np.testing.assert_allclose(sums[rows], matrix.sum(axis=1), rtol=1e-14)
        np.testing.assert_array_equal(program.row_length[rows], node.n_inputs)
        np.testing.assert_array_equal(
            program.read_matrix(node, spread), np.repeat(rows[:, None], node.n_inputs, axis=1)
        )
    assert (covered == 1).all()


@every_circuit
def test_segments_are_the_pieces_of_rows(name):
    """They follow each other without gap; together those of a row are the row."""
    program = program_of(name)
    starts, lengths, rows = program.segments.T
    np.testing.assert_array_equal(starts, np.cumsum(lengths) - lengths)
    assert lengths.sum() == program.n_weights
    row_of_weight = np.repeat(rows, lengths)
    for node in reference.owners(program.circuit.sums):
        first = program.row_start[program.vector_of(node)]
        for k, row in enumerate(program.read_matrix(node, numbered(program))):
            assert (row_of_weight[row.astype(int)] == first + k).all()


@every_circuit
def test_instructions_stand_in_order_of_levels(name):
    program = program_of(name)
    kinds = {Input: {INPUT}, Product: {PRODUCT}, Sum: {SUM, MIXING, KRONECKER}}
    for node in program.circuit.nodes:
        if isinstance(node, Product) and node.kronecker:
            continue
        v = program.vector_of(node)
        if not (isinstance(node, Product) and len(node.children) == 1):
            assert program.op[v] in kinds[type(node)]
        assert program.units[v] == node.n_units
        children = program.args[program.arg_start[v] : program.arg_start[v + 1], 0]
        assert (program.level[children] < program.level[v]).all()
        assert (children < v).all()
        assert (program.variable[v] >= 0) == (program.op[v] == INPUT)
        assert (program.row_start[v] >= 0) == (program.op[v] in (SUM, MIXING, KRONECKER))
    assert program.vector_of(program.circuit.root) == program.n_vectors - 1


def test_products_of_one_child_and_kronecker_products_have_no_vector():
    assert program_of("single_product").n_vectors == 4
    program = program_of("kronecker")
    n_kronecker = sum(p.kronecker for p in program.circuit.products)
    assert program.n_vectors == len(program.circuit.nodes) - n_kronecker
    assert (program.op == KRONECKER).sum() == 4


def test_leaves_of_one_family_share_an_array():
    program = program_of("mixed_families")
    assert len(program.families) == 5
    assert sum(program.family_units) == 15
    taken = [np.zeros(n, dtype=int) for n in program.family_units]
    for leaf in program.circuit.inputs:
        family, where = program.input_slice(leaf)
        assert program.families[family] == leaf.distribution
        assert where.stop - where.start == leaf.n_units
        taken[family][where] += 1
    assert all((t == 1).all() for t in taken)


def test_tied_leaves_have_one_place():
    program = program_of("hmm")
    assert program.family_units == [2]
    assert {program.input_slice(leaf)[1].start for leaf in program.circuit.inputs} == {0}
    assert sorted(program.variable[program.variable >= 0]) == list(range(5))


@given(seed=st.integers(0, 2**32 - 1))
def test_random_circuits_lower_without_loss(seed):
    program = Program(reference.random_circuit(np.random.default_rng(seed)))
    owners = reference.owners(program.circuit.sums)
    flat = np.concatenate([program.read_matrix(n, numbered(program)).ravel() for n in owners])
    np.testing.assert_array_equal(np.sort(flat), numbered(program))
    total = program.row_sums(np.ones(program.n_weights))
    np.testing.assert_array_equal(total, program.row_length)


def test_repr():
    a = Input(0, Bernoulli(), 2)
    assert repr(Program(Circuit(Sum(a)))) == (
        "Program(vectors=2, levels=2, weights=2, rows=1, families=[Bernoulli()])"
    )
