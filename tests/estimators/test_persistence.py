import json
import os
import pickle
import signal
import stat
import time
import warnings

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

import skpc
from skpc import PCDensityEstimator
from skpc.circuit import Circuit, Input, Product, Sum
from skpc.distributions import Bernoulli
from skpc.solvers import Anemone
from skpc.structures import HCLT
from skpc.training.initialise import random_parameters
from tests import reference


def make(**params):
    return PCDensityEstimator(**{"n_components": 3, "max_iter": 3, "random_state": 0, **params})


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.integers(0, 2, 60), rng.integers(3, 7, 60), rng.normal(2, 9, 60)])
    X[rng.random(X.shape) < 0.1] = np.nan
    return X


@pytest.fixture(scope="module")
def fitted(table):
    return make(categorical_features=[1]).fit(table)


@pytest.fixture
def path(fitted, tmp_path):
    path = tmp_path / "model.skpc"
    fitted.save(path)
    return path


def assert_same_model(model, again, X):
    np.testing.assert_array_equal(again.score_samples(X), model.score_samples(X))
    np.testing.assert_array_equal(again.sample(20, 1), model.sample(20, 1))
    for name in ("n_features_in_", "history_", "n_iter_", "converged_"):
        assert getattr(again, name) == getattr(model, name)


def test_a_file_holds_the_model_and_its_arguments(fitted, table, path):
    again = skpc.load(path)
    assert_same_model(fitted, again, table)
    assert repr(again) == repr(fitted)
    assert_same_model(fitted, skpc.load(str(path)), table)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_precision_names_and_objects_survive(table, tmp_path, dtype):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(table, columns=["a", "b", "ä c"])
    model = make(
        dtype=dtype, structure=HCLT(n_components=2), solver=Anemone(0.5, momentum=0.5),
        categorical_features=np.array([False, True, False]), early_stopping=True,
    ).fit(frame)  # fmt: skip
    model.save(tmp_path / "model")
    again = skpc.load(tmp_path / "model")
    assert_same_model(model, again, frame)
    assert again.feature_names_in_.tolist() == ["a", "b", "ä c"]
    assert again.get_params()["solver__momentum"] == 0.5
    assert again.get_params()["structure__n_components"] == 2
    np.testing.assert_array_equal(again.fit(frame).score_samples(frame), model.score_samples(frame))


@pytest.mark.parametrize("name", sorted(reference.CIRCUITS))
def test_circuits_made_by_hand_survive(name, tmp_path):
    parameters = reference.make(name)
    X = reference.random_rows(parameters.program.circuit, np.random.default_rng(0), 30)
    model = make(structure=parameters.program.circuit, max_iter=1).fit(X)
    model.save(tmp_path / "model")
    again = skpc.load(tmp_path / "model")
    assert_same_model(model, again, X)
    np.testing.assert_array_equal(again.fit(X).score_samples(X), model.score_samples(X))


def test_what_json_cannot_hold_comes_back_as_the_default(table, tmp_path):
    model = make(random_state=np.random.RandomState(0)).fit(table)
    with pytest.warns(UserWarning, match=r"arguments random_state \(RandomState\);"):
        model.save(tmp_path / "model")
    again = skpc.load(tmp_path / "model")
    assert again.random_state is None
    np.testing.assert_array_equal(again.score_samples(table), model.score_samples(table))


def test_no_code_is_stored(path):
    with safe_open(path, framework="numpy") as file:
        assert json.loads(file.metadata()["skpc"])["format"] == 3
    assert b"pickle" not in path.read_bytes()


def test_a_new_file_has_the_usual_permissions(path, tmp_path):
    other = tmp_path / "other"
    other.touch()
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(other.stat().st_mode)


@pytest.mark.parametrize("broken", ["os.replace", "os.fsync", "save_file"])
def test_a_save_that_fails_leaves_the_old_file_and_no_other(table, path, monkeypatch, broken):
    before = path.read_bytes()

    def fail(*args, **kwargs):
        raise OSError("no space left")

    monkeypatch.setattr(f"skpc.estimators.persistence.{broken}", fail)
    with pytest.raises(OSError, match="no space left"):
        make(max_iter=1).fit(table).save(path)
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == ["model.skpc"]


def test_an_old_file_is_replaced(table, path):
    model = make(n_components=2).fit(table)
    model.save(path)
    assert_same_model(model, skpc.load(path), table)
    assert [p.name for p in path.parent.iterdir()] == ["model.skpc"]


# -- files that are not a model --------------------------------------------------------------


@pytest.mark.parametrize("kept", [0, 5, 100, 0.5, -1])
def test_a_file_cut_short_is_refused(path, kept):
    whole = path.read_bytes()
    path.write_bytes(whole[: int(kept * len(whole)) if isinstance(kept, float) else kept])
    with pytest.raises(ValueError, match="model.skpc' is not a whole skpc model file"):
        skpc.load(path)


def test_foreign_files_are_refused(tmp_path):
    text, other = tmp_path / "text", tmp_path / "other"
    text.write_text("a,b,c\n1,2,3\n" * 50)
    with pytest.raises(ValueError, match="not a whole skpc model file"):
        skpc.load(text)
    save_file({"weights": np.zeros(3)}, other)
    with pytest.raises(ValueError, match="safetensors file, but not a skpc model"):
        skpc.load(other)
    with pytest.raises(ValueError, match="is a folder"):
        skpc.load(tmp_path)
    with pytest.raises(FileNotFoundError):
        skpc.load(tmp_path / "absent")


def rewrite(path, change):
    """The file with other arrays or another header."""
    with safe_open(path, framework="numpy") as file:
        header = json.loads(file.metadata()["skpc"])
        arrays = {name: file.get_tensor(name) for name in list(file.keys())}
    change(arrays, header)
    save_file(arrays, path, metadata={"skpc": json.dumps(header)})


def test_a_newer_format_is_refused_with_the_way_out(path):
    rewrite(path, lambda arrays, header: header.update(format=4))
    with pytest.raises(ValueError, match="has format 4; this skpc reads format 3. Install a newer"):
        skpc.load(path)


def test_a_file_written_again_unchanged_is_still_read(path, fitted, table):
    rewrite(path, lambda arrays, header: None)
    assert_same_model(fitted, skpc.load(path), table)


@pytest.mark.parametrize("change", [
    lambda arrays, header: header.pop("format"),
    lambda arrays, header: header.update(format="new"),
    lambda arrays, header: header.pop("params"),
    lambda arrays, header: header["params"].update(colour="red"),
    lambda arrays, header: header["circuit"].pop("distributions"),
    lambda arrays, header: header["fitted"].pop("history"),
    lambda arrays, header: arrays.pop("weights"),
    lambda arrays, header: arrays.pop("circuit/nodes"),
    lambda arrays, header: arrays.pop("encoder/scale"),
    lambda arrays, header: arrays.pop("encoder/open_share"),
    lambda arrays, header: arrays.update({"weights": arrays["weights"][:-1]}),
    lambda arrays, header: arrays.update({"weights": arrays["weights"] * np.nan}),
    lambda arrays, header: arrays.update({"leaves/0": arrays["leaves/0"][:-1]}),
    lambda arrays, header: arrays.update({"encoder/scale": arrays["encoder/scale"][:-1]}),
    lambda arrays, header: arrays["circuit/children"].__setitem__(0, 10_000),
])  # fmt: skip
def test_a_damaged_file_is_refused_before_it_is_used(path, change):
    rewrite(path, change)
    with pytest.raises(ValueError, match="model.skpc' is a damaged skpc model file"):
        skpc.load(path)


# -- pickle ---------------------------------------------------------------------------------


def test_pickle_keeps_the_model_and_leaves_the_original_alone(fitted, table):
    fitted.score_samples(table)
    backend = fitted._model.backend
    again = pickle.loads(pickle.dumps(fitted))
    assert fitted._model.backend is backend
    assert_same_model(fitted, again, table)
    assert again.parameters_.program.circuit is again.circuit_


def test_a_deep_circuit_is_pickled():
    node = Input(0, Bernoulli(), 1)
    for i in range(1, 1500):
        node = Product([Input(i, Bernoulli(), 1), Sum(node)])
    X = np.random.default_rng(0).integers(0, 2, size=(9, 1500))
    model = make(structure=Circuit(Sum(node)), max_iter=1).fit(X)
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.score_samples(X), model.score_samples(X))


# -- what cannot be written -------------------------------------------------------------------


class HomeMade(HCLT):
    pass


def test_a_class_of_the_user_is_left_out_with_a_warning(table, tmp_path):
    model = make(structure=HomeMade(), init_params=random_parameters).fit(table)
    with pytest.warns(UserWarning, match=r"init_params \(function\)") as caught:
        model.save(tmp_path / "model")
    assert "structure (HomeMade)" in str(caught[0].message)
    again = skpc.load(tmp_path / "model")
    assert again.structure == "auto"
    assert_same_model(model, again, table)


def test_what_a_file_can_hold_is_saved_without_a_warning(fitted, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fitted.save(tmp_path / "model")


def test_a_missing_folder_is_named(fitted, tmp_path):
    with pytest.raises(FileNotFoundError, match="absent' does not exist"):
        fitted.save(tmp_path / "absent" / "model")


def test_numbers_that_are_not_finite_are_not_called_a_shape(path):
    rewrite(path, lambda arrays, header: arrays.update({"weights": arrays["weights"] * np.nan}))
    with pytest.raises(ValueError, match="weights holds NaN or infinite values"):
        skpc.load(path)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and signals")
def test_a_process_killed_while_it_saves_leaves_a_whole_file(fitted, table, tmp_path):
    """The old file, or the new one: a child writes two models in turn until it is killed."""
    other = make(n_components=5, random_state=1).fit(table)
    scores = {model.score(table) for model in (fitted, other)}
    path, found = tmp_path / "model", set()
    fitted.save(path)
    for milliseconds in np.linspace(3, 40, 12):
        child = os.fork()
        if child == 0:
            while True:
                other.save(path)
                fitted.save(path)
        time.sleep(milliseconds / 1000)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        found.add(skpc.load(path).score(table))
    assert found <= scores
    assert len(found) == len(scores) == 2
