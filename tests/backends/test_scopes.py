"""What parts of a circuit see alike in many rows is computed once, and nothing but time changes."""

import numpy as np
import pytest

from skpc.backends.numba_cpu import NumbaBackend, lanes, learning, sharing, tiles
from skpc.backends.numba_cpu.chunks import CHUNK, NO_CHUNK, PLACED
from skpc.backends.numba_cpu.columns import (
    AT_RETURNS,
    CODE,
    CUT,
    GATHER,
    LOOKUP,
    N_DISTINCT,
    OP,
    PANELS,
    PART,
    PART_END,
)
from skpc.backends.numba_cpu.scopes import Scoped
from skpc.circuit import Circuit, Input, Product, Program, Sum
from skpc.distributions import Bernoulli, Categorical, Gaussian
from tests import reference


@pytest.fixture(autouse=True)
def for_small_circuits(monkeypatch):
    monkeypatch.setattr(sharing, "LEAST_WORK", 0)
    monkeypatch.setattr(sharing, "HALVED_WORK", 0)
    monkeypatch.setattr(learning, "LANE_WORK", 1)
    monkeypatch.setattr(learning, "WAKE_WORK", 1)


@pytest.fixture
def always(monkeypatch):
    monkeypatch.setattr(sharing, "MOST_WORK", 2.0)
    monkeypatch.setattr(sharing, "MOST_WORK_ALONE", 2.0)


class Watched:
    """Spaces that were made, whose flags say what came of the last chunk."""

    def __init__(self, monkeypatch):
        self.spaces = []
        make = sharing.Sharing.space
        monkeypatch.setattr(
            sharing.Sharing, "space", lambda mine: self.spaces.append(make(mine)) or self.spaces[-1]
        )

    @property
    def ways(self):
        return {int(space[-1][PLACED]) for space in self.spaces} - {0}


def row_by_row(parameters, dtype=np.float64, n_jobs=1):
    backend = NumbaBackend(parameters.program, dtype, n_jobs)
    backend.__dict__["_scoped"] = None
    return backend


def assert_same(found, expected, rtol=1e-10):
    assert found.weight == pytest.approx(expected.weight, rel=1e-13)
    assert found.log_likelihood == pytest.approx(expected.log_likelihood, rel=1e-12)
    np.testing.assert_allclose(found.flows, expected.flows, rtol=rtol, atol=1e-12)
    for mine, other in zip(found.leaves, expected.leaves, strict=True):
        np.testing.assert_allclose(mine, other, rtol=rtol, atol=1e-12)


@pytest.mark.parametrize("n", [1, 15, 16, 17, 70, 400, 2500])
@pytest.mark.parametrize("name", sorted(reference.CIRCUITS))
def test_scopes_change_nothing_but_time(name, n, always, monkeypatch):
    watched = Watched(monkeypatch)
    parameters = reference.make(name, zero_fraction=0.2)
    rng = np.random.default_rng(n)
    X = reference.random_rows(parameters.program.circuit, rng, n)
    weight = np.where(rng.random(n) < 0.2, 0.0, rng.random(n))
    plain = row_by_row(parameters)
    scores = plain.log_likelihood(parameters, X)
    expected = [plain.statistics(parameters, X, w) for w in (None, weight)]
    assert not watched.spaces
    for n_jobs in (1, 2):
        backend = NumbaBackend(parameters.program, np.float64, n_jobs)
        np.testing.assert_array_equal(backend.log_likelihood(parameters, X), scores)
        for w, there in zip((None, weight), expected, strict=True):
            assert_same(backend.statistics(parameters, X, w), there)
    finite = any(family.n_states is not None for family in parameters.program.families)
    inner = name not in ("single_input", "sum_of_sums") and finite
    assert watched.ways <= {CHUNK}
    assert bool(watched.ways) == inner or name in ("sum_of_sums", "mixed_families")


def pairs(n_pairs=4, n_units=3):
    """Pairs of columns, each below a sum."""
    below = [
        Sum(Product([Input(2 * i, Bernoulli(), n_units), Input(2 * i + 1, Bernoulli(), n_units)]))
        for i in range(n_pairs)
    ]
    below = [Sum(s.children[0], n_units) for s in below]
    return Program(Circuit(Sum(Product(below))))


def test_a_scope_has_as_many_rows_as_differ_in_it(always, monkeypatch):
    watched = Watched(monkeypatch)
    parameters = reference.random_parameters(pairs(5), np.random.default_rng(0))
    X = np.random.default_rng(1).integers(0, 2, (512, 10)).astype(float)
    X[:, 2:4] = 1
    NumbaBackend(parameters.program, np.float64, 1).statistics(parameters, X)
    (space,) = watched.spaces
    scopes, places = space[1][0], space[3][0]
    inner = np.flatnonzero(scopes[:, CODE] < 0)
    found = places[inner, N_DISTINCT]
    assert sorted(found[:-1]) == [1, 4, 4, 4, 4]
    assert found[-1] == len(np.unique(X, axis=0))
    assert places[inner[-1], CUT] < places[inner[-1], PANELS]  # two tasks


def many_below(n_units, n_parts):
    """Products of as many pairs of columns, two of them, below a product of both."""
    groups = []
    for g in range(2):
        first = 2 * n_parts * g
        parts = [
            Sum(Product([Input(i, Bernoulli(), n_units) for i in (j, j + 1)]), n_units)
            for j in range(first, first + 2 * n_parts, 2)
        ]
        groups.append(Sum(Product(parts), n_units))
    return Program(Circuit(Sum(Product(groups))))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("n_units", "n_parts"), [(1, 4), (7, 2), (8, 5), (20, 3), (33, 2)])
def test_units_and_factors_of_any_number(n_units, n_parts, dtype, always, monkeypatch):
    """Blocks of rows that others read are wide, narrow or single; products take two or three."""
    watched = Watched(monkeypatch)
    program = many_below(n_units, n_parts)
    parameters = reference.random_parameters(program, np.random.default_rng(0))
    X = np.random.default_rng(1).integers(0, 2, (700, program.n_variables)).astype(float)
    X[np.random.default_rng(2).random(X.shape) < 0.1] = np.nan
    plain = row_by_row(parameters, dtype)
    expected = plain.statistics(parameters, X)
    for n_jobs in (1, 2):
        backend = NumbaBackend(program, dtype, n_jobs)
        scores = backend.log_likelihood(parameters, X)
        np.testing.assert_array_equal(scores, plain.log_likelihood(parameters, X))
        found = backend.statistics(parameters, X)
        assert_same(found, expected, 1e-10 if dtype == np.float64 else 2e-3)
    assert watched.ways == {CHUNK}


def test_small_subtrees_stay_with_one_thread(always, monkeypatch):
    """Two threads have halves of what lies near the root only, and bits do not depend on that."""
    watched = Watched(monkeypatch)
    below = []
    for first in range(0, 60, 2):
        leaves = [Input(i, Categorical(14), 3) for i in (first, first + 1)]
        below.append(Sum(Product(leaves), 3))
    program = Program(Circuit(Sum(Product(below))))
    parameters = reference.random_parameters(program, np.random.default_rng(0))
    X = np.random.default_rng(1).integers(0, 14, (800, 60)).astype(float)
    found = [
        NumbaBackend(program, np.float64, n_jobs).statistics(parameters, X).flows.tobytes()
        for n_jobs in (1, 2)
    ]
    assert found[0] == found[1]
    space = watched.spaces[-1]
    places = space[3][0][space[1][0][:, CODE] < 0]
    assert places[-1, CUT] < places[-1, PANELS]
    assert (places[:-1, CUT] == places[:-1, PANELS]).all()
    assert (places[:-1, PANELS] >= sharing.HALVED).all()


def test_what_does_not_fit_is_computed_row_by_row(always, monkeypatch):
    monkeypatch.setattr(sharing, "CHUNK_BYTES", 1 << 10)
    monkeypatch.setattr(sharing, "ALIKE", 1 << 10)
    watched = Watched(monkeypatch)
    program = many_below(8, 5)
    parameters = reference.random_parameters(program, np.random.default_rng(0))
    X = np.random.default_rng(1).integers(0, 2, (500, 20)).astype(float)
    backend, plain = NumbaBackend(program, np.float64, 2), row_by_row(parameters)
    scores = backend.log_likelihood(parameters, X)
    np.testing.assert_array_equal(scores, plain.log_likelihood(parameters, X))
    watched.spaces.clear()
    assert_same(backend.statistics(parameters, X), plain.statistics(parameters, X))
    assert watched.ways == {NO_CHUNK}


def test_large_circuits_are_learnt_by_scopes_and_scored_row_by_row(always, monkeypatch):
    program = many_below(8, 5)
    # Room for the values of a hundred rows or so.
    monkeypatch.setattr(sharing, "CHUNK_BYTES", 100 * 8 * int(program.units.sum()))
    parameters = reference.random_parameters(program, np.random.default_rng(0))
    X = np.random.default_rng(1).integers(0, 2, (500, 20)).astype(float)
    backend, plain = NumbaBackend(program, np.float64, 2), row_by_row(parameters)
    assert backend._scoring.sharing is None
    assert backend._learner.bench.sharing is not None
    scores = backend.log_likelihood(parameters, X)
    np.testing.assert_array_equal(scores, plain.log_likelihood(parameters, X))
    assert_same(backend.statistics(parameters, X), plain.statistics(parameters, X))


def deep(depth, n_units, first=0):
    """A tree in which every node has a pair of columns on its left and a tree on its right, and
    every second one another pair."""
    pair = [Sum(Product([Input(i, Categorical(4), n_units) for i in (first, first + 1)]), n_units)]
    first += 2
    if depth % 2:
        leaves = [Input(i, Categorical(4), n_units) for i in (first, first + 1)]
        pair.append(Sum(Product(leaves), n_units))
        first += 2
    if depth:
        pair.append(deep(depth - 1, n_units, first))
    else:
        pair.append(Input(first, Categorical(4), n_units))
    return Sum(Product(pair), n_units)


@pytest.mark.parametrize("n_jobs", [1, 2, 4])
def test_flows_come_back_through_deep_trees(n_jobs, always, monkeypatch):
    watched = Watched(monkeypatch)
    monkeypatch.setattr(learning, "cores", lambda: 4)
    trees = [deep(5, 3, first) for first in (0, 20, 40)]
    program = Program(Circuit(Sum(Product(trees))))
    parameters = reference.random_parameters(program, np.random.default_rng(0))
    X = np.random.default_rng(1).integers(0, 4, (600, program.n_variables)).astype(float)
    X[:, ::3] = X[:, :1]  # so that scopes have anything from four rows to all
    expected = row_by_row(parameters).statistics(parameters, X)
    backend = NumbaBackend(program, np.float64, n_jobs)
    found = [backend.statistics(parameters, X) for _ in range(10)]
    assert_same(found[0], expected)
    assert len({statistics.flows.tobytes() for statistics in found}) == 1
    assert watched.ways == {CHUNK}
    places = watched.spaces[0][3][0]
    assert len(np.unique(places[:, AT_RETURNS])) < len(places) / 2  # a stack


def test_a_large_part_that_a_small_one_reads_keeps_nobody_waiting(monkeypatch):
    """Where scopes are no tree one that reads a large one may have little work below it."""
    watched = Watched(monkeypatch)
    left, right = (
        Sum(Product([Input(i, Bernoulli(), 32) for i in range(first, first + 4)]), 32)
        for first in (0, 4)
    )
    large = Sum(Product([left, right]), 32)
    once = Sum(large, 1)
    small = Sum(Product([once, Input(8, Bernoulli(), 1)]), 1)
    pair = Sum(Product([Input(8, Bernoulli(), 1), Input(9, Bernoulli(), 1)]), 1)
    products = [Product([small, Input(9, Bernoulli(), 1)]), Product([once, pair])]
    program = Program(Circuit(Sum(products)))
    parameters = reference.random_parameters(program, np.random.default_rng(0))
    X = np.random.default_rng(1).integers(0, 2, (1024, 10)).astype(float)
    backend, plain = NumbaBackend(program, np.float64, 2), row_by_row(parameters)
    scores = backend.log_likelihood(parameters, X)
    np.testing.assert_array_equal(scores, plain.log_likelihood(parameters, X))
    assert_same(backend.statistics(parameters, X), plain.statistics(parameters, X))
    assert watched.ways == {CHUNK}


def test_it_is_left_where_it_does_not_pay(monkeypatch):
    watched = Watched(monkeypatch)
    parameters = reference.random_parameters(pairs(2), np.random.default_rng(0))
    rows = np.array(np.meshgrid(*[[0.0, 1.0]] * 4)).reshape(4, -1).T
    backend = NumbaBackend(parameters.program, np.float64, 1)
    monkeypatch.setattr(sharing, "MOST_WORK", 0.01)
    found = backend.statistics(parameters, rows)
    assert watched.ways == {NO_CHUNK}
    assert_same(found, row_by_row(parameters).statistics(parameters, rows))


@pytest.mark.parametrize("states", [5, 6, 7, 14, 15, 40, 90])
def test_columns_of_any_number_of_states(states, always, monkeypatch):
    """Looked up, gathered from rows that are states, or from those that occur; merged or not."""
    watched = Watched(monkeypatch)
    leaves = [Input(i, Categorical(states), 3) for i in range(4)]
    lower = [Sum(Product(leaves[:2]), 3), Sum(Product([Sum(leaf, 3) for leaf in leaves[2:]]), 3)]
    program = Program(Circuit(Sum(Product(lower))))
    parameters = reference.random_parameters(program, np.random.default_rng(0))
    rng = np.random.default_rng(1)
    X = rng.integers(0, states, (300, 4)).astype(float)
    X[rng.random(X.shape) < 0.1] = np.nan
    X[0, 0] = X[5, 2] = states + 3  # outside the support
    backend, plain = NumbaBackend(program, np.float64, 2), row_by_row(parameters)
    for rows in (X, X[:40], X % 3):
        np.testing.assert_array_equal(
            backend.log_likelihood(parameters, rows), plain.log_likelihood(parameters, rows)
        )
        assert_same(backend.statistics(parameters, rows), plain.statistics(parameters, rows))
    assert watched.ways == {CHUNK}


def test_rows_of_probability_zero_send_no_flow(always):
    parameters = reference.random_parameters(pairs(), np.random.default_rng(0), zero_fraction=0.6)
    X = np.random.default_rng(1).integers(0, 2, (300, 8)).astype(float)
    X[::7, 3] = 5.0
    plain = row_by_row(parameters)
    scores = NumbaBackend(parameters.program, np.float64, 2).log_likelihood(parameters, X)
    assert np.isneginf(scores[::7]).all()
    np.testing.assert_array_equal(scores, plain.log_likelihood(parameters, X))
    found = NumbaBackend(parameters.program, np.float64, 2).statistics(parameters, X)
    assert_same(found, plain.statistics(parameters, X))


@pytest.mark.parametrize("n_jobs", [2, 4])
def test_threads_change_no_bit(n_jobs, always):
    parameters = reference.random_parameters(pairs(6), np.random.default_rng(0))
    X = np.random.default_rng(1).integers(0, 2, (900, 12)).astype(float)
    alone = NumbaBackend(parameters.program, np.float64, 1).statistics(parameters, X)
    many = NumbaBackend(parameters.program, np.float64, n_jobs)
    for _ in range(20):
        found = many.statistics(parameters, X)
        assert found.flows.tobytes() == alone.flows.tobytes()
        assert all(a.tobytes() == b.tobytes() for a, b in zip(found.leaves, alone.leaves))


def test_an_interrupt_leaves_nobody_waiting(always, monkeypatch):
    """Others would wait for the one that leads, and for ever."""
    parameters = reference.random_parameters(pairs(), np.random.default_rng(0))
    X = np.random.default_rng(1).integers(0, 2, (512, 8)).astype(float)
    backend = NumbaBackend(parameters.program, np.float64, 2)
    expected = backend.statistics(parameters, X).flows.tobytes()
    from skpc.backends.numba_cpu import crew

    write = crew.write_job

    def interrupted(job, stays, together, *others):
        if together == tiles.LEADS:
            raise KeyboardInterrupt
        write(job, stays, together, *others)

    with monkeypatch.context() as patched:
        patched.setattr(crew, "write_job", interrupted)
        with pytest.raises(KeyboardInterrupt):
            backend.statistics(parameters, X)
    assert backend.statistics(parameters, X).flows.tobytes() == expected


def test_a_program_in_the_order_of_its_scopes():
    program = pairs(2)
    scoped = Scoped(program)
    assert scoped.is_tree
    assert (np.diff(scoped.scope) >= 0).all()
    assert scoped.op[-1] == program.op[-1]
    inner = [
        s for s in range(len(scoped.scopes)) if scoped.scopes[s, PART] < scoped.scopes[s, PART_END]
    ]
    assert len(inner) == 3 and len(scoped.scopes) == 7
    gathers = np.flatnonzero(scoped.op == GATHER)
    assert len(gathers) == len(scoped.maps) == 6
    for g in gathers:
        made = scoped.maps[scoped.map_of[g]]
        child = scoped.args[scoped.arg_start[g], 0]
        assert made == (scoped.scope[g], scoped.scope[child])
    plan = sharing.Sharing(scoped, True, np.dtype(np.float32)).plan
    assert (plan.instructions[gathers, OP] == LOOKUP).sum() == 4


def overlapping():
    """Three columns, cut in two ways: two scopes read the first column."""
    leaves = [Input(i, Bernoulli(), 2) for i in range(3)]
    left = Sum(Product(leaves[:2]), 2)
    right = Sum(Product(leaves[1:]), 2)
    return Program(Circuit(Sum([Product([left, leaves[2]]), Product([leaves[0], right])])))


@pytest.mark.parametrize("make", [overlapping, reference.hmm])
def test_where_scopes_have_something_in_common_one_thread_computes_them(make, always, monkeypatch):
    watched = Watched(monkeypatch)
    made = make()
    program = made if isinstance(made, Program) else Program(made)
    assert Scoped(program).is_tree == (make is not overlapping)
    parameters = reference.random_parameters(program, np.random.default_rng(0))
    X = np.random.default_rng(1).integers(0, 2, (700, program.n_variables)).astype(float)
    backend = NumbaBackend(program, np.float64, 2)
    assert not backend._learner.bench.sharing.for_many
    alone = NumbaBackend(program, np.float64, 1).statistics(parameters, X)
    for _ in range(5):
        assert backend.statistics(parameters, X).flows.tobytes() == alone.flows.tobytes()
    assert_same(alone, row_by_row(parameters).statistics(parameters, X))
    assert watched.ways == {CHUNK}


def test_columns_that_two_kinds_of_leaves_read_are_not_shared(always):
    """Cells that are one state, or none, for the one differ for the other."""
    leaves = [Sum([Input(i, Bernoulli(), 3), Input(i, Gaussian(), 3)], 3) for i in range(3)]
    program = Program(Circuit(Sum(Product([Sum(Product(leaves[:2]), 3), leaves[2]]))))
    parameters = reference.random_parameters(program, np.random.default_rng(0))
    X = np.random.default_rng(1).integers(0, 2, (300, 3)).astype(float)
    X[::5] += 0.25
    backend = NumbaBackend(program, np.float64, 2)
    np.testing.assert_array_equal(
        backend.log_likelihood(parameters, X), row_by_row(parameters).log_likelihood(parameters, X)
    )


def test_a_thread_that_cannot_be_had_leaves_nobody_waiting(always, monkeypatch):
    parameters = reference.random_parameters(pairs(), np.random.default_rng(0))
    X = np.random.default_rng(1).integers(0, 2, (512, 8)).astype(float)
    monkeypatch.setattr(learning, "CREW_NUMBERS", 0)  # threads are woken up
    monkeypatch.setattr(learning, "cores", lambda: 3)
    backend = NumbaBackend(parameters.program, np.float64, 3)
    expected = backend.statistics(parameters, X).flows.tobytes()
    give, given = lanes.hand_over, []

    def one_alone(task):
        given.append(task)
        if len(given) > 1:
            raise RuntimeError("can't start new thread")
        return give(task)

    with monkeypatch.context() as patched:
        patched.setattr(lanes, "hand_over", one_alone)
        with pytest.raises(RuntimeError, match="new thread"):
            backend.statistics(parameters, X)
    assert backend.statistics(parameters, X).flows.tobytes() == expected


@pytest.mark.parametrize(("n_states", "size"), [(32_765, 2), (40_000, 4)])
def test_columns_of_many_states(n_states, size, always, monkeypatch):
    """Codes are as short as the states allow, those of missing and unseen cells included."""
    watched = Watched(monkeypatch)
    pair = Sum(Product([Input(0, Categorical(n_states), 2), Input(1, Bernoulli(), 2)]), 2)
    other = Sum(Product([Input(2, Bernoulli(), 2), Input(3, Bernoulli(), 2)]), 2)
    program = Program(Circuit(Sum(Product([pair, other]))))
    rng = np.random.default_rng(0)
    parameters = reference.random_parameters(program, rng)
    X = rng.integers(0, 2, (64, 4)).astype(float)
    X[:, 0] = rng.choice([0, 1, n_states - 2, n_states - 1], 64)
    X[rng.random(X.shape) < 0.2] = np.nan
    backend = NumbaBackend(program, np.float64, 1)
    expected = reference.statistics(parameters, X)
    found = backend.statistics(parameters, X)
    assert_same(found, expected)
    assert watched.ways == {CHUNK}
    (space,) = watched.spaces
    assert {numbers.itemsize for numbers in space[2]} == {size}
    unseen = np.array([[n_states, 0.0, 1.0, 0.0], [2.0**15, 0.0, 1.0, 0.0], [-1.0, 0, 0, 0]])
    assert np.isneginf(backend.log_likelihood(parameters, unseen)).tolist() == [
        True,
        n_states <= 2**15,
        True,
    ]
