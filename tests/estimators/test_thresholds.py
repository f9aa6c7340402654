import numpy as np
import pytest
from scipy import stats

from skpc import PCDensityEstimator
from skpc.estimators.thresholds import outlier_offset


def make(**params):
    return PCDensityEstimator(**{"n_components": 3, "max_iter": 5, "random_state": 0, **params})


@pytest.mark.parametrize("contamination", ["auto", 0.01, 0.1, 0.5])
def test_weights_are_repeated_scores(contamination):
    rng = np.random.default_rng(0)
    scores, weight = rng.normal(size=80), rng.integers(1, 4, 80)
    repeated = outlier_offset(np.repeat(scores, weight), None, contamination)
    assert outlier_offset(scores, weight / 3, contamination) == repeated


@pytest.mark.parametrize("share", [0.01, 0.05, 0.1, 0.5])
def test_contamination_is_the_share_below(share):
    scores = np.random.default_rng(0).normal(size=200)
    assert (scores < outlier_offset(scores, None, share)).mean() == share


@pytest.mark.parametrize(("n_columns", "percent"), [(1, 0.68), (2, 0.93), (10, 0.086)])
def test_auto_flags_few_rows_of_clean_normal_data(n_columns, percent):
    shares = (np.arange(200_000) + 0.5) / 200_000
    scores = -stats.chi2.ppf(shares, n_columns) / 2
    flagged = (scores < outlier_offset(scores, None, "auto")).mean()
    assert 100 * flagged == pytest.approx(percent, rel=0.05)


def test_auto_finds_outliers_among_a_fifth_of_the_rows():
    rng = np.random.default_rng(0)
    X = np.concatenate([rng.normal(size=(240, 2)), rng.uniform(20, 90, size=(60, 2))])
    flags = PCDensityEstimator(n_components=1, random_state=0).fit_predict(X)
    assert (flags[:240] == 1).mean() > 0.97
    scores = np.concatenate([-rng.exponential(size=240), np.full(60, -30.0)])
    assert (scores < outlier_offset(scores, None, "auto")).sum() == 60


def test_auto_on_scores_that_hardly_differ_asks_for_three_nats():
    assert outlier_offset(np.array([-1.0] * 90 + [-5.0] * 10), None, "auto") == -4


def test_decisions_follow_from_the_offset():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(100, 2))
    model = make(contamination=0.1).fit(X)
    scores = model.score_samples(X)
    assert model.offset_ == outlier_offset(scores, None, 0.1)
    np.testing.assert_array_equal(model.decision_function(X), scores - model.offset_)
    np.testing.assert_array_equal(model.predict(X), np.where(scores < model.offset_, -1, 1))
    assert (model.predict(X) == -1).sum() == 10
    np.testing.assert_array_equal(make(contamination=0.1).fit_predict(X), model.predict(X))


def test_the_offset_belongs_to_the_fit_and_not_to_later_settings():
    X = np.random.default_rng(0).normal(size=(60, 2))
    model = make(contamination=0.1).fit(X)
    offset = model.offset_
    assert model.set_params(contamination=0.4).offset_ == offset
    assert model.partial_fit(X[:1]).offset_ > offset


def test_before_fit_there_is_no_offset():
    with pytest.raises(AttributeError, match="no offset_ before fit"):
        _ = make().offset_
    assert not hasattr(make(), "offset_")


def test_the_line_can_be_set_from_rows_held_out():
    X = np.random.default_rng(0).normal(size=(200, 2))
    model = PCDensityEstimator(n_components=2, max_iter=3, random_state=0).fit(X[:100])
    model.offset_ = np.quantile(model.score_samples(X[100:]), 0.05)
    assert (model.predict(X[100:]) == -1).sum() == 5
    with pytest.raises(ValueError, match="offset_=nan must be a number"):
        model.offset_ = np.nan
    with pytest.raises(AttributeError, match="no offset_ before fit"):
        PCDensityEstimator().offset_ = 0.0
