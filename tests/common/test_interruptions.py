"""What is left of an estimator after Ctrl-C, after errors halfway, and for a warm start."""

import copy
import pickle

import numpy as np
import pytest

from skpc.solvers import MiniBatchEM
from skpc.structures import HCLT, MixedStructures
from skpc.training.updates import Updates, learn_batch
from tests.common.configurations import CONFIGURATIONS, binary, continuous, pc

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

SOLVERS = ["anemone", "minibatch_em", "em"]
STREAM = "skpc.training.stream.learn_batch"


@pytest.fixture
def breaks(monkeypatch):
    """Let the n-th update of a fit from now raise an exception, each being a call of its own."""

    def arrange(n, error):
        calls, depth = [], [0]

        def watched(update):
            def counting(*args):
                if not depth[0]:
                    calls.append(1)
                    if len(calls) == n:
                        raise error
                depth[0] += 1
                try:
                    return update(*args)
                finally:
                    depth[0] -= 1

            return counting

        def one(self, state, parameters, batches, learn=Updates.learn):
            return learn(self, state, parameters, batches[:1])

        monkeypatch.setattr(Updates, "learn", watched(one))
        for name in ("learn_shown", "__call__"):
            monkeypatch.setattr(Updates, name, watched(getattr(Updates, name)))

    return arrange


def state(model, X):
    """Everything that a user can read of a fitted model."""
    learnt = model.parameters_.weights, *model.parameters_.leaves
    return (
        model.score_samples(X).tolist(), model.offset_, list(model.history_), model.n_iter_,
        model.converged_, model.n_features_in_, [part.tolist() for part in learnt],
    )  # fmt: skip


# -- Ctrl-C -------------------------------------------------------------------------------


@pytest.mark.parametrize("solver", [MiniBatchEM(schedule="constant"), "em"])
def test_an_interruption_leaves_the_model_of_the_last_whole_epoch(solver, breaks):
    """One update an epoch; without a schedule two epochs of four are two epochs of two."""
    X = binary()
    expected = pc(solver=solver, max_iter=2, batch_size=1000).fit(X)
    model = pc(solver=solver, max_iter=4, batch_size=1000)
    breaks(3, KeyboardInterrupt())
    with pytest.warns(UserWarning, match="Interrupted.*epoch 2 of 4.*warm_start"):
        model.fit(X)
    assert model.n_iter_ == len(model.history_) == 2
    assert not model.converged_
    np.testing.assert_array_equal(model.score_samples(X), expected.score_samples(X))
    assert model.offset_ == expected.offset_
    assert model.sample(3).shape == (3, X.shape[1])


def test_an_interruption_within_an_epoch_drops_its_first_batches(breaks):
    X = binary()
    solver = MiniBatchEM(schedule="constant")
    expected = pc(solver=solver, max_iter=1, batch_size=30).fit(X)
    breaks(3 + 2, KeyboardInterrupt())
    with pytest.warns(UserWarning, match="Interrupted"):
        model = pc(solver=solver, max_iter=4, batch_size=30).fit(X)
    np.testing.assert_array_equal(model.score_samples(X), expected.score_samples(X))


def test_an_interrupted_fit_goes_on_with_a_warm_start(breaks):
    X = binary()
    model = pc(solver="em", max_iter=6, warm_start=True)
    breaks(3, KeyboardInterrupt())
    with pytest.warns(UserWarning, match="Interrupted"):
        model.fit(X)
    reached = model.history_[-1].train
    assert model.fit(X).history_[0].train > reached


def test_a_later_start_that_is_interrupted_leaves_the_best_of_the_earlier_ones(breaks):
    X = binary()
    expected = pc(max_iter=3, batch_size=1000).fit(X)
    breaks(4, KeyboardInterrupt())
    with pytest.warns(UserWarning, match="Interrupted"):
        model = pc(max_iter=3, batch_size=1000, n_init=3).fit(X)
    np.testing.assert_array_equal(model.score_samples(X), expected.score_samples(X))


@pytest.mark.parametrize(("update", "parts", "says"), [
    (2, 1, "epoch 1 of 3"), (4, 1, "four fifths"), (5, 2, "."), (7, 2, "four fifths"),
    (12, 2, "four fifths"),
])  # fmt: skip
def test_one_interruption_ends_all_trainings_of_a_mixed_circuit(update, parts, says, breaks):
    """Three updates each: of tree and mixture, from a part of the rows, then from all."""
    X = continuous()
    model = pc(structure="auto", max_iter=3, batch_size=1000)
    breaks(update, KeyboardInterrupt())
    with pytest.warns(UserWarning, match=f"Interrupted.*{says}"):
        model.fit(X)
    assert not model.converged_
    assert (len(model.structure_) if isinstance(model.structure_, list) else 1) == parts
    assert np.isfinite(model.score_samples(X)).all()


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError, ZeroDivisionError])
def test_a_fit_broken_in_its_first_epoch_leaves_the_earlier_one(solver, error, breaks):
    X = binary()
    model = pc(solver=solver).fit(X)
    before, attributes = state(model, X), dict(vars(model))
    breaks(1, error())
    with pytest.raises(error):
        model.fit(continuous()[:, :3])
    assert state(model, X) == before
    assert vars(model).keys() == attributes.keys()
    assert all(vars(model)[name] is value for name, value in attributes.items())


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_a_first_fit_broken_in_its_first_epoch_leaves_an_unfitted_estimator(error, breaks):
    model = pc()
    before = vars(model).copy()
    breaks(1, error())
    with pytest.raises(error):
        model.fit(binary())
    assert vars(model) == before


# -- streams ------------------------------------------------------------------------------


def chunks_of(X):
    return [X[i : i + 10] for i in range(0, len(X), 10)]


@pytest.mark.parametrize("structure_rows", [1000, 40], ids=["buffer", "reservoir"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, ZeroDivisionError])
def test_a_broken_partial_fit_leaves_everything_as_it_was(structure_rows, error):
    """Also what later calls learn, and which rows are remembered."""
    X = continuous(120)
    params = {"structure_rows": structure_rows, "batch_size": 5, "max_iter": 2}
    model, other = pc(**params), pc(**params)
    for chunk in chunks_of(X[:60]):
        model.partial_fit(chunk)
        other.partial_fit(chunk)
    before = state(model, X)
    with pytest.MonkeyPatch.context() as patch:
        calls = []

        def update(*args, **kwargs):
            calls.append(1)
            if len(calls) == 2:
                raise error
            return learn_batch(*args, **kwargs)

        patch.setattr(STREAM, update)
        with pytest.raises(error):
            model.partial_fit(X[60:70])
    assert len(calls) == 2
    assert state(model, X) == before
    for chunk in chunks_of(X[60:]):
        model.partial_fit(chunk)
        other.partial_fit(chunk)
    assert state(model, X) == state(other, X)


def test_a_broken_refit_of_a_stream_leaves_everything_as_it_was(breaks):
    X = continuous(120)
    model = pc(max_iter=2).partial_fit(X[:20])
    before = state(model, X)
    breaks(1, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        model.partial_fit(X[20:60])
    assert state(model, X) == before


@pytest.mark.parametrize(
    "copied",
    [copy.copy, copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))],
    ids=["copy", "deepcopy", "pickle"],
)
def test_a_copy_learns_without_the_original(copied):
    """Both go on from the same rows, and neither sees what the other learns."""
    X = continuous(120)
    alone = pc(max_iter=2).partial_fit(X[:20]).partial_fit(X[20:50])
    model = pc(max_iter=2).partial_fit(X[:20])
    again = copied(model)
    model.partial_fit(X[20:50])
    again.partial_fit(50 * X[50:80])
    assert state(model, X) == state(alone, X)
    model.partial_fit(X[80:])
    alone.partial_fit(X[80:])
    assert state(model, X) == state(alone, X)


# -- warm starts --------------------------------------------------------------------------


@pytest.mark.parametrize("configuration", CONFIGURATIONS, ids=lambda c: c.name)
def test_a_warm_start_begins_where_the_last_fit_ended(configuration):
    params = {"warm_start": True, "max_iter": 8, "batch_size": 1000, "structure": "hclt"}
    model = configuration.make(**params).fit(configuration.X)
    circuit, first = model.circuit_, model.history_
    model.fit(configuration.X)
    assert model.circuit_ is circuit
    assert model.history_[0].train >= first[-1].train - 1e-3
    assert model.history_[0].train > first[0].train
    assert model.n_iter_ == 8


@pytest.mark.parametrize(("changed", "value"), [
    ("n_components", 5), ("structure", "hclt "), ("categorical_features", [0]),
    ("handle_unknown", "error"),
])  # fmt: skip
def test_a_warm_start_refuses_another_circuit(changed, value):
    X = binary()
    model = pc(warm_start=True).fit(X)
    before = state(model, X)
    model.set_params(**{changed: value})
    with pytest.raises(ValueError, match=f"{changed}.* warm_start=False"):
        model.fit(X)
    assert state(model, X) == before
    model.set_params(warm_start=False, structure="hclt").fit(X)


def test_a_warm_start_refuses_other_columns_and_tells_the_way_out():
    X = binary()
    model = pc(warm_start=True).fit(X)
    before = state(model, X)
    with pytest.raises(ValueError, match="5 features.*expecting 6 features.*warm_start=False"):
        model.fit(X[:, :5])
    assert state(model, X) == before
    assert model.set_params(warm_start=False).fit(X[:, :5]).n_features_in_ == 5


def test_a_warm_start_knows_the_structures_of_a_mixture_again():
    X = binary()
    model = pc(structure=MixedStructures([HCLT(), "mixture"]), warm_start=True).fit(X)
    assert np.isfinite(model.fit(X).score(X))
    with pytest.raises(ValueError, match="structure changed"):
        model.set_params(structure=MixedStructures([HCLT(), "rat"])).fit(X)
