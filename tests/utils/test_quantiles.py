import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skpc.utils.quantiles import weighted_quantiles

SHARES = [0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0]


@given(
    st.lists(st.tuples(st.integers(-5, 5), st.integers(1, 4)), min_size=1, max_size=12),
    st.sampled_from([1.0, 0.1, 1 / 3, 1e-12, 1e12]),
)
def test_weights_are_repetitions_in_any_unit(cells, unit):
    values = np.array([value for value, _ in cells], dtype=float)
    counts = np.array([count for _, count in cells])
    repeated = weighted_quantiles(np.repeat(values, counts), None, SHARES)
    np.testing.assert_array_equal(weighted_quantiles(values, unit * counts, SHARES), repeated)
    ones = np.ones(counts.sum())
    np.testing.assert_array_equal(
        weighted_quantiles(np.repeat(values, counts), ones, SHARES), repeated
    )


@pytest.mark.parametrize("n", [1, 2, 3, 10, 30, 101])
def test_without_weights_it_is_numpys_averaged_inverse(n):
    values = np.random.default_rng(n).normal(size=n)
    expected = np.quantile(values, SHARES, method="averaged_inverted_cdf")
    np.testing.assert_allclose(weighted_quantiles(values, None, SHARES), expected, rtol=1e-15)


def test_a_share_that_binary_numbers_miss_by_a_rounding_ends_between_two_values():
    values = np.arange(100.0)
    assert 0.07 * 100 != 7
    assert weighted_quantiles(values, None, [0.07])[0] == 6.5
    assert weighted_quantiles(values, np.full(100, 0.1), [0.07])[0] == 6.5


def test_the_largest_numbers_do_not_overflow():
    values = np.array([-1.7e308, 1.7e308, 1.7e308, 1.7e308])
    np.testing.assert_array_equal(weighted_quantiles(values, None, [0.25, 0.5]), [0, 1.7e308])
