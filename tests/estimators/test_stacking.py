import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_iris

from skpc import PCDensityEstimator, load
from skpc.estimators.stacking import stacking_weights
from skpc.structures import HCLT, Mixture


def make(**params):
    return PCDensityEstimator(**{"n_components": 4, "max_iter": 10, "random_state": 0, **params})


def test_weights_are_those_that_rows_held_out_speak_for():
    scores = np.array([[-1.0, -3.0]] * 30 + [[-5.0, -1.0]] * 10)
    weights = stacking_weights(scores, np.ones(40))
    assert weights.sum() == pytest.approx(1)
    # The gradient of the penalised likelihood is the same for both.
    density = np.exp(scores)
    pull = (density / (density @ weights)[:, None]).sum(axis=0) + 1 / weights
    assert pull[0] == pytest.approx(pull[1], rel=1e-6)
    np.testing.assert_allclose(
        stacking_weights(scores[[0, 35]], np.array([30.0, 10])), weights, rtol=1e-9
    )


def test_a_model_that_fails_keeps_the_weight_of_a_row():
    weights = stacking_weights(np.array([[0.0, -1e6]] * 98), np.ones(98))
    np.testing.assert_allclose(weights, [0.99, 0.01])


@pytest.mark.parametrize(("X", "kinds"), [
    (load_iris().data, [HCLT, Mixture]), (load_iris().data[:15], [HCLT]),
    (load_iris().data[:, :1], [HCLT]),
    (np.random.default_rng(0).integers(0, 2, (50, 4)), [HCLT]),
], ids=["numbers", "few rows", "one column", "binary"])  # fmt: skip
def test_what_is_mixed_depends_on_the_table(X, kinds):
    drawn = make().fit(X).structure_
    drawn = drawn if isinstance(drawn, list) else [drawn]
    assert [type(structure) for structure in drawn] == kinds


def test_the_mixture_is_ahead_of_its_parts_on_collinear_columns():
    X = load_breast_cancer().data[:, :8]
    train, test = X[::2], X[1::2]
    both = make(max_iter=30).fit(train).score(test)
    single = make(max_iter=30, structure="hclt").fit(train).score(test)
    assert both > single + 2


def test_probabilities_still_sum_to_one():
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.normal(size=(80, 2)), rng.integers(0, 2, 80)])
    model = make().fit(X)
    assert len(model.structure_) == 2
    grid = np.linspace(-8, 8, 161)
    cells = np.array(np.meshgrid(grid, grid, [0.0, 1.0])).reshape(3, -1).T
    mass = np.exp(model.score_samples(cells)).sum() * 0.1**2
    assert mass == pytest.approx(1, abs=1e-3)
    marginal = np.exp(model.score_samples(np.array([[np.nan, np.nan, v] for v in (0, 1, 7)])))
    assert marginal.sum() == pytest.approx(1)


def test_it_is_saved_streamed_and_gone_on_from(tmp_path):
    X = load_iris().data
    model = make(structure_rows=60).partial_fit(X[:60])
    assert len(model.structure_) == 2
    model.partial_fit(X[60:130])
    model.save(tmp_path / "model")
    again = load(tmp_path / "model")
    np.testing.assert_array_equal(again.score_samples(X), model.score_samples(X))
    np.testing.assert_array_equal(
        again.partial_fit(X[130:]).score_samples(X), model.partial_fit(X[130:]).score_samples(X)
    )
    warm = make(warm_start=True).fit(X)
    before = warm.score(X)
    assert warm.fit(X).score(X) > before - 0.05
    assert not np.isnan(model.sample(5)).any()


def test_missing_cells_are_learnt_from():
    X = load_iris().data.copy()
    X[np.random.default_rng(0).random(X.shape) < 0.3] = np.nan
    model = make().fit(X)
    assert model.score(load_iris().data) > -4
