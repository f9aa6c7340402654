import numpy as np
import pytest
from scipy import stats

from skpc import PCDensityEstimator
from skpc.datasets import make_mixed_chain, make_mixed_clusters, make_mixed_skewed

MAKERS = [make_mixed_clusters, make_mixed_chain, make_mixed_skewed]
every_table = pytest.mark.parametrize("make", MAKERS, ids=lambda make: make.__name__)


def frame_of(table):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(table.X)
    return frame.astype(dict.fromkeys(table.whole, np.int64)).rename(columns=str)


@every_table
def test_the_entropy_is_that_of_other_rows_and_seeds_decide(make):
    one, two = make(4000, random_state=0), make(4000, random_state=1)
    assert (one.X != two.X).any()
    np.testing.assert_array_equal(make(4000, random_state=0).X, one.X)
    spread = one.log_density(one.X).std() / np.sqrt(4000)
    difference = one.log_density(one.X).mean() - two.log_density(two.X).mean()
    assert abs(difference) < 5 * spread


@every_table
@pytest.mark.parametrize("n_samples", [0, -1])
def test_rows_are_at_least_one(make, n_samples):
    with pytest.raises(ValueError, match=f"n_samples == {n_samples}, must be >= 1"):
        make(n_samples)
    with pytest.raises(TypeError, match="n_samples must be an instance of"):
        make(1.5)


def test_the_density_is_that_of_the_draws():
    """Expectations of p(x) / q(x) under q are one for any density q over the same cells."""
    table = make_mixed_skewed(40_000, random_state=0)
    rng = np.random.default_rng(0)
    n = 200_000
    q = np.column_stack([
        rng.integers(0, 2, n), np.exp(rng.normal(0.5, 1, n)), rng.gamma(2.0, 1.5, n),
        rng.normal(1, 3, n), rng.poisson(4, n),
    ])  # fmt: skip
    log_q = (
        np.log(0.5) + stats.lognorm(1, scale=np.exp(0.5)).logpdf(q[:, 1])
        + stats.gamma(2.0, scale=1.5).logpdf(q[:, 2]) + stats.norm(1, 3).logpdf(q[:, 3])
        + stats.poisson(4).logpmf(q[:, 4])
    )  # fmt: skip
    assert np.exp(table.log_density(q) - log_q).mean() == pytest.approx(1, abs=0.05)


@every_table
def test_the_defaults_come_close_to_the_truth(make):
    """Fewer rows, passes and components than usual, so that it is quick."""
    train, test = make(3000, random_state=0), make(3000, random_state=1)
    model = PCDensityEstimator(n_components=8, max_iter=15, random_state=0).fit(frame_of(train))
    assert model.score(frame_of(test)) > test.log_density(test.X).mean() - 0.15
    drawn = model.sample(3000, random_state=0)
    for j, name in enumerate(drawn.columns):
        sample, data = drawn[name].to_numpy(float), train.X[:, j]
        if j in train.whole:
            values = np.unique(data)
            table = [[(rows == value).sum() for value in values] for rows in (sample, data)]
            table = np.array(table)[:, np.sum(table, axis=0) >= 10]
            assert stats.chi2_contingency(table).pvalue > 1e-4
        else:
            assert stats.ks_2samp(sample, data).pvalue > 1e-4
