import re

import pytest
from sklearn.base import clone

from skpc.solvers import EM, SOLVERS, Anemone, Solver, resolve_solver


@pytest.mark.parametrize("name", SOLVERS)
def test_by_name(name):
    solver = resolve_solver(name)
    assert type(solver) is SOLVERS[name]
    assert isinstance(clone(solver), Solver)


def test_the_base_class_solves_nothing():
    with pytest.raises(TypeError, match="abstract method '?update"):
        Solver()


def test_an_object_is_cloned_and_left_alone():
    mine = Anemone(0.5, momentum=0.2)
    solver = resolve_solver(mine)
    assert solver is not mine
    assert solver.get_params() == mine.get_params()


@pytest.mark.parametrize("solver", ["adamm", None, EM, 3])
def test_anything_else_is_refused_with_the_names_that_work(solver):
    with pytest.raises(ValueError, match=f"solver=.*{re.escape(str(sorted(SOLVERS)))}"):
        resolve_solver(solver)


def test_settings_are_checked_before_any_work():
    with pytest.raises(ValueError, match="step_size=2 must be"):
        resolve_solver(Anemone(step_size=2))


def test_what_a_solver_needs_is_declared():
    assert EM.full_batch
    assert not Anemone.full_batch
    assert Anemone.needs_top_down
