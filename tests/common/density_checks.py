"""What every density estimator must do, beyond scikit-learn's own checks.

A check takes a Configuration, fits estimators of its own, and raises AssertionError.
"""

import multiprocessing
import pickle

import joblib
import numpy as np
import pytest

import skpc

# -- weights ------------------------------------------------------------------------------


def check_integer_weights_are_repeated_rows(configuration):
    """Where the data are one batch, in any order of the rows."""
    X, weight, repeated = _weighted(configuration.X)
    one = configuration.make(batch_size=1000).fit(X, sample_weight=weight)
    other = configuration.make(batch_size=1000).fit(repeated)
    _assert_close(one.score_samples(X), other.score_samples(X))
    if hasattr(one, "offset_"):
        _assert_close(one.offset_, other.offset_)
        _assert_close(one.decision_function(X), other.decision_function(X))


def check_integer_weights_are_repeated_rows_in_a_first_chunk(configuration):
    X, weight, repeated = _weighted(configuration.X)
    one, other = (configuration.make(batch_size=1000) for _ in range(2))
    if not hasattr(one, "partial_fit"):
        return
    one.partial_fit(X, sample_weight=weight)
    other.partial_fit(repeated)
    _assert_close(one.score_samples(X), other.score_samples(X))
    _assert_close(one.offset_, other.offset_)


def check_no_weights_are_ones(configuration):
    X = configuration.X
    expected = configuration.make().fit(X).score_samples(X)
    for ones in (np.ones(len(X)), np.ones(len(X), dtype=int).tolist(), 1.0):
        model = configuration.make().fit(X, sample_weight=ones)
        np.testing.assert_array_equal(model.score_samples(X), expected)


def check_weights_of_the_score(configuration):
    """The mean counts a row as often as its weight says."""
    X, weight, repeated = _weighted(configuration.X)
    model = configuration.make().fit(X)
    assert model.score(X, sample_weight=weight) == pytest.approx(model.score(repeated), rel=1e-6)
    assert model.score(X) == pytest.approx(model.score_samples(X).mean(), rel=1e-9)


# -- repetition, and what must not change --------------------------------------------------


def check_fit_repeated_has_the_same_bits(configuration):
    X = configuration.X
    model = configuration.make().fit(X)
    first, offset = model.score_samples(X), model.offset_
    again = model.fit(X)
    assert again is model
    np.testing.assert_array_equal(model.score_samples(X), first)
    cloned = configuration.make().fit(X)
    np.testing.assert_array_equal(cloned.score_samples(X), first)
    assert model.offset_ == cloned.offset_ == offset


def check_fit_forgets_an_earlier_fit(configuration):
    X = configuration.X
    model = configuration.make().fit(X[::2])
    if hasattr(model, "partial_fit"):
        model.partial_fit(X[1:9:2])
    np.testing.assert_array_equal(
        model.fit(X).score_samples(X), configuration.make().fit(X).score_samples(X)
    )


def check_queries_leave_the_attributes_alone(configuration, folder):
    """The same names and the same objects: no query learns, caches or converts."""
    X = configuration.X
    model = configuration.make().fit(X)
    before, arguments = dict(vars(model)), X.copy()
    offset = model.offset_
    for query in (
        lambda: model.score_samples(X),
        lambda: model.score(X),
        lambda: model.decision_function(X),
        lambda: model.predict(X),
        lambda: model.sample(3),
        lambda: model.save(folder / "model"),
        lambda: pickle.dumps(model),
        lambda: repr(model),
    ):
        query()
        assert vars(model).keys() == before.keys()
        assert all(vars(model)[name] is value for name, value in before.items())
    assert model.offset_ == offset
    np.testing.assert_array_equal(X, arguments)


# -- copies and files ----------------------------------------------------------------------


def check_copies_score_with_the_same_bits_and_learn_on(configuration, folder):
    """Pickled, dumped and mapped read-only into memory, saved and loaded."""
    X = configuration.X
    chunk = X[10:40]

    def learnt_on(model):
        return model.partial_fit(chunk) if hasattr(model, "partial_fit") else model

    model = configuration.make().fit(X)
    scores, decisions = model.score_samples(X), model.decision_function(X)
    pickled = pickle.dumps(model)
    joblib.dump(model, folder / "model.joblib")
    model.save(folder / "model.skpc")
    learnt_on(model)
    copies = (
        pickle.loads(pickled),
        skpc.load(folder / "model.skpc"),
        joblib.load(folder / "model.joblib", mmap_mode="r"),
    )
    for again in copies:
        np.testing.assert_array_equal(again.score_samples(X), scores)
        np.testing.assert_array_equal(again.decision_function(X), decisions)
        np.testing.assert_array_equal(learnt_on(again).score_samples(X), model.score_samples(X))
        assert again.offset_ == model.offset_
        assert again.history_ == model.history_


# -- what tables may look like -------------------------------------------------------------


def check_layouts_of_the_table_are_read_alike(configuration):
    """Fortran order, views with strides, read-only and mapped arrays, lists: the same bits."""
    X = configuration.X
    model = configuration.make().fit(X)
    scores = model.score_samples(X)
    for Z in _layouts(X):
        np.testing.assert_array_equal(model.score_samples(Z), scores)
        np.testing.assert_array_equal(configuration.make().fit(Z).score_samples(X), scores)


def check_dtypes_of_the_table_are_read_alike(configuration):
    X = configuration.X
    model = configuration.make().fit(X)
    scores = model.score_samples(X)
    # What float32 cannot hold is lost before the model sees it, and nothing else is.
    rounded = X.astype(np.float32)
    _assert_close(
        model.score_samples(rounded), model.score_samples(rounded.astype(float)), configuration
    )
    _assert_close(model.score_samples(X.astype(float)), scores, configuration)
    _assert_close(model.score_samples(X.astype(object)), scores, configuration)
    if X.dtype.kind in "iu":
        for dtype in (np.int8, np.int32, np.int64, np.float32):
            _assert_close(model.score_samples(X.astype(dtype)), scores, configuration)


def check_rows_are_scored_alone(configuration):
    """A row has the same bits whatever stands around it."""
    X = configuration.X
    model = configuration.make().fit(X)
    scores = model.score_samples(X)
    np.testing.assert_array_equal([model.score_samples(row[None])[0] for row in X[:9]], scores[:9])
    order = np.random.default_rng(0).permutation(len(X))
    np.testing.assert_array_equal(model.score_samples(X[order]), scores[order])


def check_the_order_of_columns_hardly_matters(configuration):
    """Start values are drawn column by column, so the model is another one, and as good: within
    0.5 nats a row here, where both are learnt from few rows in few passes. A column that was
    encoded as its neighbour would cost several nats."""
    X = configuration.X
    train, test = X[::2], X[1::2]
    order = np.random.default_rng(0).permutation(X.shape[1])
    params = {"max_iter": 10}
    if isinstance(configuration.estimator.get_params().get("categorical_features"), list):
        named = configuration.estimator.categorical_features
        params["categorical_features"] = [int(np.flatnonzero(order == j)[0]) for j in named]
    plain = configuration.make(max_iter=10).fit(train).score(test)
    moved = configuration.make(**params).fit(train[:, order]).score(test[:, order])
    assert moved == pytest.approx(plain, abs=0.5)


def check_columns_of_a_frame_are_known_by_name(configuration):
    pandas = pytest.importorskip("pandas")
    names = [f"column {j}" for j in range(configuration.X.shape[1])]
    frame = pandas.DataFrame(configuration.X, columns=names)
    model = configuration.make().fit(frame)
    np.testing.assert_array_equal(
        model.score_samples(frame),
        configuration.make().fit(configuration.X).score_samples(frame.to_numpy()),
    )
    queries = [model.score_samples, model.decision_function, model.predict]
    if hasattr(model, "partial_fit"):
        queries.append(model.partial_fit)
    for query in queries:
        with pytest.raises(ValueError, match="feature names should match"):
            query(frame[names[::-1]])
        with pytest.raises(ValueError, match="(?s)yet now missing.*column 0"):
            query(frame.rename(columns={"column 0": "other"}))


def check_infinite_cells_are_refused_with_row_and_column(configuration):
    X = configuration.X.astype(float)
    model = configuration.make().fit(X)
    scores = model.score_samples(X)
    spoilt = X.copy()
    spoilt[5, 2], spoilt[6, 1] = -np.inf, np.inf
    for name in ("fit", "partial_fit", "score_samples", "decision_function", "predict", "score"):
        for subject in (model, configuration.make()):
            if not hasattr(subject, name) or (subject is not model and "fit" not in name):
                continue
            with pytest.raises(ValueError, match=r"2 infinite .*first at row 5, feature 2"):
                getattr(subject, name)(spoilt)
    np.testing.assert_array_equal(model.score_samples(X), scores)


# -- degenerate tables ---------------------------------------------------------------------


def check_rows_without_cells_score_zero(configuration):
    """The logarithm of 1, exactly; decisions about them are finite."""
    X = configuration.X.astype(float)
    model = configuration.make().fit(X)
    nothing = np.full((3, X.shape[1]), np.nan)
    assert model.score_samples(nothing).tolist() == [0.0, 0.0, 0.0]
    assert np.isfinite(model.decision_function(nothing)).all()
    among = model.score_samples(np.vstack([X[:5], nothing, X[5:9]]))
    assert among[5:8].tolist() == [0.0, 0.0, 0.0]
    assert (
        configuration.make().fit(np.vstack([X, nothing])).score_samples(nothing).tolist() == [0] * 3
    )


def check_tables_without_variety_can_be_learnt(configuration):
    X = configuration.X.astype(float)
    n_columns = X.shape[1]
    tables = {
        "a column without cells": np.column_stack([X[:, :1] * np.nan, X[:, 1:]]),
        "no cell at all": np.full((5, n_columns), np.nan),
        "a constant column": np.column_stack([X[:, :-1], np.full(len(X), 7.0)]),
        "equal rows": np.tile(np.nan_to_num(X[:1]), (20, 1)),
        "one row": np.nan_to_num(X[:1]),
        "one row with a missing cell": np.where(np.arange(n_columns) == 1, np.nan, 1.0)[None],
        "zeros": np.zeros((4, n_columns)),
    }
    for name, Z in tables.items():
        methods = (
            ["fit", "partial_fit"] if hasattr(configuration.make(), "partial_fit") else ["fit"]
        )
        for method in methods:
            model = getattr(configuration.make(), method)(Z)
            assert np.isfinite(model.score_samples(Z)).all(), (name, method)
            assert np.isfinite(model.offset_), (name, method)
            assert np.isfinite(model.score_samples(X)).all(), (name, method)


def check_other_values_of_a_constant_column_are_unusual(configuration):
    X = np.column_stack([configuration.X[:, :-1], np.full(len(configuration.X), 3)])
    model = configuration.make().fit(X)
    usual = model.score_samples(X)
    for value in (-60, 0, 8, 90):
        other = X.copy()
        other[:, -1] = value
        scores = model.score_samples(other)
        assert np.isfinite(scores).all()
        assert (scores < usual).all()


# -- decisions -----------------------------------------------------------------------------


def check_decisions_agree_with_scores_and_offset(configuration):
    X = configuration.X
    model = configuration.make().fit(X)
    decisions = model.decision_function(X)
    np.testing.assert_array_equal(decisions, model.score_samples(X) - model.offset_)
    np.testing.assert_array_equal(model.predict(X) == -1, decisions < 0)
    assert set(np.unique(model.predict(X))) <= {-1, 1}
    np.testing.assert_array_equal(configuration.make().fit_predict(X), model.predict(X))


def check_contamination_is_the_share_of_training_rows_that_is_flagged(configuration):
    X = configuration.X
    flagged = []
    for share in (0.05, 0.1, 0.237, 0.5):
        model = configuration.make(contamination=share).fit(X)
        decisions = model.decision_function(X)
        ties = np.count_nonzero(np.abs(decisions) < 1e-9)
        count = np.count_nonzero(model.predict(X) == -1)
        assert np.floor(share * len(X)) - ties <= count <= np.ceil(share * len(X))
        flagged.append(count)
    assert flagged == sorted(flagged)
    assert flagged[-1] > 0.2 * len(X)


def check_only_learning_moves_the_offset(configuration):
    X = configuration.X
    model = configuration.make().fit(X)
    offset = model.offset_
    far = X.astype(float) + 5
    model.score_samples(far), model.predict(far), model.sample(3)
    assert model.offset_ == offset
    if hasattr(model, "partial_fit"):
        model.partial_fit(np.tile(X[:1], (30, 1)))
        moved = model.offset_
        assert moved != offset
        model.score_samples(far), model.decision_function(far)
        assert model.offset_ == moved


# -- threads and processes -----------------------------------------------------------------


def check_threads_get_the_same_bits(configuration):
    """Several threads score with one model and fit models of their own at the same time."""
    X = configuration.X
    model = configuration.make(n_jobs=None).fit(X)
    parts = [X, X[::2], X[5:], X[:50]] * 2
    work = joblib.Parallel(n_jobs=2, backend="threading")
    for got, part in zip(work(joblib.delayed(model.score_samples)(p) for p in parts), parts):
        np.testing.assert_array_equal(got, model.score_samples(part))
    for got, part in zip(
        work(joblib.delayed(_fit_and_score)(configuration, p) for p in parts), parts
    ):
        np.testing.assert_array_equal(got, _fit_and_score(configuration, part))


def check_processes_get_the_same_bits(configuration):
    X = configuration.X
    model = configuration.make().fit(X)
    work = joblib.Parallel(n_jobs=2, backend="loky")
    for scores in work(joblib.delayed(model.score_samples)(X) for _ in range(2)):
        np.testing.assert_array_equal(scores, model.score_samples(X))
    for scores in work(joblib.delayed(_fit_and_score)(configuration, X) for _ in range(2)):
        np.testing.assert_array_equal(scores, model.score_samples(X))


def check_a_forked_child_scores_and_fits(configuration):
    """The parent's threads do not exist in the child, which must not wait for them."""
    if "fork" not in multiprocessing.get_all_start_methods():
        pytest.skip("this system cannot fork")
    X = np.tile(configuration.X, (6, 1))
    model = configuration.make(n_jobs=2).fit(X)
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe(duplex=False)

    def work():
        scores = model.score_samples(X)
        there.send((scores, configuration.make(n_jobs=2).fit(X).score_samples(X)))

    child = context.Process(target=work)
    child.start()
    try:
        assert here.poll(60), "the forked child is stuck"
        scored, fitted = here.recv()
        child.join(30)
        assert child.exitcode == 0
    finally:
        if child.is_alive():
            child.kill()
            child.join()
    np.testing.assert_array_equal(scored, model.score_samples(X))
    np.testing.assert_array_equal(fitted, scored)


# -- helpers -------------------------------------------------------------------------------


def _weighted(X):
    """Rows, their weights from 0 to 3, and the rows repeated in another order."""
    rng = np.random.default_rng(1)
    weight = rng.integers(0, 4, len(X)).astype(float)
    repeated = np.repeat(X, weight.astype(int), axis=0)
    return X, weight, repeated[rng.permutation(len(repeated))]


def _layouts(X):
    wide = np.repeat(np.repeat(X, 2, axis=0), 2, axis=1)
    locked = X.copy()
    locked.flags.writeable = False
    return [np.asfortranarray(X), wide[::2, ::2], X[::-1].copy()[::-1], locked, X.tolist()]


def _fit_and_score(configuration, X):
    return configuration.make().fit(X).score_samples(X)


def _assert_close(got, expected, configuration=None):
    single = configuration is not None and configuration.estimator.dtype == "float32"
    np.testing.assert_allclose(got, expected, rtol=1e-7, atol=1e-4 if single else 1e-7)
