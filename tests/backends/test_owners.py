"""Threads have whole subtrees, about as much work each, and share what lies above."""

import hypothesis.strategies as st
import numba
import numpy as np
import pytest
from hypothesis import given

from skpc.backends.numba_cpu.chunks import FAR, _fetch_before
from skpc.backends.numba_cpu.columns import (
    ABOVE,
    AT_VALUES,
    CUT,
    HABIT,
    N_PLACE_COLUMNS,
    N_SCOPE_COLUMNS,
    OWNER,
    PANELS,
    SUBTREE,
    SUBTREE_FROM,
    WORK,
)
from skpc.backends.numba_cpu.owners import (
    ABOVE_SUBTREES,
    FAIR,
    MOST_SUBTREES,
    MOST_THREADS,
    N_SUBTREE_COLUMNS,
    SHARED,
    add_costs,
    give_out,
    thread_by_habit,
)
from skpc.backends.numba_cpu.places import _tell_sides


@numba.njit
def deal(scopes, active, n_team, places, lists):
    add_costs(scopes, active, places)
    give_out(scopes, active, n_team, places, lists)


@numba.njit
def habit(i, active, n_team, places):
    return thread_by_habit(i, active, n_team, places)


@numba.njit
def walk_down(tasks, sizes, active, places, windows):
    """What the thread that has these tasks fetches with each of them."""
    _tell_sides(active, places)
    fetched = np.full(2, FAR)
    for i in range(tasks.size):
        s = tasks[i]
        n = _fetch_before(s, AT_VALUES, sizes[s], places, fetched, 0)
        windows[s, 0], windows[s, 1] = fetched[0], fetched[0] + n


class Tree:
    """Scopes in the order of subtrees, by the place of the one above each, and -1 for the last."""

    def __init__(self, above, work, panels, halved_from=4):
        n = len(above)
        self.above, self.active = np.asarray(above), np.arange(n)
        self.scopes = np.zeros((n, N_SCOPE_COLUMNS), dtype=np.int64)
        self.places = np.zeros((n, N_PLACE_COLUMNS), dtype=np.int64)
        self.scopes[:, ABOVE], self.scopes[:, WORK] = above, work
        self.scopes[:, SUBTREE_FROM] = np.arange(n)
        for s in range(n - 1):
            first = min(self.scopes[[s, above[s]], SUBTREE_FROM])
            self.scopes[above[s], SUBTREE_FROM] = first
        self.set_panels(panels, halved_from)

    def set_panels(self, panels, halved_from=4):
        self.places[:, PANELS] = panels
        halved = self.places[:, PANELS] >= halved_from
        self.places[:, CUT] = np.where(halved, self.places[:, PANELS] // 2, self.places[:, PANELS])

    def give_out(self, n_team):
        lists = np.zeros((2, MOST_SUBTREES, N_SUBTREE_COLUMNS), dtype=np.int64)
        loads = np.zeros(MOST_THREADS, dtype=np.int64)
        deal(self.scopes, self.active, n_team, self.places, (*lists, loads))
        return self.places[:, OWNER].copy()

    @property
    def cost(self):
        """Of every scope alone."""
        own = self.places[:, SUBTREE].copy()
        for s, t in enumerate(self.above[:-1]):
            own[t] -= self.places[s, SUBTREE]
        return own

    def loads(self, owner, n_team):
        """Of every thread, without what lies above its subtrees."""
        return np.array([self.cost[owner == t].sum() for t in range(n_team)])


def check(tree, owner, n_team):
    """Whole subtrees lie below what is shared, which has halves."""
    subtree = (owner >= 0) & (owner < ABOVE_SUBTREES)
    shared = owner == SHARED
    assert (owner[subtree] < n_team).all()
    assert (owner[~subtree & ~shared] - ABOVE_SUBTREES < n_team).all()
    assert (tree.places[shared, CUT] < tree.places[shared, PANELS]).all()
    for s, t in enumerate(tree.above[:-1]):
        if subtree[t]:
            assert owner[s] == owner[t]
        elif not shared[t]:
            assert not shared[s]  # or what has itself a thread would wait for all of them


def star(n):
    return [n] * n + [-1]


def chain(n):
    return [*range(1, n), -1]


def random_tree(draws):
    """Subtrees that are finished wait for a scope above them."""
    above, waiting = [], []
    for s, share in enumerate([*draws, 1.0]):
        n_below = round(share * len(waiting))
        for t in waiting[len(waiting) - n_below :]:
            above[t] = s
        del waiting[len(waiting) - n_below :]
        above.append(-1)
        waiting.append(s)
    return above


@given(
    draws=st.lists(st.sampled_from([0.0, 0.3, 0.7, 1.0]), max_size=60),
    n_team=st.integers(1, MOST_THREADS),
    seed=st.integers(0, 100),
)
def test_every_scope_has_its_threads(draws, n_team, seed):
    above = random_tree(draws)
    rng = np.random.default_rng(seed)
    panels = rng.integers(1, 6, len(above))
    for s, t in enumerate(above[:-1]):
        panels[t] = max(panels[t], panels[s])  # rows that differ below differ above
    tree = Tree(above, rng.integers(1, 5000, len(above)), panels)
    for _ in range(2):
        owner = tree.give_out(n_team)
        check(tree, owner, n_team)
        habits = [habit(i, tree.active, n_team, tree.places) for i in tree.active]
        assert set(habits) <= set(range(n_team))
    if n_team == 1:
        assert (owner == 0).all()


@pytest.mark.parametrize("n_team", [2, 3, 16])
def test_many_subtrees_are_dealt_out_by_work(n_team):
    n = 2000
    work = np.random.default_rng(0).integers(100, 5000, n + 1)
    tree = Tree(star(n), work, 8)
    owner = tree.give_out(n_team)
    check(tree, owner, n_team)
    assert owner[-1] == SHARED and (owner[:-1] >= 0).all()
    loads = tree.loads(owner, n_team)
    assert loads.max() < 1.05 * loads.mean()


def test_of_a_chain_two_threads_share_nearly_all():
    tree = Tree(chain(3000), 1000, 8)
    owner = tree.give_out(2)
    check(tree, owner, 2)
    assert (owner == SHARED).mean() > 0.99


def test_little_lies_above_a_balanced_tree():
    n = 255
    above = [-1] * n  # of a heap, from its end: that is no order of subtrees
    order = []

    def visit(i):
        for child in (2 * i + 1, 2 * i + 2):
            if child < n:
                visit(child)
        order.append(i)

    visit(0)
    place = {node: s for s, node in enumerate(order)}
    for node, s in place.items():
        if node:
            above[s] = place[(node - 1) // 2]
    tree = Tree(above, 1000, 8)
    owner = tree.give_out(2)
    assert (owner == SHARED).sum() == 1
    loads = tree.loads(owner, 2)
    assert loads[0] == loads[1]
    few_rows = Tree(above, 1000, 3)
    owner = few_rows.give_out(2)
    check(few_rows, owner, 2)
    assert (owner >= ABOVE_SUBTREES).sum() == 1


def test_threads_keep_what_they_had_while_that_is_fair():
    rng = np.random.default_rng(0)
    n = 40
    tree = Tree(star(n), rng.integers(1000, 3000, n + 1), 8)
    first = tree.give_out(2)
    changed = 0
    for _ in range(20):
        tree.set_panels(rng.integers(19, 22, n + 1))
        owner = tree.give_out(2)
        loads = tree.loads(owner, 2)
        assert loads.max() <= (1 + 1 / FAIR) * loads.mean() + tree.cost[:-1].max()
        changed += (owner != first).sum()
    assert changed < 20
    tree.give_out(1)
    assert (tree.places[:-1, HABIT] - 1 == owner[:-1]).all()  # one thread alone changes no habit
    assert (tree.give_out(2) == owner).all()


@given(st.data())
def test_what_is_needed_next_is_fetched_once_and_from_no_other_thread(data):
    owners = st.sampled_from([SHARED, 0, 0, 0, 1, ABOVE_SUBTREES])
    pairs = data.draw(st.lists(st.tuples(owners, st.integers(0, 9)), min_size=1, max_size=30))
    owner, sizes = np.array(pairs, dtype=np.int64).T.copy()
    places = np.zeros((len(owner), N_PLACE_COLUMNS), dtype=np.int64)
    places[:, OWNER], places[:, AT_VALUES] = owner, np.cumsum(sizes) - sizes
    owner_of = np.repeat(owner, sizes)  # of every number
    for thread in set(owner.tolist()) - {SHARED}:
        tasks = np.flatnonzero((owner == thread) | (owner == SHARED))[::-1].copy()
        windows = np.zeros((len(owner), 2), dtype=np.int64)
        walk_down(tasks, sizes, np.arange(len(owner)), places, windows)
        fetched = [i for s in tasks for i in range(*windows[s])]
        assert len(set(fetched)) == len(fetched)
        assert (owner_of[fetched] == thread).all()
        for s in tasks:
            assert windows[s, 1] - windows[s, 0] <= sizes[s]
            assert owner[s] != SHARED or windows[s, 0] == windows[s, 1]


def test_scopes_of_one_size_fetch_the_one_before():
    places = np.zeros((4, N_PLACE_COLUMNS), dtype=np.int64)
    places[:, AT_VALUES] = 5 * np.arange(4)
    windows = np.zeros((4, 2), dtype=np.int64)
    walk_down(np.arange(4)[::-1].copy(), np.full(4, 5), np.arange(4), places, windows)
    assert windows.tolist() == [[0, 0], [0, 5], [5, 10], [10, 15]]
