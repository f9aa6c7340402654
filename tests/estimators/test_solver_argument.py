"""The solver of an estimator: by name, by object, through files, streams and warm starts."""

import pickle

import numpy as np
import pytest
from sklearn.base import clone

import skpc
from skpc import PCDensityEstimator
from skpc.solvers import SGD, SOLVERS, Adam, Anemone, Constant, Cosine, MiniBatchEM

STREAMING = sorted(name for name, kind in SOLVERS.items() if not kind.full_batch)
#: Solvers that remember more than a number of updates.
REMEMBERING = [Anemone(momentum=0.8), MiniBatchEM(momentum=0.8), Adam(), SGD(0.1, momentum=0.8)]


def make(**params):
    return PCDensityEstimator(
        **{"n_components": 3, "max_iter": 3, "random_state": 0, "structure_rows": 30, **params}
    )


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(0)
    z = rng.integers(0, 2, (90, 1))
    return np.hstack([z, (z + (rng.random((90, 3)) < 0.2)) % 2, 2 * z + rng.normal(size=(90, 1))])


@pytest.mark.filterwarnings("ignore:After .* passes")
@pytest.mark.parametrize("name", sorted(SOLVERS))
def test_every_name_fits_a_table_of_mixed_columns(name, table):
    model = make(solver=name, max_iter=10, tol=0.0).fit(table)
    assert np.isfinite(model.score_samples(table)).all()
    assert model.history_[-1].train > model.history_[0].train
    np.testing.assert_array_equal(
        clone(model).fit(table).score_samples(table), model.score_samples(table)
    )


@pytest.mark.parametrize("solver", REMEMBERING, ids=repr)
@pytest.mark.parametrize("copied", ["pickle", "file"])
def test_what_a_solver_remembers_is_kept(solver, copied, table, tmp_path):
    model = make(solver=solver).fit(table[:50])
    model.partial_fit(table[50:60])
    if copied == "file":
        model.save(tmp_path / "model")
        again = skpc.load(tmp_path / "model")
        assert repr(again.solver) == repr(solver)
    else:
        again = pickle.loads(pickle.dumps(model))
    assert model._model.learnt.state.arrays
    forgetful = pickle.loads(pickle.dumps(model))
    state = forgetful._model.learnt.state
    state.arrays.clear()
    forgetful._model.open_batch.state.arrays.clear()
    for other in (model, again, forgetful):
        other.partial_fit(table[60:])
    np.testing.assert_array_equal(again.score_samples(table), model.score_samples(table))
    assert np.abs(forgetful.score_samples(table) - model.score_samples(table)).max() > 1e-9


@pytest.mark.parametrize(
    "solver", [Anemone(momentum=0.8), Adam(), SGD(0.1, momentum=0.8)], ids=repr
)
def test_a_warm_start_goes_on_with_what_the_solver_remembers(solver, table):
    model = make(solver=solver, warm_start=True).fit(table)
    before = model._model.learnt.state
    model.fit(table)
    after = model._model.learnt.state
    assert after.step == 2 * before.step
    assert after.arrays.keys() == before.arrays.keys()


def test_the_memory_of_another_solver_means_nothing(table):
    model = make(solver="adam", warm_start=True).fit(table)
    model.set_params(solver=Anemone(momentum=0.5)).fit(table)
    assert "flows" in model._model.learnt.state.arrays
    assert "first_weights" not in model._model.learnt.state.arrays


@pytest.mark.parametrize("name", STREAMING)
def test_chunks_do_not_matter(name, table):
    whole, pieces = (make(solver=name, structure_rows=30) for _ in range(2))
    whole.partial_fit(table[:30]).partial_fit(table[30:])
    pieces.partial_fit(table[:30])
    for start in range(30, 90, 7):
        pieces.partial_fit(table[start : start + 7])
    np.testing.assert_allclose(
        pieces.score_samples(table), whole.score_samples(table), rtol=1e-6, atol=1e-6
    )


@pytest.mark.filterwarnings("ignore:After .* passes")
@pytest.mark.parametrize("schedule", [Cosine(flat=4), Constant()], ids=repr)
def test_schedules_are_stored_cloned_and_reached_by_name(schedule, table, tmp_path):
    model = make(solver=Anemone(0.5, schedule=schedule), tol=0.0).fit(table)
    model.save(tmp_path / "model")
    again = skpc.load(tmp_path / "model")
    assert repr(again.solver) == repr(clone(model).solver) == repr(model.solver)
    np.testing.assert_array_equal(again.fit(table).score_samples(table), model.score_samples(table))
    assert model.converged_ == schedule.anneals


def test_a_schedule_is_set_through_the_estimator(table):
    model = make(solver=Adam(schedule=Cosine()))
    flat = clone(model).set_params(solver__schedule__flat=5, solver__step_size=0.2).fit(table)
    assert model.get_params()["solver__schedule__flat"] == 0
    assert (flat.solver.schedule.flat, flat.solver.step_size) == (5, 0.2)
    with pytest.raises(ValueError, match=r"schedule='cosine' is a name; .*Adam\(schedule=\.\.\.\)"):
        make(solver=Adam()).set_params(solver__schedule__flat=5)
    both = {"solver__schedule": Cosine(), "solver__schedule__flat": 5}
    assert make(solver=Adam()).set_params(**both).solver.schedule.flat == 5
    plain = clone(flat).set_params(solver__schedule__flat=0).fit(table)
    assert np.abs(plain.score_samples(table) - flat.score_samples(table)).max() > 1e-6
