import numpy as np
import pytest
from sklearn.base import clone

from skpc.solvers import (
    SGD,
    Adam,
    Anemone,
    Constant,
    Cosine,
    MiniBatchEM,
    SharpnessEM,
    SolverState,
    resolve_solver,
    scheduled_step,
)
from skpc.solvers.schedules import smallest_step

every_kind = pytest.mark.parametrize("kind", [Anemone, MiniBatchEM])


def steps(solver, horizon, n):
    return [scheduled_step(solver, SolverState(t, horizon)) for t in range(n)]


@every_kind
def test_cosine_falls_from_the_first_step_to_the_smallest(kind):
    values = steps(kind(0.8, 0.1), 51, 60)
    assert values[0] == 0.8
    assert values[10] == pytest.approx(0.4 * (1 + np.cos(0.2 * np.pi)))
    assert values[25] == pytest.approx(0.4)
    assert values[50:] == [0.1] * 10
    assert np.all(np.diff(values) <= 0)


@every_kind
def test_the_last_update_and_no_earlier_one_has_the_smallest_step(kind):
    values = steps(kind(0.8, 1e-6), 50, 50)
    assert values[49] == 1e-6
    assert values[48] > 1e-4


@every_kind
def test_the_constant_schedule_and_streams_have_one_step(kind):
    assert steps(kind(0.8, 0.1, "constant"), 50, 60) == [0.8] * 60
    assert steps(kind(0.8, 0.1, "constant"), None, 60) == [0.8] * 60
    assert steps(kind(0.9, 0.1), None, 60) == [pytest.approx(0.3)] * 60


@every_kind
@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_parts_of_a_batch_together_move_as_far_as_the_batch(kind, schedule):
    solver = kind(0.8, 0.1, schedule)
    whole, part = (scheduled_step(solver, SolverState(3, 9, share=s)) for s in (1.0, 0.25))
    assert (1 - part) ** 4 == pytest.approx(1 - whole)


@every_kind
def test_one_update_and_none_do_not_divide_by_zero(kind):
    assert steps(kind(0.8, 0.1), 1, 2) == [0.8, 0.1]
    assert steps(kind(0.8, 0.1), 0, 1) == [0.8]


@every_kind
@pytest.mark.parametrize("value", [0, -0.1, 1.5, np.nan, np.inf, "0.5", None])
@pytest.mark.parametrize("name", ["step_size", "min_step_size"])
def test_bad_steps_are_refused(kind, name, value):
    with pytest.raises(ValueError, match=rf"{name}={value!r} must be a number in \(0, 1\]"):
        resolve_solver(kind(**{name: value}))


@every_kind
def test_a_smallest_step_above_the_first_is_refused(kind):
    with pytest.raises(ValueError, match="min_step_size=0.5 must not exceed step_size=0.2"):
        kind(0.2, 0.5).check()


@pytest.mark.parametrize(
    ("kind", "usual"), [(Anemone, 0.02), (MiniBatchEM, 0.02), (SharpnessEM, 0.02), (SGD, 0.02),
                        (Adam, 1e-3)]
)  # fmt: skip
def test_the_smallest_step_follows_a_small_first_one(kind, usual):
    assert smallest_step(kind()) == usual
    small = usual / 2
    solver = resolve_solver(kind(step_size=small, schedule="cosine"))
    for horizon in (9, None):
        assert steps(solver, horizon, 9) == [pytest.approx(small)] * 9


@every_kind
def test_a_constant_step_may_lie_below_the_unused_smallest_one(kind):
    kind(0.01, schedule="constant").check()


@every_kind
@pytest.mark.parametrize("schedule", ["linear", None, 3])
def test_unknown_schedules_are_refused(kind, schedule):
    with pytest.raises(ValueError, match=f"schedule={schedule!r} is not known; use one of"):
        kind(schedule=schedule).check()


@every_kind
@pytest.mark.parametrize("flat", [1, 10, 48])
def test_flat_first_steps_then_the_same_half_turn(kind, flat):
    values = steps(kind(0.8, 0.1, Cosine(flat=flat)), 50, 60)
    assert values[: flat + 1] == [0.8] * (flat + 1)
    after = steps(kind(0.8, 0.1), 50 - flat, 60 - flat)
    np.testing.assert_allclose(values[flat:], after, rtol=1e-14)


@every_kind
def test_more_flat_steps_than_steps_never_fall(kind):
    assert steps(kind(0.8, 0.1, Cosine(flat=70)), 50, 50) == [0.8] * 50


@every_kind
def test_objects_and_names_mean_the_same(kind):
    for name, schedule in (("cosine", Cosine()), ("constant", Constant())):
        assert steps(kind(0.8, 0.1, name), 9, 9) == steps(kind(0.8, 0.1, schedule), 9, 9)
        assert kind(schedule=schedule).anneals == kind(schedule=name).anneals == (name == "cosine")


@every_kind
def test_parameters_of_a_schedule_are_reached_through_the_solver(kind):
    solver = kind(schedule=Cosine(flat=3))
    assert solver.get_params()["schedule__flat"] == 3
    copy = clone(solver).set_params(schedule__flat=5)
    assert (solver.schedule.flat, copy.schedule.flat) == (3, 5)


@every_kind
@pytest.mark.parametrize("flat", [-1, 0.5, "3", None, True])
def test_bad_flat_steps_are_refused(kind, flat):
    with pytest.raises(ValueError, match=f"flat={flat!r} must be a whole number of updates"):
        resolve_solver(kind(schedule=Cosine(flat=flat)))
