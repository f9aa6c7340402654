"""Bad input: refused before any work, by a sentence that says what, where, and what is allowed.

The estimator stays as it was: unfitted, or with its earlier fit to the bit.
"""

import pickle

import numpy as np
import pytest
import scipy.sparse
from sklearn.exceptions import NotFittedError

from skpc import PCDensityEstimator
from skpc.circuit import Circuit, Input, Product, Sum
from skpc.distributions import Bernoulli, Categorical
from skpc.solvers import SGD, Adam, Anemone, Cosine, MiniBatchEM
from skpc.structures import HCLT

X = np.random.default_rng(0).normal(size=(40, 4))


def make(**params):
    return PCDensityEstimator(**{"n_components": 2, "max_iter": 2, "random_state": 0, **params})


def hand_made():
    a, b = Input(0, Categorical(3), 2), Input(2, Bernoulli(), 2)
    return Circuit(Sum(Product([a, Sum(b, 2)])), n_variables=3)


@pytest.fixture(scope="module")
def pickled():
    return pickle.dumps(make().fit(X))


@pytest.fixture
def fitted(pickled):
    return pickle.loads(pickled)


@pytest.fixture
def no_training(monkeypatch):
    """Nothing may be trained any more."""

    def reached(*args, **kwargs):
        pytest.fail("work began before the input was refused")

    monkeypatch.setattr("skpc.estimators.fitting.train", reached)
    monkeypatch.setattr("skpc.estimators.streaming.learn_stream", reached)
    return reached


@pytest.fixture
def no_work(no_training, monkeypatch):
    """No structure may be learnt either, and no row scored."""
    monkeypatch.setattr(HCLT, "build", no_training)
    monkeypatch.setattr("skpc.estimators.fitting.Program", no_training)
    monkeypatch.setattr("skpc.backends.numba_cpu.NumbaBackend.log_likelihood", no_training)


def assert_refused(model, call, error, message):
    """The error, its sentence, and that the model has the same attributes as before."""
    before = dict(vars(model))
    with pytest.raises(error, match=message) as raised:
        call(model)
    assert len(str(raised.value)) < 1000, "a sentence, not a table"
    assert vars(model).keys() == before.keys()
    assert all(vars(model)[name] is value for name, value in before.items())


def everywhere(fitted):
    """Everything that takes a table, on a new and on a fitted estimator."""
    for name in ("fit", "partial_fit"):
        yield make(), name
    for name in ("fit", "partial_fit", "score_samples", "score", "decision_function", "predict"):
        yield fitted, name


# -- arguments of the constructor ---------------------------------------------------------

OUT_OF_RANGE = [
    ("structure", 3), ("structure", None), ("structure", HCLT),
    ("solver", 3), ("solver", None), ("solver", Anemone),
    ("n_components", 0), ("n_components", -1), ("n_components", 2.5), ("n_components", "4"),
    ("n_components", None),
    ("categorical_features", "columns"), ("categorical_features", 3),
    ("handle_unknown", "ignore"), ("handle_unknown", None),
    ("init_params", "kmeans"), ("init_params", 3), ("init_params", None),
    ("batch_size", 0), ("batch_size", 2.5), ("batch_size", "big"), ("batch_size", None),
    ("max_iter", 0), ("max_iter", 2.5), ("max_iter", None),
    ("tol", -1), ("tol", np.nan), ("tol", np.inf), ("tol", "small"),
    ("early_stopping", "auto"), ("early_stopping", 2),
    ("validation_fraction", 0), ("validation_fraction", 1), ("validation_fraction", np.nan),
    ("n_iter_no_change", 0), ("n_iter_no_change", 2.5),
    ("alpha", -1), ("alpha", np.nan), ("alpha", np.inf), ("alpha", None),
    ("n_init", 0), ("n_init", 1.5),
    ("warm_start", "yes"), ("warm_start", 3),
    ("structure_rows", 0), ("structure_rows", "all"),
    ("contamination", 0), ("contamination", 0.6), ("contamination", "few"),
    ("contamination", np.nan), ("contamination", None),
    ("device", None), ("device", 0),
    ("dtype", "float16"), ("dtype", np.float32),
    ("n_jobs", 0), ("n_jobs", 1.5),
    ("random_state", "zero"), ("random_state", -1), ("random_state", 1.5),
    ("verbose", -1), ("verbose", "very"),
]  # fmt: skip


@pytest.mark.usefixtures("no_work")
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
@pytest.mark.parametrize(("name", "value"), OUT_OF_RANGE, ids=repr)
def test_an_argument_out_of_range_is_refused_with_name_value_and_range(fitted, name, value, method):
    message = f"'{name}' parameter of PCDensityEstimator must be .*Got {value!r} instead"
    message = message.replace("(", r"\(").replace(")", r"\)")
    models = [make(**{name: value})]
    if method == "fit":
        # scikit-learn looks at the arguments of a stream before its first chunk only.
        models.append(fitted.set_params(**{name: value}))
    for model in models:
        assert_refused(model, lambda m: getattr(m, method)(X), ValueError, message)


@pytest.mark.usefixtures("no_work")
@pytest.mark.parametrize(
    ("name", "value"),
    [("alpha", -1), ("alpha", np.nan), ("batch_size", 0), ("contamination", 0.9)],
    ids=repr,
)
def test_an_argument_that_every_chunk_reads_is_refused_in_later_chunks(fitted, name, value):
    fitted.set_params(**{name: value})
    assert_refused(fitted, lambda m: m.partial_fit(X), ValueError, f"{name}.*{value!r}")


SETTINGS = {
    "unknown structure": (
        {"structure": "tree"}, "structure='tree' is unknown; give one of 'auto', "),
    "structure of no states": (
        {"structure": HCLT(n_components=0)}, "n_components=0 must be an integer of at least 1"),
    "structure of half states": (
        {"structure": HCLT(n_components=2.5)}, "n_components=2.5 must be an integer of at least 1"),
    "structure with one bin": (
        {"structure": HCLT(n_bins=1)}, "n_bins=1 must be 'auto' or an integer of at least 2"),
    "structure with bins in words": (
        {"structure": HCLT(n_bins="many")}, "n_bins='many' must be 'auto' or an integer"),
    "structure of no rows": (
        {"structure": HCLT(max_rows=0)}, "max_rows=0 must be 'auto', None or an integer"),
    "structure with a truth as rows": (
        {"structure": HCLT(max_rows=True)}, "max_rows=True must be 'auto', None or an integer"),
    "unknown device": (
        {"device": "gpu"}, "device='gpu' is not known; use 'auto', 'cpu', 'cuda' or 'cuda:1'"),
    "device without a number": ({"device": "cuda:"}, "device='cuda:' is not known"),
    "unknown solver": (
        {"solver": "adamm"}, r"solver='adamm' is not known; use one of \['adam', 'anemone', 'em'"),
    "step of zero": ({"solver": Anemone(0)}, r"step_size=0 must be a number in \(0, 1\]"),
    "step above one": ({"solver": Anemone(2)}, r"step_size=2 must be a number in \(0, 1\]"),
    "step in words": ({"solver": Anemone("x")}, r"step_size='x' must be a number in \(0, 1\]"),
    "step NaN": ({"solver": Anemone(np.nan)}, r"step_size=nan must be a number in \(0, 1\]"),
    "steps in disorder": (
        {"solver": Anemone(0.01, 0.02)}, "min_step_size=0.02 must not exceed step_size=0.01"),
    "negative last step": (
        {"solver": MiniBatchEM(min_step_size=-1)}, r"min_step_size=-1 must be a number in \(0"),
    "unknown schedule": (
        {"solver": Anemone(schedule="linear")}, r"schedule='linear' is not known; use one of \("),
    "momentum of one": (
        {"solver": Anemone(momentum=1)}, r"momentum=1 must be a number in \[0, 1\)"),
    "momentum None": (
        {"solver": Anemone(momentum=None)}, r"momentum=None must be a number in \[0, 1\)"),
    "negative momentum": (
        {"solver": MiniBatchEM(momentum=-0.1)}, r"momentum=-0.1 must be a number in \[0, 1\)"),
    "momentum of one for gradients": (
        {"solver": SGD(momentum=1)}, r"momentum=1 must be a number in \[0, 1\)"),
    "schedule None": ({"solver": Adam(schedule=None)}, "schedule=None is not known; use one of"),
    "schedule class": ({"solver": Adam(schedule=Cosine)}, "schedule=.*Cosine.* is not known"),
    "negative flat steps": (
        {"solver": Anemone(schedule=Cosine(flat=-1))},
        "flat=-1 must be a whole number of updates, 0 or more"),
    "gradient step of zero": (
        {"solver": Adam(0)}, r"step_size=0 must be a number in \(0, 1\]"),
    "infinite gradient step": (
        {"solver": SGD(np.inf)}, r"step_size=inf must be a number in \(0, 1\]"),
    "natural step that overshoots": (
        {"solver": SGD(1.5)}, r"step_size=1.5 must be a number in \(0, 1\]"),
    "huge plain step": (
        {"solver": SGD(101, natural=False)}, r"step_size=101 must be a number in \(0, 100\]"),
    "huge step of Adam": (
        {"solver": Adam(5)}, r"step_size=5 must be a number in \(0, 1\]"),
    "natural in words": ({"solver": SGD(natural="x")}, "natural='x' must be True or False"),
    "truth for a penalty": (
        {"solver": SGD(sharpness=True)}, "sharpness=True must be .* a finite number"),
    "truths for penalties": (
        {"solver": Adam(sharpness=[0.1, True])}, r"sharpness=\[0.1, True\] must be"),
    "truth for a step": (
        {"solver": Anemone(True)}, r"step_size=True must be a number in \(0, 1\]"),
    "truth for a decay": (
        {"solver": MiniBatchEM(momentum=False)}, r"momentum=False must be a number in \[0, 1\)"),
    "truth for epsilon": (
        {"solver": Adam(epsilon=True)}, "epsilon=True must be a positive, finite number"),
    "truth for a norm": (
        {"solver": Adam(clipping=True)}, "clipping=True must be None or a positive"),
    "truth for weight decay": (
        {"solver": SGD(weight_decay=True)}, "weight_decay=True must be a finite number"),
    "gradient step NaN": (
        {"solver": Adam(np.nan)}, r"step_size=nan must be a number in \(0, 1\]"),
    "gradient steps in disorder": (
        {"solver": Adam(0.01, 0.1)}, "min_step_size=0.1 must not exceed step_size=0.01"),
    "beta of one": ({"solver": Adam(beta_1=1)}, r"beta_1=1 must be a number in \[0, 1\)"),
    "negative beta": ({"solver": Adam(beta_2=-0.1)}, r"beta_2=-0.1 must be a number in \[0, 1\)"),
    "beta in words": ({"solver": Adam(beta_2="x")}, r"beta_2='x' must be a number in \[0, 1\)"),
    "epsilon of zero": (
        {"solver": Adam(epsilon=0)}, "epsilon=0 must be a positive, finite number"),
    "negative clipping": (
        {"solver": Adam(clipping=-1)}, "clipping=-1 must be None or a positive, finite number"),
    "clipping NaN": (
        {"solver": SGD(clipping=np.nan)}, "clipping=nan must be None or a positive, finite"),
    "negative weight decay": (
        {"solver": SGD(weight_decay=-1)}, "weight_decay=-1 must be a finite number of at least 0"),
    "category beyond the columns": (
        {"categorical_features": [7]}, r"categorical_features=\[7\] must hold .* from 0 to 3"),
    "negative category": (
        {"categorical_features": [-1]}, r"categorical_features=\[-1\] must hold .* from 0 to 3"),
    "category by name": (
        {"categorical_features": ["a"]}, r"categorical_features=\['a'\] must hold column numbers"),
    "half a category": (
        {"categorical_features": [0.5]}, r"categorical_features=\[0.5\] must hold column"),
    "short mask": (
        {"categorical_features": [True]},
        r"categorical_features.* mask of shape \(1,\); X has 4 columns"),
    "mask of two axes": (
        {"categorical_features": np.ones((1, 4), bool)},
        r"categorical_features.* mask of shape \(1, 4\); X has 4 columns"),
    "categories of two axes": (
        {"categorical_features": [[0, 1]]},
        r"categorical_features=\[\[0, 1\]\] must hold column numbers"),
}  # fmt: skip


@pytest.mark.usefixtures("no_work")
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
@pytest.mark.parametrize("case", SETTINGS)
def test_a_setting_that_cannot_work_is_refused_before_work_begins(case, method):
    params, message = SETTINGS[case]
    assert_refused(make(**params), lambda m: getattr(m, method)(X), ValueError, message)


# Scoring reads the device too.
@pytest.mark.parametrize("case", [c for c in SETTINGS if not ("categor" in c or "device" in c)])
def test_a_setting_that_cannot_work_leaves_the_earlier_fit(fitted, case):
    params, message = SETTINGS[case]
    before = fitted.score_samples(X)
    fitted.set_params(**params)
    assert_refused(fitted, lambda m: m.fit(X), ValueError, message)
    np.testing.assert_array_equal(fitted.score_samples(X), before)


@pytest.mark.usefixtures("no_training")
def test_start_values_of_another_circuit_are_refused(fitted):
    start = fitted.parameters_
    message = (
        "init_params=.* are of another circuit.* Give Parameters of the circuit that is fitted"
    )
    assert_refused(make(init_params=start), lambda m: m.fit(X[:, :2]), ValueError, message)
    message = "init_params=.* returned int; it must return skpc.circuit.Parameters"
    assert_refused(make(init_params=lambda *given: 1), lambda m: m.fit(X), TypeError, message)


# -- tables -------------------------------------------------------------------------------


def spoilt(row, column, value, dtype=float):
    Z = X.astype(dtype)
    Z[row, column] = value
    return Z


def frame(table, **changed):
    pandas = pytest.importorskip("pandas")
    return pandas.DataFrame(table, columns=list("abcd")[: np.shape(table)[1]]).assign(**changed)


WORD = r"Column 1 holds 'Paris', which is not a number.*OrdinalEncoder.*categorical_features.*NaN"
TABLES = {
    "one axis": (lambda: X[0], "Expected 2D array, got 1D array.*Reshape your data"),
    "three axes": (lambda: X[None], "Found array with dim 3.*<= 2"),
    "a number": (lambda: 3.0, "Expected 2D array, got scalar"),
    "None": (lambda: None, "Expected 2D array, got scalar"),
    "no rows": (lambda: X[:0], r"0 sample\(s\) \(shape=\(0, 4\)\) while a minimum of 1"),
    "no columns": (lambda: X[:, :0], r"0 feature\(s\) \(shape=\(40, 0\)\) while a minimum of 1"),
    "strings": (
        lambda: np.full((3, 4), "Paris"), "Column 0 holds 'Paris', which is not a number"),
    "numbers as strings": (lambda: X.astype(str), "Column 0 holds '.*', which is not a number"),
    "a word": (lambda: spoilt(2, 1, "Paris", object), WORD),
    "a word in lists": (lambda: [[1.0, "Paris", 2, 3]] * 3, WORD),
    "complex": (lambda: X + 1j, "Complex data not supported.* X .*complex128.*real numbers"),
    "complex in lists": (lambda: [[1j, 2, 3, 4]], "Complex data not supported.* X .*real numbers"),
    "infinite": (
        lambda: spoilt(3, 2, np.inf), "1 infinite .*first at row 3, feature 2.*NaN for missing"),
    "infinite in single precision": (
        lambda: spoilt(3, 2, -np.inf, np.float32), "1 infinite .*first at row 3, feature 2"),
    "infinite as objects": (
        lambda: spoilt(3, 2, np.inf, object), "1 infinite .*first at row 3, feature 2"),
    "beyond float64": (
        lambda: spoilt(3, 2, np.longdouble("1e4000"), np.longdouble),
        "first at row 3, feature 2|feature 2 .*row 3"),
    "whole number beyond float64": (
        lambda: spoilt(3, 2, 10**400, object), "(Column|feature) 2.*(too large|infinite)"),
    "sparse": (
        lambda: scipy.sparse.csr_array(X), "Sparse data.*X.*dense data is required.*toarray"),
    "dates": (lambda: X.astype("M8[s]"), "X has dtype datetime64.*real numbers are needed"),
    "ragged": (lambda: [[1.0, 2, 3, 4], [1.0, 2]], "X .*rows of different lengths"),
    "dictionary in a cell": (
        lambda: spoilt(2, 1, {}, object), "Column 1 holds {}, which is not a number"),
    "dates in a frame": (
        lambda: frame(X, b=np.full(40, "2020-01-01", "M8[s]")), "Column 'b' holds .*not a number"),
    "infinite in a frame": (
        lambda: frame(spoilt(3, 2, np.inf)), "1 infinite .*first at row 3, feature ('c'|2)"),
}  # fmt: skip


@pytest.mark.usefixtures("no_work")
@pytest.mark.filterwarnings("ignore:X has feature names")
@pytest.mark.parametrize("case", TABLES)
def test_what_is_no_table_of_numbers_is_refused_everywhere(fitted, case):
    """A scoring model was fitted to four nameless columns, so that their number is right."""
    make_table, message = TABLES[case]
    table = make_table()
    for model, method in everywhere(fitted):
        if case == "no columns" and model is fitted and method != "fit":
            continue
        error = (ValueError, TypeError)
        call = lambda m, method=method: getattr(m, method)(table)  # noqa: E731
        assert_refused(model, call, error, f"(?s){message}")


@pytest.mark.parametrize("method", ["partial_fit", "score_samples", "decision_function", "predict"])
@pytest.mark.parametrize(("change", "message"), [
    (lambda f: f[list("badc")], "feature names should match.*same order"),
    (lambda f: f.rename(columns={"a": "age"}), "names unseen at fit time:\n- age"),
    (lambda f: f[list("abc")], "seen at fit time, yet now missing:\n- d"),
    (lambda f: f.assign(e=1.0), "names unseen at fit time:\n- e"),
], ids=["order", "name", "fewer", "more"])  # fmt: skip
def test_other_columns_of_a_frame_are_refused_by_name(method, change, message, request):
    pytest.importorskip("pandas")
    model = make().fit(frame(X))
    request.getfixturevalue("no_work")
    call = lambda m: getattr(m, method)(change(frame(X)))  # noqa: E731
    assert_refused(model, call, ValueError, f"(?s){message}")


@pytest.mark.usefixtures("no_work")
@pytest.mark.parametrize("method", ["partial_fit", "score_samples", "score", "decision_function"])
@pytest.mark.parametrize("n_columns", [3, 5])
def test_another_number_of_columns_is_refused(fitted, method, n_columns):
    message = f"X has {n_columns} features, but PCDensityEstimator is expecting 4 features"
    table = np.ones((6, n_columns))
    assert_refused(fitted, lambda m: getattr(m, method)(table), ValueError, message)


@pytest.mark.parametrize(("name", "value"), [("n_components", 3), ("handle_unknown", "error")])
def test_a_warm_start_with_another_setting_shows_both_values(fitted, no_work, name, value):
    old = getattr(fitted, name)
    fitted.set_params(warm_start=True, **{name: value})
    message = f"{name} changed .*{old!r} to {value!r}.* warm_start=False"
    assert_refused(fitted, lambda m: m.fit(X), ValueError, message)


# -- weights ------------------------------------------------------------------------------


def weights(first, others=1.0):
    return np.r_[first, np.full(len(X) - 1, others)]


WEIGHTS = {
    "negative": (weights(-1.0), "sample_weight.* -1.0 .*row 0"),
    "NaN": (weights(np.nan), "sample_weight.* (nan|NaN).*row 0"),
    "infinite": (weights(np.inf), "sample_weight.* inf.*row 0"),
    "too few": (np.ones(39), r"sample_weight.* \(39,\).* \(40,\)"),
    "two axes": (np.ones((40, 1)), "(?i)sample.weights? must be 1D array or scalar, got 2D"),
    "all zero": (np.zeros(40), "(?i)sample.weight.*(non-zero|one must be positive)"),
    "a word": ("balanced", "sample_weight='balanced'"),
    "words": (["a"] * 40, "sample_weight.*'a'"),
    "complex": (np.ones(40) * 1j, "sample_weight.*complex128"),
    "a dictionary": ({0: 1.0}, "sample_weight"),
    "too large together": (np.full(40, 1e308), "sample_weight.* sum"),
    "too small together": (np.full(40, 1e-320), "sample_weight.* sum"),
}


@pytest.mark.usefixtures("no_work")
@pytest.mark.parametrize("case", WEIGHTS)
def test_bad_weights_are_refused(fitted, case):
    weight, message = WEIGHTS[case]
    for model, method in everywhere(fitted):
        if method in ("fit", "partial_fit", "score"):
            call = lambda m, method=method: getattr(m, method)(X, sample_weight=weight)  # noqa: E731
            assert_refused(model, call, (ValueError, TypeError), message)


# -- circuits made by hand ----------------------------------------------------------------


def cells(n_rows=30):
    rng = np.random.default_rng(0)
    return np.column_stack([np.arange(n_rows) % 3, rng.normal(size=n_rows), np.arange(n_rows) % 2])


CELLS = {
    "half a coin": (
        4,
        2,
        0.5,
        r"Column 2: .*Bernoulli\(\) cannot take .*0.5 .* 4\).*0 and 1, and NaN",
    ),
    "a third side of a coin": (
        7,
        2,
        2,
        r"Column 2: .*Bernoulli\(\) cannot take .*2.0 .* 7\).*0 and 1",
    ),
    "a state too many": (
        5,
        0,
        3,
        r"Column 0: .*Categorical\(n_states=3\).* 3.0 .* 5\).*numbers 0 to 2",
    ),
    "a negative state": (
        0,
        0,
        -1,
        r"Column 0: .*Categorical\(n_states=3\).* -1.0 .* 0\).*numbers 0 to 2",
    ),
}


@pytest.mark.usefixtures("no_training")
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
@pytest.mark.parametrize("case", CELLS)
def test_cells_that_a_leaf_cannot_take_are_refused_with_column_and_row(case, method):
    row, column, value, message = CELLS[case]
    table = cells()
    table[row, column] = value
    model = make(structure=hand_made())
    assert_refused(model, lambda m: getattr(m, method)(table), ValueError, message)


@pytest.mark.parametrize("case", CELLS)
def test_cells_that_a_leaf_cannot_take_are_refused_in_later_chunks(case):
    row, column, value, message = CELLS[case]
    model = make(structure=hand_made()).partial_fit(cells())
    before = model.score_samples(cells())
    table = cells()
    table[row, column] = value
    assert_refused(model, lambda m: m.partial_fit(table), ValueError, message)
    np.testing.assert_array_equal(model.score_samples(cells()), before)


@pytest.mark.usefixtures("no_training")
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_a_circuit_over_other_columns_is_refused(method):
    message = "X has 4 columns, but the circuit given as structure is over 3"
    model = make(structure=hand_made())
    assert_refused(model, lambda m: getattr(m, method)(X), ValueError, message)


# -- other queries ------------------------------------------------------------------------


@pytest.mark.usefixtures("no_work")
@pytest.mark.parametrize("n_samples", [0, -1, 2.5, "3", None, np.nan])
def test_a_number_of_samples_that_is_none_is_refused(fitted, n_samples):
    message = f"n_samples={n_samples!r} must be a whole number of at least 1"
    assert_refused(fitted, lambda m: m.sample(n_samples), ValueError, message)


@pytest.mark.parametrize("seed", ["zero", -1, 1.5])
def test_a_seed_of_samples_that_is_none_is_refused(fitted, seed):
    call = lambda m: m.sample(2, random_state=seed)  # noqa: E731
    assert_refused(fitted, call, ValueError, f"{seed}.* (cannot be used to )?seed|Seed must be")


@pytest.mark.parametrize("method", ["score_samples", "score", "decision_function", "predict"])
def test_an_estimator_before_fit_says_that_it_must_be_fitted(method):
    assert_refused(
        make(), lambda m: getattr(m, method)(X), NotFittedError, "not fitted yet. Call 'fit'"
    )


def test_other_queries_before_fit_say_that_it_must_be_fitted(tmp_path):
    for query in (lambda m: m.sample(), lambda m: m.save(tmp_path / "model")):
        assert_refused(make(), query, NotFittedError, "not fitted yet. Call 'fit'")
    assert_refused(make(), lambda m: m.offset_, AttributeError, "no offset_ before fit")


def test_a_solver_of_whole_tables_has_no_partial_fit_and_tells_which_have():
    assert not hasattr(make(solver="em"), "partial_fit")
    with pytest.raises(AttributeError, match="partial_fit") as raised:
        make(solver="em").partial_fit(X)
    message = str(raised.value.__cause__)
    assert "solver='em' needs all rows at once. Use 'adam', 'anemone'" in message
    assert "'em'" not in message.split("Use")[1]


def test_places_where_no_file_can_be_written_are_refused(fitted, tmp_path):
    call = lambda m: m.save(tmp_path / "absent" / "model")  # noqa: E731
    assert_refused(
        fitted, call, FileNotFoundError, "folder '.*absent' does not exist; make it first"
    )
    call = lambda m: m.save(tmp_path)  # noqa: E731
    assert_refused(fitted, call, OSError, f"'{tmp_path}' is a folder")
    assert not list(tmp_path.iterdir())
