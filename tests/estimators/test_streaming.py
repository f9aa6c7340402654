import numpy as np
import pytest
from sklearn.base import clone

from skpc import PCDensityEstimator, load
from skpc.circuit import Circuit, Input, Product, Sum
from skpc.distributions import Bernoulli
from skpc.solvers import SharpnessEM
from skpc.structures import HCLT


def make(**params):
    return PCDensityEstimator(
        **{"n_components": 3, "max_iter": 4, "random_state": 0, "structure_rows": 50, **params}
    )


def table(n_rows=120, seed=0):
    rng = np.random.default_rng(seed)
    z = rng.integers(0, 2, n_rows)
    return np.column_stack([z, z ^ (rng.random(n_rows) < 0.1), 3.0 * z + rng.normal(size=n_rows)])


def in_chunks(model, X, size, weight=None):
    for start in range(0, len(X), size):
        part = slice(start, start + size)
        model.partial_fit(X[part], sample_weight=None if weight is None else weight[part])
    return model


class Counting(HCLT):
    rows = []

    def build(self, X, distributions, **rest):
        Counting.rows.append(len(X))
        return super().build(X, distributions, **rest)


@pytest.fixture
def built(monkeypatch):
    monkeypatch.setattr(Counting, "rows", [])
    return Counting.rows


def test_structures_are_learnt_whenever_the_buffer_has_doubled_and_then_never(built):
    model = in_chunks(make(structure=Counting()), table(), 1)
    # Up to 64 rows are one batch, in which equal rows are one.
    assert len(built) == 7
    assert built[0] == 1
    assert built[-1] <= 50
    circuit, encoder = model.circuit_, model.encoder_
    in_chunks(model, table(seed=1), 7)
    assert model.circuit_ is circuit
    assert model.encoder_ is encoder


@pytest.mark.parametrize(("size", "times"), [(20, 3), (50, 1), (120, 1), (30, 2)])
def test_chunks_fill_the_buffer_and_the_rest_is_learnt_in_passing(built, size, times):
    model = in_chunks(make(structure=Counting()), table(), size)
    assert len(built) == times
    assert model._stream.memory.n == 50
    assert model._stream.memory.n_seen == 120


def test_every_call_leaves_a_usable_model():
    model, X = make(), table()
    for i, row in enumerate(X[:70]):
        model.partial_fit(row[None])
        assert np.isfinite(model.score_samples(X)).all()
        assert np.isfinite(model.offset_)
        assert model.n_iter_ == len(model.history_) == i + 1
    assert not model.converged_
    assert model.sample(3).shape == (3, 3)


def test_every_row_changes_the_model():
    model, X = in_chunks(make(), table(), 30), table(seed=1)
    for row in X[:4]:
        before = model.parameters_.weights.copy()
        model.partial_fit(row[None])
        assert (model.parameters_.weights != before).any()


def test_single_rows_teach_as_much_as_chunks():
    X, rest = table(700), table(400, seed=1)
    whole = make(structure_rows=100).partial_fit(X)
    single = in_chunks(make(structure_rows=100), X, 1)
    np.testing.assert_allclose(single.score_samples(rest), whole.score_samples(rest), atol=1e-6)
    first = make(structure_rows=100).partial_fit(X[:100])
    assert whole.score(rest) > first.score(rest) - 0.02


@pytest.mark.parametrize("first", [[0.0, 0, 0], [1.0, 1, 1e6]])
def test_a_constant_first_row_does_no_lasting_harm(first):
    X, rest = table(400), table(400, seed=1)
    params = {"structure_rows": 100, "n_components": 8, "max_iter": 20}
    well = in_chunks(make(**params), X, 20).score(rest)
    assert in_chunks(make(**params).partial_fit([first]), X, 20).score(rest) > well - 0.1


def test_history_is_the_likelihood_before_learning():
    model, X = in_chunks(make(), table(), 60), table(seed=1)
    for size in (30, 25):
        # With the parameters before the batch that the rows join; here they begin one.
        model._model.open_batch = None
        expected = model.score(X[:size])
        assert model.partial_fit(X[:size]).history_[-1].train == pytest.approx(expected)
        assert model.history_[-1].weight == size
    # Of 60 rows 50 fill the buffer; the others are learnt by themselves.
    assert [record.weight for record in model.history_] == [50, 10, 60, 30, 25]
    model.partial_fit(X[:2], sample_weight=[0.5, 3])
    assert model.history_[-1].weight == 3.5
    epochs = [record.epoch for record in model.history_]
    assert epochs == list(range(1, len(epochs) + 1))


def test_long_histories_are_cut(monkeypatch):
    monkeypatch.setattr("skpc.estimators.density.MOST_RECORDS", 10)
    model = in_chunks(make(), table(100), 1)
    assert 10 <= len(model.history_) <= 20
    assert model.n_iter_ == model.history_[-1].epoch == 100


@pytest.mark.parametrize("size", [8, 25])
def test_weights_are_repeated_rows_and_zero_is_absence(size):
    X = table(size)
    weight = np.random.default_rng(0).integers(0, 3, size)
    one = make(batch_size=100).partial_fit(X, sample_weight=weight)
    other = make(batch_size=100).partial_fit(np.repeat(X, weight, axis=0))
    np.testing.assert_array_equal(one.score_samples(X), other.score_samples(X))
    more = table(10, seed=1)
    one.partial_fit(more, sample_weight=np.full(10, 2.0))
    other.partial_fit(np.repeat(more, 2, axis=0))
    np.testing.assert_allclose(one.score_samples(X), other.score_samples(X), rtol=1e-7)


def test_fit_is_gone_on_from():
    X, rest = table(300), table(300, seed=1)
    model = make(max_iter=20).fit(X)
    circuit, score = model.circuit_, model.score(rest)
    model.partial_fit(table(100, seed=2))
    assert model.circuit_ is circuit
    assert model.n_iter_ > 20
    assert model.history_[19].epoch == 20
    assert abs(model.score(rest) - score) < 0.1
    assert model.fit(X).n_iter_ == 20


def test_a_stream_follows_a_change_of_the_data():
    X = table(300)
    changed = np.column_stack([1 - X[:, 0], X[:, 1], X[:, 2] + 4])
    model = in_chunks(make(batch_size=20), X, 50)
    before = model.score(changed[:100]), model.offset_
    in_chunks(model, changed, 50)
    assert model.score(changed[:100]) > before[0] + 1
    assert model.offset_ != before[1]


def test_a_circuit_made_by_hand_does_not_wait(monkeypatch):
    monkeypatch.setattr("skpc.estimators.streaming.fit_table", None)
    circuit = Circuit(Sum(Product([Input(0, Bernoulli(), 2), Input(1, Bernoulli(), 2)])))
    X = table(600)[:, :2]
    model = in_chunks(make(structure=circuit, alpha=0.1, batch_size=20), X, 10)
    assert model.circuit_ is circuit
    assert model.n_iter_ == len(model.history_) == 60
    assert model.score(X) > model.history_[0].train + 0.1


def test_values_never_seen_begin_a_new_model_while_the_buffer_is_open(built):
    model = make(structure=Counting(), handle_unknown="error", structure_rows=30)
    X = np.random.default_rng(0).integers(0, 2, size=(60, 3))
    model.partial_fit(X[:10])
    # Fewer than twice as many rows, but a state that the encoding does not know.
    model.partial_fit([[2, 0, 1]])
    assert len(built) == 2
    in_chunks(model, X, 10)
    before = model.score_samples(X)
    with pytest.raises(ValueError, match="Column 0 holds 5 in row 0"):
        model.partial_fit([[5, 0, 1]])
    np.testing.assert_array_equal(model.score_samples(X), before)


def test_a_column_that_turns_to_floats_counts_as_floats():
    X = np.random.default_rng(0).integers(0, 5, size=(20, 2))
    model = make().partial_fit(X[:4]).partial_fit(X[4:] + 0.5)
    assert model.encoder_.kinds.tolist() == [2, 2]


def test_solvers_that_need_all_rows_have_no_partial_fit():
    model = make(solver="em")
    assert not hasattr(model, "partial_fit")
    with pytest.raises(AttributeError, match="partial_fit") as error:
        _ = model.partial_fit
    assert "solver='em' needs all rows at once" in str(error.value.__cause__)
    X = table()
    with pytest.warns(UserWarning, match="still rises"):
        model.fit(X)
    model.set_params(solver="minibatch_em").partial_fit(X[:5])
    assert np.isfinite(model.score(X))
    assert np.isfinite(model.offset_)


@pytest.mark.parametrize("bad", [{"full_batch": "no"}, {"full_batch": True, "step_size": 7}])
def test_solvers_that_cannot_work_say_so_at_partial_fit(bad):
    model = make(solver=SharpnessEM(**bad))
    name = list(bad)[-1]
    with pytest.raises(ValueError, match=f"{name}={bad[name]!r} must be"):
        model.partial_fit(table())
    fitted = make().fit(table()).set_params(solver=SharpnessEM(**bad))
    with pytest.raises(ValueError, match=f"{name}={bad[name]!r} must be"):
        fitted.partial_fit(table())


@pytest.mark.parametrize(("change", "message"), [
    ({"n_components": 5}, "n_components changed from 3 to 5 since the last fit, but partial_fit"),
    ({"structure": "rat"}, "structure changed from 'auto' to 'rat'"),
    ({"leaves": "gaussian"}, "leaves changed"),
])  # fmt: skip
def test_what_drew_the_circuit_cannot_be_changed_under_it(change, message, tmp_path):
    before = make().partial_fit(table())
    before.save(tmp_path / "model")
    for model in (before, load(tmp_path / "model"), make().fit(table())):
        model.set_params(**change)
        with pytest.raises(ValueError, match=f"{message}.*use a new estimator, or fit"):
            model.partial_fit(table())
        again = clone(model).partial_fit(table())
        changed = next(iter(change))
        np.testing.assert_array_equal(
            again.score_samples(table()), make(**change).partial_fit(table()).score_samples(table())
        )
        assert getattr(model.fit(table()).partial_fit(table()), changed) == change[changed]


def test_while_the_buffer_is_open_arguments_may_change():
    model = make().partial_fit(table()[:10]).set_params(n_components=2).partial_fit(table()[10:45])
    assert model.circuit_.inputs[0].n_units == 2


@pytest.mark.parametrize("n_rows", [20, 75])
def test_a_file_goes_on_like_the_model_itself(tmp_path, n_rows):
    X, more = table(n_rows), table(40, seed=1)
    model = in_chunks(make(), X, 10)
    model.save(tmp_path / "model")
    again = load(tmp_path / "model")
    assert again.history_ == model.history_
    for one in (model, again):
        in_chunks(one, more, 7)
    np.testing.assert_array_equal(again.score_samples(more), model.score_samples(more))
    assert again.offset_ == model.offset_
    assert again.n_iter_ == model.n_iter_


def test_the_first_chunk_must_have_a_row_with_weight():
    with pytest.raises(ValueError, match="sample_weight is zero for every row"):
        make().partial_fit(table(3), sample_weight=np.zeros(3))


def test_one_pass_over_a_survey():
    from skpc.datasets import fetch_debd

    try:
        data = fetch_debd("nltcs", download_if_missing=False)
    except FileNotFoundError as error:
        pytest.skip(str(error))
    X = data.train[:6000]
    model = in_chunks(PCDensityEstimator(n_components=16, random_state=0), X, 500)
    assert model.score(data.test) > -6.11
