import numpy as np
import pytest

from skpc.structures.row_sample import stratified_row_sample


def test_weight_2_is_two_rows():
    rng = np.random.default_rng(0)
    weight = rng.integers(0, 4, 500)
    draws = stratified_row_sample(weight, 300, np.random.RandomState(1))
    repeated = stratified_row_sample(np.ones(weight.sum()), 300, np.random.RandomState(1))
    owner = np.arange(500).repeat(weight)
    np.testing.assert_array_equal(draws, np.bincount(owner, repeated, minlength=500))
    assert draws.sum() == 300


def test_each_row_gets_its_share():
    weight = np.random.default_rng(2).gamma(1.0, size=50)
    random_state = np.random.RandomState(3)
    mean = np.mean([stratified_row_sample(weight, 20, random_state) for _ in range(4000)], axis=0)
    # Standard errors are below sqrt(0.5 / 4000) = 0.011.
    np.testing.assert_allclose(mean, 20 * weight / weight.sum(), atol=0.05)


@pytest.mark.parametrize("weight", [[0.0, 1.0, 0.0], [0.1] * 3, [1e-300, 1.0, 0.0]])
def test_draws_land_on_rows_with_weight(weight):
    draws = stratified_row_sample(np.array(weight), 10_000, np.random.RandomState(4))
    assert draws.sum() == 10_000
    assert (draws[np.array(weight) == 0] == 0).all()
