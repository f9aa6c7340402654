import numpy as np
import pytest

from skpc.distributions import Bernoulli, Categorical, Gaussian
from skpc.estimators.encoding import BINARY, CATEGORICAL, CONTINUOUS, TableEncoder

WHOLE = np.array([[0, 3, 1000], [1, -7, 2], [1, 3, 2], [0, 11, 5]])


def mask(*named, n=3):
    return np.isin(np.arange(n), named)


def test_whole_numbers_are_binary_categorical_or_numbers_by_their_values():
    rows = np.arange(800)
    X = np.column_stack([rows % 2, rows % 64, rows % 65])
    encoder = TableEncoder().fit(X)
    assert encoder.kinds.tolist() == [BINARY, CATEGORICAL, CONTINUOUS]
    assert encoder.distributions == [Bernoulli(), Categorical(65), Gaussian()]


def test_numbers_with_a_point_are_continuous_unless_only_zero_and_one_occur():
    X = np.array([[0.0, 3, np.nan], [1, -7, 0], [np.nan, 3, 1]])
    assert TableEncoder().fit(X).kinds.tolist() == [BINARY, CONTINUOUS, BINARY]


def test_truth_values_are_binary_and_kept_as_they_are():
    X = np.array([[True, False], [True, True]])
    encoder = TableEncoder().fit(X)
    assert (encoder.kinds == BINARY).all()
    assert encoder.transform(X) is X


def test_naming_columns_leaves_no_others():
    assert TableEncoder().fit(WHOLE, None, mask(1)).kinds.tolist() == [
        BINARY, CATEGORICAL, CONTINUOUS,
    ]  # fmt: skip
    assert TableEncoder().fit(WHOLE, None, mask()).kinds.tolist() == [
        BINARY, CONTINUOUS, CONTINUOUS,
    ]  # fmt: skip


def test_a_named_column_of_zeros_and_ones_keeps_a_code_for_others():
    encoder = TableEncoder().fit(WHOLE, None, mask(0))
    assert encoder.distributions[0] == Categorical(3)
    codes = encoder.transform(np.array([[5, 0, 0], [1, 0, 0]]))
    np.testing.assert_array_equal(codes[:, 0], [2, 1])


@pytest.mark.parametrize("dtype", [float, int])
def test_categories_are_sorted_and_others_get_the_last_code(dtype):
    column = np.array([[11], [-7], [3], [3]], dtype=dtype)
    encoder = TableEncoder().fit(column, None, np.array([True]))
    assert encoder.distributions == [Categorical(4)]
    seen = np.array([[-7.0], [3], [11], [12], [-8], [4], [3.5], [np.nan]])
    np.testing.assert_array_equal(encoder.transform(seen)[:, 0], [0, 1, 2, 3, 3, 3, 3, np.nan])


def test_round_trip():
    rng = np.random.default_rng(0)
    X = np.column_stack([
        rng.integers(0, 2, 50), rng.integers(-3, 4, 50), 1e5 + rng.normal(size=50)
    ]).astype(float)  # fmt: skip
    X[rng.random(X.shape) < 0.2] = np.nan
    encoder = TableEncoder().fit(X, None, mask(1))
    assert encoder.kinds.tolist() == [BINARY, CATEGORICAL, CONTINUOUS]
    codes = encoder.transform(X)
    np.testing.assert_array_equal(np.isnan(codes), np.isnan(X))
    np.testing.assert_allclose(encoder.inverse_transform(codes), X, rtol=1e-14)


def test_the_other_code_comes_back_as_a_known_category():
    encoder = TableEncoder().fit(np.array([[4], [9]]), None, np.array([True]))
    np.testing.assert_array_equal(encoder.inverse_transform([[2.0], [1.0]]), [[4], [9]])


def test_continuous_columns_are_standardised_by_weight():
    rng = np.random.default_rng(0)
    X, weight = rng.normal(3, 7, size=(40, 2)), rng.integers(0, 4, 40).astype(float)
    X[:5, 0] = np.nan
    repeated = np.repeat(X, weight.astype(int), axis=0)
    encoder, other = TableEncoder().fit(X, weight), TableEncoder().fit(repeated)
    np.testing.assert_allclose(encoder.shift, np.nanmean(repeated, axis=0), rtol=1e-13)
    np.testing.assert_allclose(encoder.scale, np.nanstd(repeated, axis=0), rtol=1e-13)
    np.testing.assert_allclose(encoder.scale, other.scale, rtol=1e-13)
    z = encoder.transform(repeated)
    np.testing.assert_allclose(np.nanmean(z, axis=0), 0, atol=1e-13)
    np.testing.assert_allclose(np.nanstd(z, axis=0), 1, rtol=1e-13)


@pytest.mark.parametrize("factor", [1e-300, 1e-200, 1.0, 1e200, 1e300])
def test_no_scale_is_too_small_or_too_large(factor):
    x = np.random.default_rng(0).normal(5, 2, size=(50, 1))
    plain, scaled = TableEncoder().fit(x), TableEncoder().fit(factor * x)
    np.testing.assert_allclose(scaled.scale, factor * plain.scale, rtol=1e-12)
    np.testing.assert_allclose(scaled.transform(factor * x), plain.transform(x), atol=1e-12)
    jacobian = scaled.log_jacobian(x) - plain.log_jacobian(x)
    np.testing.assert_allclose(jacobian, -np.log(factor), rtol=1e-12)


@pytest.mark.parametrize("value", [0.1, 1e200, -3e-200, 7.0])
def test_a_constant_column_keeps_its_units(value):
    encoder = TableEncoder().fit(np.full((30, 1), value))
    assert encoder.scale[0] == 1
    assert encoder.shift[0] == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize("named", [False, True])
def test_a_column_without_values(named):
    encoder = TableEncoder().fit(np.full((9, 1), np.nan), None, np.array([named]))
    codes = encoder.transform(np.array([[2.0], [np.nan]]))
    np.testing.assert_array_equal(np.isnan(codes), [[False], [True]])
    back = encoder.inverse_transform(codes)
    np.testing.assert_array_equal(np.isnan(back), [[named], [True]])


def test_the_jacobian_counts_cells_that_are_there():
    X = np.array([[0.0, 10, 1], [2, 20, 4], [4, 30, 9]])
    encoder = TableEncoder().fit(X, None, mask(2))
    one, two = np.log(encoder.scale[:2])
    rows = np.array([[1, 1, 1], [np.nan, 1, 4], [np.nan, np.nan, 1]])
    np.testing.assert_allclose(encoder.log_jacobian(rows), [-one - two, -two, 0])
    assert not TableEncoder("error").fit(WHOLE % 2).log_jacobian(WHOLE % 2).any()


@pytest.mark.parametrize("dtype", [np.int64, np.uint8])
@pytest.mark.parametrize("named", [None, 1])
def test_values_never_seen_are_refused_on_request_with_row_and_column(dtype, named):
    X = np.array([[0, 1], [1, 0]], dtype=dtype)
    named = None if named is None else mask(1, n=2)
    rows = np.array([[0, 1], [1, 1], [0, 4]], dtype=dtype)
    encoder = TableEncoder("error").fit(X, None, named)
    with pytest.raises(ValueError, match="Column 1 holds 4 in row 12, .* handle_unknown='other'"):
        encoder.transform(rows, first_row=10)
    with pytest.raises(ValueError, match="Column 'b' holds 4 in row 2"):
        encoder.transform(rows, names=["a", "b"])
    code = TableEncoder().fit(X, None, named).transform(rows)[2, 1]
    assert np.isnan(code) if named is None else code == 2


def test_numbers_of_any_size_stay_finite_and_ordered():
    encoder = TableEncoder().fit(np.array([[-1e-3], [1e-3]]))
    z = encoder.transform(np.array([[-1.7e308], [-1e100], [0], [1e100], [1.7e308]]))[:, 0]
    assert np.isfinite(z).all()
    assert (np.diff(z) > 0).all()


def test_files_hold_all():
    X = np.column_stack([WHOLE, WHOLE[:, 2] / 7])
    encoder = TableEncoder().fit(X, None, mask(1, n=4))
    again = TableEncoder.from_arrays(*encoder.to_arrays())
    np.testing.assert_array_equal(again.transform(X + 1 * (X > 1)), encoder.transform(X + (X > 1)))
    np.testing.assert_array_equal(again.log_jacobian(X), encoder.log_jacobian(X))
    assert again.distributions == encoder.distributions


# -- columns of their own dtype, and open ones -----------------------------------------------


@pytest.mark.parametrize(("kind", "values", "expected"), [
    ("b", [0, 1, np.nan], BINARY), ("i", [0, 1, np.nan], BINARY), ("i", [0, 0], BINARY),
    ("i", [3, 5, np.nan], CATEGORICAL), ("u", list(range(64)) * 10, CATEGORICAL),
    ("i", list(range(65)) * 10, CONTINUOUS), ("u", list(range(64)) * 9, CONTINUOUS),
    ("i", [3, 5, 7, 8, 9], CATEGORICAL), ("i", [3, 5, 7, 8, 9, 2], CONTINUOUS),
    ("c", range(65), CATEGORICAL), ("c", [0, 1], CATEGORICAL), ("f", [3, 5], CONTINUOUS),
    ("f", [0, 1, np.nan], BINARY), ("f", [0, 0], CONTINUOUS),
])  # fmt: skip
def test_the_kind_of_a_column_decides_not_that_of_the_array(kind, values, expected):
    X = np.array(values, dtype=float)[:, None]
    encoder = TableEncoder().fit(X, kinds=[kind])
    assert encoder.kinds.tolist() == [expected]
    assert (encoder.open_share[0] > 0) == (expected == BINARY)
    assert not TableEncoder("error").fit(X, kinds=[kind]).open_share.any()


def test_numbers_only_leaves_truth_values_binary():
    X = np.array([[0.0, 0, 0], [1, 1, 1]])
    encoder = TableEncoder().fit(X, None, mask(), list("bif"), numbers_only=True)
    assert encoder.kinds.tolist() == [BINARY, CONTINUOUS, CONTINUOUS]


def test_an_open_column_shares_its_mass_with_values_never_seen():
    X = np.array([[0.0], [1], [1], [np.nan]])
    encoder = TableEncoder().fit(X, np.array([1.0, 2, 1, 9]))
    cells = np.array([[0.0], [1], [4], [-0.5], [np.nan]])
    np.testing.assert_array_equal(encoder.transform(cells)[:, 0], [0, 1, np.nan, np.nan, np.nan])
    expected = np.log([29 / 30, 29 / 30, 1 / 30, 1 / 30, 1])
    np.testing.assert_allclose(encoder.log_jacobian(cells), expected, rtol=1e-14)
    whole = np.array([[0], [4]], dtype=np.uint8)
    np.testing.assert_array_equal(encoder.transform(whole)[:, 0], [0, np.nan])
    again = TableEncoder.from_arrays(*encoder.to_arrays())
    np.testing.assert_array_equal(again.log_jacobian(cells), encoder.log_jacobian(cells))
