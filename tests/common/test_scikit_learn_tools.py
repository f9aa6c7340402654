"""scikit-learn's own checks, and its searches, pipelines, routing, diagrams and callbacks."""

import numpy as np
import pytest
import sklearn
from sklearn.base import clone
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.model_selection import GridSearchCV, HalvingGridSearchCV, cross_val_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

from skpc import PCDensityEstimator
from skpc.solvers import EM, Anemone, MiniBatchEM
from skpc.structures import HCLT
from tests.common.configurations import categorical, continuous, mixed, pc

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


# -- scikit-learn's checks ----------------------------------------------------------------


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("params", [
    {}, {"solver": "em"}, {"solver": "minibatch_em"}, {"solver": Anemone(momentum=0.5)},
    {"dtype": "float32"}, {"dtype": "float64"}, {"contamination": 0.1}, {"early_stopping": True},
    {"handle_unknown": "error"}, {"categorical_features": None}, {"warm_start": True},
    {"n_init": 2}, {"structure": HCLT(n_components=2)}, {"n_jobs": 2}, {"solver": "adam"},
    {"solver": "sgd"}, {"solver": "sharpness_em"},
], ids=repr)  # fmt: skip
def test_scikit_learns_checks_pass(params):
    estimator = PCDensityEstimator(n_components=4, max_iter=5, **params)
    results = check_estimator(estimator, on_fail=None, on_skip=None)
    failed = [(r["check_name"], r["exception"]) for r in results if r["status"] == "failed"]
    assert not failed
    assert len(results) > 30
    assert not [r for r in results if r["status"] == "xfail"]


# -- searches and pipelines ---------------------------------------------------------------


def test_a_search_over_a_pipeline_finds_the_better_model():
    X = continuous()
    pipe = Pipeline([("scale", StandardScaler()), ("density", pc(structure="hclt"))])
    grid = {"density__n_components": [1, 3], "density__solver": ["anemone", "em", MiniBatchEM()]}
    search = GridSearchCV(pipe, grid, cv=2, error_score="raise").fit(X)
    means = search.cv_results_["mean_test_score"]
    assert np.isfinite(means).all()
    assert means.max() - means.min() > 0.1
    assert search.score(X) == pytest.approx(search.best_estimator_.score(X))
    assert search.best_params_["density__n_components"] == 3
    scaled = StandardScaler().fit_transform(X)
    alone = clone(search.best_estimator_["density"]).fit(scaled)
    np.testing.assert_array_equal(
        search.best_estimator_.score_samples(X), alone.score_samples(scaled)
    )


def test_a_search_reaches_the_settings_of_solver_and_structure():
    estimator = pc(solver=Anemone(), structure=HCLT(n_components=2))
    grid = {"solver__step_size": [0.3, 0.9], "structure__n_components": [1, 3]}
    search = GridSearchCV(estimator, grid, cv=2, error_score="raise").fit(mixed())
    assert len(set(search.cv_results_["mean_test_score"])) == 4
    best = search.best_estimator_
    assert best.circuit_.inputs[0].n_units == search.best_params_["structure__n_components"]
    # Nothing of the search went into the objects that were passed.
    assert (estimator.solver.step_size, estimator.structure.n_components) == (0.9, 2)
    assert not hasattr(estimator, "parameters_")


def test_a_halving_search_ends_with_a_fitted_model():
    search = HalvingGridSearchCV(
        pc(), {"n_components": [1, 2, 3]}, cv=2, min_resources=20, factor=2, error_score="raise",
        random_state=0,
    ).fit(continuous())  # fmt: skip
    assert search.best_estimator_.score(continuous(seed=1)) > -100
    assert len(search.cv_results_["mean_test_score"]) > 3
    by_passes = HalvingGridSearchCV(
        pc(), {"n_components": [1, 2]}, cv=2, resource="max_iter", min_resources=2,
        max_resources=4, factor=2, error_score="raise", random_state=0,
    ).fit(continuous())  # fmt: skip
    assert by_passes.best_estimator_.n_iter_ == 4


@pytest.mark.parametrize("solver", ["anemone", EM(), Anemone(momentum=0.5)], ids=repr)
def test_cross_validation_in_two_processes_has_the_same_bits(solver):
    model = pc(solver=solver, n_jobs=None)
    alone, shared = (cross_val_score(model, mixed(), cv=3, n_jobs=n_jobs) for n_jobs in (1, 2))
    assert np.isfinite(alone).all()
    np.testing.assert_array_equal(alone, shared)


def test_a_clone_has_the_settings_and_nothing_that_was_learnt():
    model = pc(solver=Anemone(0.5), structure=HCLT(2), alpha=0.7).fit(continuous())
    again = clone(model)
    assert repr(again.get_params()) == repr(model.get_params())
    assert again.solver is not model.solver
    assert again.structure is not model.structure
    assert not [name for name in vars(again) if name.endswith("_") or name.startswith("_")]
    again.set_params(solver__step_size=0.6, structure__n_components=3, alpha=1.0)
    assert (model.solver.step_size, model.structure.n_components, model.alpha) == (0.5, 2, 0.7)
    with pytest.raises(ValueError, match="Invalid parameter 'stepsize' for estimator Anemone"):
        model.set_params(solver__stepsize=1)


# -- metadata routing ---------------------------------------------------------------------


@pytest.fixture
def routing():
    with sklearn.config_context(enable_metadata_routing=True):
        yield


@pytest.mark.usefixtures("routing")
@pytest.mark.parametrize("in_pipeline", [False, True])
def test_weights_are_routed_through_a_search(in_pipeline):
    """Rows of weight zero are wild, and must not be seen; without the request this is an error."""
    X = categorical().astype(float)
    weight = np.ones(len(X))
    weight[::4] = 0
    X[::4] = 1e6
    asked = pc().set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
    unasked, prefix = pc(), ""
    if in_pipeline:
        asked, unasked = make_pipeline("passthrough", asked), make_pipeline("passthrough", unasked)
        prefix = "pcdensityestimator__"
        if hasattr(asked, "set_score_request"):
            # Before 1.7 a pipeline must itself be asked to hand weights on.
            asked.set_score_request(sample_weight=True)
    grid = {f"{prefix}n_components": [1, 3]}
    search = GridSearchCV(asked, grid, cv=2, error_score="raise").fit(X, sample_weight=weight)
    expected = pc(n_components=search.best_params_[f"{prefix}n_components"])
    expected.fit(X[weight > 0])
    np.testing.assert_array_equal(
        search.best_estimator_.score_samples(X[weight > 0]), expected.score_samples(X[weight > 0])
    )
    with pytest.raises(Exception, match="sample_weight.* not explicitly set as requested"):
        GridSearchCV(unasked, grid, cv=2, error_score="raise").fit(X, sample_weight=weight)


@pytest.mark.usefixtures("routing")
def test_every_method_with_weights_can_request_them():
    model = pc()
    for method in ("fit", "partial_fit", "score"):
        assert getattr(model, f"set_{method}_request")(sample_weight=True) is model
    requests = model.get_metadata_routing()
    assert requests.fit.requests == {"sample_weight": True}
    assert requests.partial_fit.requests == {"sample_weight": True}
    assert requests.score.requests == {"sample_weight": True}


# -- diagrams -----------------------------------------------------------------------------


def test_the_diagram_names_the_estimator_and_its_changed_settings():
    model = pc(solver=Anemone(momentum=0.5))
    for shown in (model._repr_html_(), model.fit(continuous())._repr_html_()):
        assert "PCDensityEstimator" in shown
        assert "momentum" in shown
    assert "PCDensityEstimator" in make_pipeline(StandardScaler(), pc())._repr_html_()
    assert repr(pc(n_components=32)).startswith("PCDensityEstimator(dtype='float64', max_iter=4")


# -- callbacks ----------------------------------------------------------------------------


class Recorder:
    """Writes down what it is told, and may ask for the end of a task."""

    def __init__(self, last=None):
        self.last = last
        self.told = []
        self.scores = []

    def setup(self, estimator, context):
        self.told.append("setup")

    def teardown(self, estimator, context):
        self.told.append("teardown")

    def on_fit_task_begin(self, estimator, context, *, X=None, metadata=None):
        self.told.append(("begin", context.task_name, context.task_id))
        self.X, self.metadata = X, metadata

    def on_fit_task_end(self, estimator, context, *, X=None, fitted_estimator=None):
        self.told.append(("end", context.task_name, context.task_id))
        if fitted_estimator is not None:
            self.scores.append(fitted_estimator.score_samples(X))
        return context.task_name == "epoch" and context.task_id == self.last

    def epochs(self, what="end"):
        return [t[2] for t in self.told if t[0] == what and t[1] == "epoch"]


needs_callbacks = pytest.mark.skipif(
    not hasattr(PCDensityEstimator, "set_callbacks"),
    reason="callbacks came with scikit-learn 1.9",
)


@needs_callbacks
@pytest.mark.parametrize("solver", ["anemone", "em", "minibatch_em"])
def test_a_callback_is_told_of_every_epoch_and_changes_nothing(solver):
    X = continuous()
    recorder, plain = Recorder(), pc(solver=solver, structure="hclt").fit(X)
    model = pc(solver=solver, structure="hclt").set_callbacks(recorder).fit(X)
    assert recorder.epochs("begin") == recorder.epochs("end") == [0, 1, 2, 3]
    assert recorder.told[0] == "setup"
    assert recorder.told[-1] == "teardown"
    assert recorder.told.count("teardown") == 1
    np.testing.assert_array_equal(model.score_samples(X), plain.score_samples(X))
    # The last two are those of the last epoch and of the whole fit.
    assert len(recorder.scores) == 5
    assert len(recorder.scores[0]) == len(recorder.X)
    assert (recorder.scores[0] != recorder.scores[1]).any()
    np.testing.assert_array_equal(recorder.scores[-1], recorder.scores[-2])


@needs_callbacks
@pytest.mark.parametrize("last", [0, 2])
def test_a_callback_can_end_the_training(last):
    X = continuous()
    recorder = Recorder(last)
    model = pc(max_iter=6, structure="hclt").set_callbacks(recorder).fit(X)
    assert model.n_iter_ == last + 1 == len(recorder.epochs())
    assert not model.converged_
    np.testing.assert_array_equal(recorder.scores[-1], recorder.scores[-2])
    assert np.isfinite(model.score_samples(X)).all()


@needs_callbacks
def test_callbacks_get_the_weights_and_rows_that_are_learnt_from():
    X, weight = continuous(), np.arange(90) % 3
    recorder = Recorder()
    pc(structure="hclt").set_callbacks(recorder).fit(X, sample_weight=weight)
    assert recorder.metadata["sample_weight"].sum() == weight.sum()
    assert len(recorder.X) == len(recorder.metadata["sample_weight"])


@needs_callbacks
def test_an_error_in_a_callback_leaves_the_earlier_fit():
    X = continuous()
    model = pc(structure="hclt").fit(X)
    before, keys = model.score_samples(X), set(vars(model))

    class Broken(Recorder):
        def on_fit_task_end(self, estimator, context, *, X=None, fitted_estimator=None):
            raise ZeroDivisionError

    broken = Broken()
    with pytest.raises(ZeroDivisionError):
        model.set_callbacks(broken).fit(X[:40])
    assert broken.told[-1] == "teardown"
    np.testing.assert_array_equal(model.score_samples(X), before)
    assert {name for name in vars(model) if not name.startswith("_skl")} == keys


@needs_callbacks
def test_callbacks_see_the_epochs_of_every_start():
    recorder = Recorder()
    pc(n_init=2, structure="hclt").set_callbacks(recorder).fit(continuous())
    assert recorder.epochs() == [0, 1, 2, 3] * 2
    name = "training of HCLT"
    assert [t[2] for t in recorder.told if t[:2] == ("end", name)] == [0, 1]
