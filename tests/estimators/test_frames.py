import pickle
import subprocess
import sys

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder

from skpc import PCDensityEstimator, load
from skpc.circuit import Circuit, Input, Product, Sum
from skpc.distributions import Bernoulli, Categorical
from skpc.estimators.encoding import BINARY, CATEGORICAL, CONTINUOUS
from skpc.estimators.frame_schema import FrameSchema
from skpc.estimators.frames import FrameTable
from skpc.estimators.row_memory import RowMemory
from skpc.estimators.tables import check_table

N_ROWS = 90
CITIES = np.array(["Rome", "Ähren", "", "paris"], dtype=object)
DECLARED = ["paris", "never", "Rome", "", "Ähren"]


NAMES = [
    "pay", "pay32", "single", "year", "year?", "grade", "grade?", "late", "late?", "late object",
    "city", "city object", "city usual", "city declared", "city ordered", "size", "nothing",
]  # fmt: skip


def make(**params):
    return PCDensityEstimator(**{"n_components": 3, "max_iter": 3, "random_state": 0, **params})


def numbers(n_rows=N_ROWS):
    """Columns of a table: three numbers, a truth value, and the place of a city."""
    rng = np.random.default_rng(0)
    group = rng.integers(0, 4, n_rows)
    return {
        "pay": np.where(rng.random(n_rows) < 0.1, np.nan, group + rng.normal(size=n_rows)),
        "year": 1900 + rng.permutation(n_rows) % 120,
        "grade": rng.integers(3, 9, n_rows),
        "late": rng.random(n_rows) < 0.2 * group,
        "city": group,
    }


def cells(values, missing=range(5, 9)):
    return [None if i in missing else value for i, value in enumerate(values)]


def pandas_frame(n_rows=N_ROWS):
    pandas = pytest.importorskip("pandas")
    table = numbers(n_rows)
    city = cells(CITIES[table["city"]])
    late = cells(table["late"].tolist())
    return pandas.DataFrame({
        "pay": table["pay"], "pay32": pandas.Series(cells(table["pay"]), dtype="Float32"),
        "single": table["pay"].astype(np.float32),
        "year": table["year"].astype(np.int16), "year?": pandas.Series(
            cells(table["year"]), dtype="Int64"),
        "grade": table["grade"].astype(np.uint8), "grade?": pandas.Series(
            cells(table["grade"]), dtype="Int32"),
        "late": table["late"], "late?": pandas.Series(late, dtype="boolean"),
        "late object": pandas.Series(late, dtype=object),
        "city": pandas.Series(city, dtype="string[python]"),
        "city object": pandas.Series(city, dtype=object),
        "city usual": city,
        "city declared": pandas.Categorical(city, categories=DECLARED),
        "city ordered": pandas.Categorical(city, categories=DECLARED, ordered=True),
        "size": pandas.Categorical(
            cells(np.array([4, 9, 1, 2])[table["city"]]), categories=[9, 4, 2, 1, 77]),
        "nothing": pandas.Series([None] * n_rows, dtype=object),
    })  # fmt: skip


def polars_frame(n_rows=N_ROWS):
    polars = pytest.importorskip("polars")
    table = numbers(n_rows)
    city = cells(CITIES[table["city"]])
    late = cells(table["late"].tolist())

    def nullable(name):
        return cells(table[name].tolist())

    return polars.DataFrame({
        "pay": table["pay"], "pay32": polars.Series(nullable("pay"), dtype=polars.Float32),
        "single": table["pay"].astype(np.float32),
        "year": table["year"].astype(np.int16), "year?": polars.Series(
            nullable("year"), dtype=polars.Int64),
        "grade": table["grade"].astype(np.uint8), "grade?": polars.Series(
            nullable("grade"), dtype=polars.Int32),
        "late": table["late"], "late?": polars.Series(late),
        "late object": polars.Series(late),
        "city": polars.Series(city), "city object": polars.Series(city),
        "city usual": polars.Series(city, dtype=polars.Categorical),
        "city declared": polars.Series(city, dtype=polars.Enum(DECLARED)),
        "city ordered": polars.Series(city, dtype=polars.Enum(DECLARED)),
        "size": polars.Series(cells(np.array(list("4912"))[table["city"]].tolist())),
        "nothing": polars.Series([None] * n_rows),
    })  # fmt: skip


def arrow_frame(n_rows=N_ROWS):
    arrow = pytest.importorskip("pyarrow")
    table = arrow.table(pandas_frame(n_rows).drop(columns=["size", "nothing"]))
    metadata_free = table.replace_schema_metadata(None)
    half = metadata_free.slice(0, n_rows // 2), metadata_free.slice(n_rows // 2)
    city = arrow.array(cells(CITIES[numbers(n_rows)["city"]]))
    table = arrow.concat_tables(half)  # columns in two pieces
    table = table.append_column("size", city.dictionary_encode())
    return table.append_column("nothing", arrow.nulls(n_rows))


FRAMES = [pandas_frame, polars_frame, arrow_frame]
each_library = pytest.mark.parametrize("make_frame", FRAMES)


def by_hand():
    """The frame as an array, words and categories coded with a pencil."""
    table = numbers()
    place = np.where(np.isin(np.arange(N_ROWS), range(5, 9)), np.nan, 1.0)
    alphabet = np.array([1, 3, 0, 2])[table["city"]] * place
    declared = np.array([2, 4, 3, 0])[table["city"]] * place
    return np.column_stack([
        table["pay"], (table["pay"] * place).astype(np.float32), table["pay"].astype(np.float32),
        table["year"], table["year"] * place, table["grade"], table["grade"] * place,
        table["late"], table["late"] * place, table["late"] * place,
        alphabet, alphabet, alphabet, declared, declared, alphabet, np.full(N_ROWS, np.nan),
    ])  # fmt: skip


def rows_of(frame, rows):
    """Rows of a frame of any library."""
    if hasattr(frame, "iloc"):
        return frame.iloc[rows]
    return frame.take(rows) if hasattr(frame, "take") else frame[rows]


def with_column(frame, name, values):
    if hasattr(frame, "iloc"):
        return frame.assign(**{name: values})
    if hasattr(frame, "with_columns"):
        polars = pytest.importorskip("polars")
        return frame.with_columns(polars.Series(name, values))
    arrow = pytest.importorskip("pyarrow")
    return frame.set_column(frame.column_names.index(name), name, [arrow.array(values)])


def dtypes_of(frame):
    return list(frame.dtypes) if hasattr(frame, "dtypes") else frame.schema.types


# -- reading ------------------------------------------------------------------------------


@each_library
def test_cells_of_every_dtype_are_read_by_slices_and_by_numbers(make_frame):
    frame, expected = make_frame(), by_hand()
    if make_frame is pandas_frame:
        sizes = np.array([4, 9, 1, 2])[numbers()["city"]]
        expected[:, 15] = np.where(np.isnan(expected[:, 15]), np.nan, sizes)
    elif make_frame is polars_frame:
        order = np.array([2, 3, 0, 1])[numbers()["city"]]
        expected[:, 15] = np.where(np.isnan(expected[:, 15]), np.nan, order)
    if make_frame is arrow_frame:
        expected[:, 13:15] = expected[:, [10, 10]]  # a dictionary declares nothing
    table = check_table(make(), frame, None, True, None, "sorted").X
    assert table.shape == expected.shape
    np.testing.assert_allclose(table[:], expected, rtol=1e-7)
    rows = np.array([70, 3, 6])
    np.testing.assert_array_equal(table[rows], table[:][rows])
    np.testing.assert_array_equal(table[rows, 4], table[:][rows, 4])
    np.testing.assert_array_equal(table[40:60], table[:][40:60])
    mask = np.arange(N_ROWS) % 3 == 0
    np.testing.assert_array_equal(table[mask], table[:][mask])
    kept = table.kept(mask)
    assert len(kept) == mask.sum()
    np.testing.assert_array_equal(kept[2:9], table[:][mask][2:9])
    np.testing.assert_array_equal(np.asarray(kept), table[:][mask])
    for j in range(table.shape[1]):
        np.testing.assert_array_equal(kept.distinct(j), np.unique(table[:][mask, j]))


@each_library
def test_kinds_of_columns(make_frame):
    model = make().fit(make_frame())
    kinds = [CONTINUOUS] * 5 + [CATEGORICAL] * 2 + [BINARY] * 3 + [CATEGORICAL] * 6 + [CONTINUOUS]
    assert model.encoder_.kinds.tolist() == kinds
    assert model.feature_names_in_.tolist() == NAMES


@each_library
def test_a_frame_scores_as_the_table_coded_by_hand(make_frame):
    frame = make_frame()
    # But for declared categories that do not occur: they have a place of their own.
    names = NAMES[:13]
    frame = frame.select(names) if make_frame is arrow_frame else frame[names]
    X = by_hand()[:, :13]
    named = np.isin(np.arange(13), [5, 6, 10, 11, 12])
    weight = np.arange(N_ROWS) % 7
    one = make().fit(frame, sample_weight=weight)
    two = make(categorical_features=named).fit(X, sample_weight=weight)
    np.testing.assert_array_equal(one.encoder_.kinds, two.encoder_.kinds)
    np.testing.assert_allclose(one.score_samples(frame), two.score_samples(X), atol=1e-4)
    np.testing.assert_array_equal(one.predict(frame), two.predict(X))
    assert one.score(frame) == pytest.approx(two.score(X), rel=1e-5)


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_words_score_as_the_same_categories_as_numbers(library):
    frames = pytest.importorskip(library)
    table = numbers()
    words = np.array(["b", "d", "a", "c"], dtype=object)[table["city"]]
    codes = np.array([1.0, 3, 0, 2])[table["city"]]
    frame = frames.DataFrame({"pay": table["pay"], "city": cells(words)})
    X = np.column_stack([table["pay"], cells(codes)]).astype(float)
    one, two = make().fit(frame), make(categorical_features=[1]).fit(X)
    np.testing.assert_array_equal(one.score_samples(frame), two.score_samples(X))
    assert one.offset_ == two.offset_
    other = make(categorical_features=None).fit(frame)
    np.testing.assert_array_equal(other.score_samples(frame), two.score_samples(X))
    held = {"early_stopping": True, "n_iter_no_change": 2}
    one, two = make(**held).fit(frame), make(categorical_features=[1], **held).fit(X)
    np.testing.assert_array_equal(one.score_samples(frame), two.score_samples(X))
    order = np.random.default_rng(0).permutation(N_ROWS)
    moved = make(solver="em").fit(rows_of(frame, order)).score_samples(frame)
    np.testing.assert_array_equal(moved, make(solver="em").fit(frame).score_samples(frame))


@each_library
def test_nothing_but_codes_is_copied(make_frame):
    table = check_table(make(), make_frame(5000), None, True, None, "sorted").X
    whole = [c._values for c in table.columns if type(c).__name__ == "BufferColumn"]
    assert all(not values.flags.owndata for values in whole)
    codes = [c._codes for c in table.columns if type(c).__name__ == "CodedColumn"]
    assert all(c.itemsize == 1 for c in codes)
    assert len(codes) >= 6


@each_library
def test_parts_of_a_table_keep_frame_and_schema(make_frame):
    table = check_table(make(), make_frame(), np.arange(1.0, N_ROWS + 1), True, None, "sorted")
    weight = np.where(np.arange(N_ROWS) % 3, 0.0, table.weights)
    part = table.part(weight)
    assert isinstance(part.X, FrameTable) and part.schema == table.schema
    np.testing.assert_array_equal(part.X[:], table.X[weight > 0])
    np.testing.assert_array_equal(part.weights, weight[weight > 0])
    assert part.part(np.ones(len(part.X))).sample_weight is None


@pytest.mark.parametrize("n_words", [0, 1, 254, 255, 256, 300, 70_000])
@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_any_number_of_words(library, n_words):
    frames = pytest.importorskip(library)
    words = [f"{i:05}" for i in range(n_words)]
    frame = frames.DataFrame({"a": [None, *words, None], "b": range(n_words + 2)})
    if n_words == 0:
        frame = with_column(frame, "a", frames.Series([None, None], dtype=(
            frames.String if library == "polars" else "str")))  # fmt: skip
    X = check_table(make(), frame, None, True, None, "sorted").X
    np.testing.assert_array_equal(X[:, 0], [np.nan, *range(n_words), np.nan])


def test_frames_of_equal_numbers_stay_one_array():
    pandas = pytest.importorskip("pandas")
    for dtype in (np.uint8, bool, np.float32):
        X = np.random.default_rng(0).integers(0, 2, (50, 3)).astype(dtype)
        frame = pandas.DataFrame(X, columns=list("abc"))
        rows = check_table(make(), frame, None, True, None, "sorted").X
        assert isinstance(rows, np.ndarray) and rows.dtype == dtype
        model = make().fit(frame)
        expected = make().fit(X).score_samples(X)
        np.testing.assert_array_equal(model.score_samples(frame), expected)
        assert list(model.sample(4).dtypes) == list(frame.dtypes)
        polars = pytest.importorskip("polars")
        frame = polars.DataFrame(X, schema=list("abc"))
        np.testing.assert_array_equal(make().fit(frame).score_samples(frame), expected)
        assert make().fit(frame).sample(4).dtypes == frame.dtypes


def test_numbers_in_a_frame_without_names():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({2: ["x", "y"] * 20, np.int64(5): np.arange(40.0)})
    model = make().fit(frame)
    assert not hasattr(model, "feature_names_in_")
    assert list(model.sample(3).columns) == [2, 5]


# -- columns by name -------------------------------------------------------------------------


def test_categorical_features_by_name():
    frame = pandas_frame()[["pay", "year", "grade", "late", "city"]]
    for named in (["year", "late"], np.array(["year", "late"]), [1, 3]):
        model = make(categorical_features=named).fit(frame)
        assert model.encoder_.kinds.tolist() == [2, 1, 2, 1, 1]
    message = r"categorical_features names the column 'age', which X does not have.*'pay', 'year'"
    with pytest.raises(ValueError, match=message):
        make(categorical_features=["year", "age"]).fit(frame)
    with pytest.raises(ValueError, match="must hold column numbers"):
        make(categorical_features=["year"]).fit(np.ones((4, 2)))


@pytest.mark.parametrize("make_frame", [pandas_frame, polars_frame])
def test_other_columns_are_refused_by_name(make_frame):
    frame = make_frame()
    model = make().fit(frame)
    for names, message in [
        (list(frame.columns)[::-1], "same order"), (list(frame.columns)[1:], "now missing:\n- pay"),
    ]:  # fmt: skip
        for method in ("score_samples", "partial_fit", "predict"):
            with pytest.raises(ValueError, match=f"(?s)feature names should match.*{message}"):
                getattr(model, method)(frame[names])


# -- words never seen --------------------------------------------------------------------------


@each_library
def test_words_never_seen_are_unusual_or_refused(make_frame):
    frame = make_frame()
    words = frame["city"].to_pylist() if make_frame is arrow_frame else frame["city"].to_list()
    words[8] = "Oslo"
    odd = with_column(frame, "city", words)
    model = make().fit(frame)
    difference = model.score_samples(odd) - model.score_samples(frame)
    assert difference[8] < -3
    assert (np.delete(difference, 8) == 0).all()
    strict = make(handle_unknown="error").fit(frame)
    strict.score_samples(frame)
    message = "Column 'city' holds 'Oslo' in row 8, a value that did not occur .*'other'"
    weight = np.arange(N_ROWS) % 4 == 0
    for call in (
        strict.score_samples, strict.predict, strict.partial_fit,
        lambda X: strict.score(X, sample_weight=weight),
        lambda X: strict.set_params(warm_start=True).fit(X),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=message):
            call(odd)
    assert np.isfinite(strict.score(odd, sample_weight=1.0 - weight))


def test_another_dtype_of_the_same_words_is_read_alike():
    frame = pandas_frame()
    model = make().fit(frame)
    scores = model.score_samples(frame)
    again = frame.assign(**{
        "city declared": frame["city declared"].astype(object),
        "city": frame["city"].astype("category"),
        "city ordered": frame["city ordered"].cat.reorder_categories(DECLARED[::-1]),
        "late": frame["late"].astype(float),
    })  # fmt: skip
    np.testing.assert_array_equal(model.score_samples(again), scores)
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        np.testing.assert_array_equal(model.score_samples(frame.to_numpy(dtype=object)), scores)
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        assert model.score_samples(np.full((1, 17), np.nan)) == 0


def test_words_and_numbers_are_not_mixed_up():
    frame = pandas_frame()
    model = make().fit(frame)
    with pytest.raises(ValueError, match="Column 'city' holds 3, but held words when"):
        model.score_samples(frame.assign(city=3.0))
    with pytest.raises(ValueError, match="Column 'pay' holds 'low', but held no words when"):
        model.score_samples(frame.assign(pay="low"))
    model.score_samples(frame.assign(city=np.nan, pay=None))
    numbers_only = make().fit(frame[["pay", "year"]].to_numpy())
    with (
        pytest.warns(UserWarning, match="fitted without feature names"),
        pytest.raises(ValueError, match="Column 'city' holds '.*', but held no words"),
    ):
        numbers_only.score_samples(frame[["pay", "city"]])


def test_words_of_rows_without_weight_are_absent():
    frame = pandas_frame()[["pay", "city"]]
    weight = (frame["city"] != "paris").to_numpy(dtype=float, na_value=1.0)
    one = make().fit(frame, sample_weight=weight)
    two = make().fit(frame[weight > 0])
    np.testing.assert_array_equal(one.score_samples(frame), two.score_samples(frame))
    assert "paris" not in set(one.sample(300)["city"])


# -- refusals ----------------------------------------------------------------------------------


REFUSED = {
    "dates": (lambda p, n: p.date_range("2020", periods=n), "'x' holds .*datetime64.*not a number"),
    "durations": (lambda p, n: p.to_timedelta(np.arange(n)), "'x' holds .*timedelta64"),
    "periods": (lambda p, n: p.period_range("2020", periods=n), "'x' holds .*period.*leave it out"),
    "intervals": (lambda p, n: p.cut(np.arange(n), 3), "'x' has categories .*Interval.*astype"),
    "lists": (lambda p, n: [[1]] * n, r"'x' holds \[1\], which is not a number"),
    "mixed": (lambda p, n: [1, "a"] * (n // 2), "'x' holds 'a', .*OrdinalEncoder"),
    "bytes": (lambda p, n: [b"a"] * n, "'x' holds b'a', which is not a number"),
    "complex": (lambda p, n: np.ones(n) * 1j, "'x' holds .*complex128"),
    "infinite": (lambda p, n: np.full(n, np.inf), "90 infinite .*first at row 0, feature 'x'"),
    "huge": (lambda p, n: [10**400] * n, "'x' holds a number too large for float64"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_columns_that_are_neither_numbers_nor_words_are_refused(case):
    pandas = pytest.importorskip("pandas")
    values, message = REFUSED[case]
    frame = pandas_frame().assign(x=values(pandas, N_ROWS))
    with pytest.raises(ValueError, match=message):
        make().fit(frame)


def test_polars_columns_that_are_refused():
    polars = pytest.importorskip("polars")
    frame = polars_frame()
    for values in (polars.Series([[1]] * N_ROWS), polars.Series([b"a"] * N_ROWS)):
        with pytest.raises(ValueError, match="Column 'x' holds .* which is not a number"):
            make().fit(frame.with_columns(values.alias("x")))
    with pytest.raises(ValueError, match=r"lazy frame; pass X.collect\(\)"):
        make().fit(frame.lazy())
    with pytest.raises(ValueError, match=r"0 sample\(s\) .* minimum of 1"):
        make().fit(frame[:0])


# -- streams -------------------------------------------------------------------------------


@pytest.mark.parametrize("make_frame", [pandas_frame, polars_frame])
@pytest.mark.parametrize("size", [7, 30])
def test_chunks_of_any_size_give_the_same_model(make_frame, size):
    frame = make_frame()
    whole = make(structure_rows=60).partial_fit(frame)
    parts = make(structure_rows=60)
    for start in range(0, N_ROWS, size):
        parts.partial_fit(frame[start : start + size])
    assert parts.encoder_.categories[10].shape == whole.encoder_.categories[10].shape
    np.testing.assert_allclose(parts.score_samples(frame), whole.score_samples(frame), rtol=1e-12)
    assert dtypes_of(parts.sample(3)) == dtypes_of(frame)


@pytest.mark.parametrize("make_frame", [pandas_frame, polars_frame])
def test_long_frames_are_learnt_tile_by_tile(make_frame, monkeypatch):
    frame, sizes = make_frame(), []
    whole = make(structure_rows=20).partial_fit(frame)
    monkeypatch.setattr("skpc.estimators.streaming.CHUNK_ROWS", 16)
    monkeypatch.setattr(RowMemory, "added", lambda self, X, weight, added=RowMemory.added: (
        sizes.append(len(X)) or added(self, X, weight)))  # fmt: skip
    tiles = make(structure_rows=20).partial_fit(frame)
    assert sizes == [20, 16, 16, 16, 16, 6]
    np.testing.assert_allclose(tiles.score_samples(frame), whole.score_samples(frame), rtol=1e-9)
    assert tiles.offset_ == pytest.approx(whole.offset_)


@pytest.mark.parametrize("handle_unknown", ["other", "error"])
@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_words_join_until_the_structure_is_drawn(library, handle_unknown):
    frames = pytest.importorskip(library)

    def chunk(*words):
        return frames.DataFrame({"a": list(words), "b": np.arange(float(len(words)))})

    model = make(structure_rows=20, handle_unknown=handle_unknown)
    model.partial_fit(chunk(*[None] * 2)).partial_fit(chunk(*"yx" * 3))
    model.partial_fit(chunk(*"zxy"))
    before = model.encoder_
    assert np.isfinite(model.score_samples(chunk("z"))).all()
    model.partial_fit(chunk(*"axyz" * 4))
    assert model.encoder_ is not before
    # Sorted, though "a" came last.
    words = model._schema.columns[0].words
    assert [words[int(i)] for i in model.encoder_.categories[0]] == list("axyz")
    usual, new = model.score_samples(chunk("a"))[0], chunk(*"xnew")
    if handle_unknown == "error":
        schema = model._schema
        with pytest.raises(ValueError, match="Column 'a' holds 'n' in row 1"):
            model.partial_fit(new)
        assert model._schema is schema
    else:
        odd = model.score_samples(chunk("n"))[0]
        assert odd < usual
        model.partial_fit(new)
        assert model._schema.columns[0].words == words
    assert set(model.sample(200)["a"]) <= {None, *"axyz"}


def test_a_column_of_whole_numbers_that_turns_to_fractions():
    pandas = pytest.importorskip("pandas")
    model = make().partial_fit(pandas.DataFrame({"a": np.arange(70), "b": ["x", "y"] * 35}))
    assert model.sample(3)["a"].dtype == np.int64
    model.partial_fit(pandas.DataFrame({"a": np.arange(20) / 7, "b": ["x", "y"] * 10}))
    assert model.sample(3)["a"].dtype == np.float64


def test_circuits_made_by_hand_read_the_numbers_of_words():
    pandas = pytest.importorskip("pandas")
    a, b = Input(0, Categorical(3), 2), Input(1, Bernoulli(), 2)
    circuit = Circuit(Sum(Product([a, b])), n_variables=2)
    frame = pandas.DataFrame({"a": ["x", "y", None, "z"] * 9, "b": [True, False] * 18})
    X = np.column_stack([[0, 1, np.nan, 2] * 9, [1, 0] * 18])
    one, two = make(structure=circuit).fit(frame), make(structure=circuit).fit(X)
    np.testing.assert_array_equal(one.score_samples(frame), two.score_samples(X))
    frame["a"] = list("wxyz") * 9
    with pytest.raises(ValueError, match="Column 'a': x has 9 values .* 0 to 2"):
        make(structure=circuit).fit(frame)
    # To score it is no error.
    assert one.score(frame, sample_weight=np.ones(36)) == one.score(frame)


# -- samples, copies, files ------------------------------------------------------------------


@each_library
def test_samples_are_frames_of_the_same_columns(make_frame):
    frame = make_frame()
    model = make().fit(frame)
    drawn = model.sample(150)
    assert type(drawn) is type(frame)
    assert len(drawn) == 150
    names = drawn.column_names if make_frame is arrow_frame else drawn.columns
    assert list(names) == list(model.feature_names_in_)
    assert dtypes_of(drawn) == dtypes_of(frame)
    assert np.isfinite(model.score_samples(drawn)).all()
    if make_frame is pandas_frame:
        assert drawn["size"].cat.categories.tolist() == [9, 4, 2, 1, 77]
        assert drawn["city ordered"].cat.ordered
        assert set(drawn["city"]) == set(CITIES)
        assert drawn["late object"].isin([True, False]).all()
        assert drawn["nothing"].isna().all()


def test_whole_numbers_stay_within_their_dtype():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"a": np.r_[np.zeros(70), 1:71].astype(np.uint8), "b": 0.5})
    assert make().fit(frame).sample(500)["a"].min() == 0


@each_library
def test_files_pickles_and_clones_keep_words_and_dtypes(make_frame, tmp_path):
    frame = make_frame()
    model = make(structure_rows=50).fit(frame)
    model.save(tmp_path / "model")
    for again in (load(tmp_path / "model"), pickle.loads(pickle.dumps(model))):
        np.testing.assert_array_equal(again.score_samples(frame), model.score_samples(frame))
        assert again.sample(20).equals(model.sample(20))
        again.partial_fit(frame)
    twin = clone(model)
    assert not hasattr(twin, "_schema")
    np.testing.assert_array_equal(twin.fit(frame).score_samples(frame), model.score_samples(frame))


def test_a_damaged_schema_is_named(tmp_path):
    frame = pandas_frame()
    plain = check_table(make(), frame, None, True, None, "sorted").schema.to_plain()
    assert FrameSchema.from_plain(plain, 17).to_plain() == plain
    with pytest.raises(ValueError, match="the frame has 17 columns; 4 are needed"):
        FrameSchema.from_plain(plain, 4)


def test_without_the_library_samples_are_of_pandas_or_arrays(monkeypatch):
    import narwhals.stable.v2 as nw

    pytest.importorskip("polars")
    model = make().fit(polars_frame())
    numbers_only = make().fit(polars_frame()[["pay", "year"]])
    absent = {"polars"}
    native = nw.Implementation.to_native_namespace

    def missing(self):
        if self.value in absent:
            raise ModuleNotFoundError(self.value)
        return native(self)

    monkeypatch.setattr(nw.Implementation, "to_native_namespace", missing)
    pandas = pytest.importorskip("pandas")
    drawn = model.sample(5)
    assert isinstance(drawn, pandas.DataFrame)
    assert set(drawn["city"]) <= set(CITIES)
    absent.add("pandas")
    drawn = model.sample(5)
    assert drawn.shape == (5, 17) and drawn.dtype == object
    assert numbers_only.sample(5).dtype == np.float64


def test_model_remembers_no_frame():
    model = make().fit(pandas_frame())
    assert isinstance(model._stream.memory.X, np.ndarray)
    assert isinstance(model._schema, FrameSchema)


# -- with scikit-learn ----------------------------------------------------------------------


def test_pipelines_that_encode_words_are_untouched():
    frame = pandas_frame()[["pay", "city object", "grade"]].assign(pay=1.5).fillna("none")
    encode = make_column_transformer(
        (OrdinalEncoder(), ["city object"]),
        remainder="passthrough",
        verbose_feature_names_out=False,
    )
    X = encode.fit_transform(frame)
    pipeline = make_pipeline(encode, make(categorical_features=[0])).fit(frame)
    expected = make(categorical_features=[0]).fit(X).score_samples(X)
    np.testing.assert_array_equal(pipeline.score_samples(frame), expected)
    assert isinstance(pipeline[-1].sample(2), np.ndarray)


@pytest.mark.parametrize("make_frame", [pandas_frame, polars_frame])
def test_cross_validation_takes_frames(make_frame):
    from sklearn.model_selection import cross_val_score

    assert np.isfinite(cross_val_score(make(), make_frame(), cv=3)).all()


class Scoring:
    """A callback that scores the rows it is told of."""

    def __init__(self):
        self.scores = []

    def setup(self, estimator, context):
        pass

    def teardown(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context, *, X=None, metadata=None):
        pass

    def on_fit_task_end(self, estimator, context, *, X=None, fitted_estimator=None):
        # The end of a training has no estimator of its own, unlike its epochs and the fit.
        if fitted_estimator is not None:
            self.scores.append(fitted_estimator.score_samples(X))


@pytest.mark.skipif(
    not hasattr(PCDensityEstimator, "set_callbacks"),
    reason="callbacks came with scikit-learn 1.9",
)
def test_callbacks_get_rows_that_can_be_scored():
    # A table of one batch is learnt with equal rows merged, as codes; callbacks get the words.
    frame, callback = pandas_frame(), Scoring()
    model = make(batch_size=N_ROWS).set_callbacks(callback).fit(frame)
    # Two structures are learnt, each from some rows and then from all.
    assert len(callback.scores) == 4 * 3 + 1
    np.testing.assert_array_equal(callback.scores[-1], model.score_samples(frame))


def test_importing_skpc_loads_no_library_of_frames():
    code = (
        "import sklearn, sys; before = set(sys.modules); import skpc; "
        "new = {'pandas', 'polars', 'pyarrow', 'narwhals'} & (set(sys.modules) - before); "
        "assert not new, new"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=300)
