"""Every common check for every configuration."""

import inspect

import numpy as np
import pytest

from skpc import PCDensityEstimator
from tests.common import density_checks
from tests.common.configurations import CONFIGURATIONS, binary, categorical, pc

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

CHECKS = [check for name, check in vars(density_checks).items() if name.startswith("check_")]
#: Processes take long to start: these see one configuration in single and one in double precision.
WITH_PROCESSES = {"check_processes_get_the_same_bits", "check_a_forked_child_scores_and_fits"}


def cases():
    for check in CHECKS:
        few = check.__name__ in WITH_PROCESSES
        for configuration in CONFIGURATIONS[1:5:3] if few else CONFIGURATIONS:
            yield pytest.param(check, configuration, id=f"{configuration.name}-{check.__name__}")


@pytest.mark.parametrize(("check", "configuration"), list(cases()))
def test_common_check(check, configuration, tmp_path):
    if "folder" in inspect.signature(check).parameters:
        check(configuration, folder=tmp_path)
    else:
        check(configuration)


@pytest.mark.parametrize("solver", ["anemone", "minibatch_em", "em"])
def test_weights_are_repeated_rows_within_a_hundredth_of_a_nat_over_many_batches(solver):
    X = binary(2000, n_columns=8)
    weight = np.random.default_rng(0).integers(1, 3, len(X))
    test = binary(2000, seed=1, n_columns=8)
    repeated = np.repeat(X, weight, axis=0)
    one, other = pc(solver=solver, max_iter=10), pc(solver=solver, max_iter=10)
    one.fit(X, sample_weight=weight)
    other.fit(repeated)
    assert one.score(test) == pytest.approx(other.score(test), abs=0.01)
    # The weights are felt: without them the same rows teach something else.
    assert abs(pc(solver=solver, max_iter=10).fit(X).score(repeated) - one.score(repeated)) > 1e-5


@pytest.mark.parametrize("solver", ["anemone", "minibatch_em", "em"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_category_never_seen_is_less_likely_than_every_one_that_was(solver, dtype):
    X = categorical()
    model = pc(solver=solver, dtype=dtype, max_iter=10).fit(X)
    for column in range(X.shape[1]):
        seen = np.unique(X[:, column])
        rows = np.full((len(seen) + 2, X.shape[1]), np.nan)
        rows[:, column] = [*seen, 77, -77]
        scores = model.score_samples(rows)
        assert np.isfinite(scores).all()
        assert (scores[-2:] < scores[:-2].min()).all()
        rows[:] = X[0]
        rows[:, column] = [*seen, 77, -77]
        scores = model.score_samples(rows)
        assert np.isfinite(scores).all()
        assert (scores[-2:] < scores[0]).all()


@pytest.mark.parametrize("method", ["score_samples", "decision_function", "partial_fit"])
def test_a_category_never_seen_is_refused_on_request(method):
    X = categorical()
    model = pc(handle_unknown="error").fit(X)
    before = model.score_samples(X)
    Z = X[:9].copy()
    Z[4, 2] = 55
    with pytest.raises(ValueError, match=r"Column 2 holds 55 in row 4.*handle_unknown='other'"):
        getattr(model, method)(Z)
    np.testing.assert_array_equal(model.score_samples(X), before)


def test_the_list_of_configurations_covers_what_it_should():
    """Solvers, precisions, kinds of tables and both meanings of contamination."""
    made = [c.estimator for c in CONFIGURATIONS if isinstance(c.estimator, PCDensityEstimator)]
    assert {"anemone", "em", "minibatch_em"} <= {
        e.solver for e in made if isinstance(e.solver, str)
    }
    assert {e.dtype for e in made} == {"float32", "float64"}
    assert {e.contamination for e in made} == {"auto", 0.1}
    assert {c.X.dtype.kind for c in CONFIGURATIONS} == {"u", "i", "f"}
    assert any(np.isnan(c.X).any() for c in CONFIGURATIONS)
    assert all(len(c.X) >= 80 for c in CONFIGURATIONS)
