"""The argument ``device``: the same model wherever it is computed."""

import pickle

import numpy as np
import pytest

import skpc
from skpc import PCDensityEstimator
from skpc.backends.numba_cpu import NumbaBackend
from skpc.circuit import Program
from skpc.estimators import devices
from skpc.structures import STRUCTURES
from tests import reference
from tests.backends.kinds import needs_torch


def make(**params):
    defaults = {"n_components": 3, "max_iter": 3, "random_state": 0, "n_jobs": 1}
    return PCDensityEstimator(**{**defaults, **params})


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.integers(0, 2, 90), rng.integers(3, 7, 90), rng.normal(2, 9, 90)])
    X[rng.random(X.shape) < 0.1] = np.nan
    return X


@pytest.fixture
def no_gpu(monkeypatch):
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


@needs_torch
@pytest.mark.parametrize("params", [
    {}, {"solver": "em"}, {"solver": "adam"}, {"structure": "mixture"}, {"structure": "hclt"},
    {"structure": "learnspn"},
], ids=repr)  # fmt: skip
def test_torch_learns_the_same_model(table, params):
    assert params.get("structure", "hclt") in STRUCTURES
    one, other = (make(device=d, dtype="float64", **params).fit(table) for d in ("cpu", "torch"))
    assert other._model.backend.device == "torch"
    scores = one.score_samples(table)
    np.testing.assert_allclose(other.score_samples(table), scores, rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(one.sample(20, 3), other.sample(20, 3), rtol=1e-8)


@needs_torch
def test_a_stream_and_a_warm_start_on_torch(table):
    one, other = (make(device=d, dtype="float64", batch_size=20) for d in ("cpu", "torch"))
    for model in (one, other):
        for start in range(0, 90, 30):
            model.partial_fit(table[start : start + 30])
        model.set_params(warm_start=True).fit(table)
    scores = one.score_samples(table)
    np.testing.assert_allclose(other.score_samples(table), scores, rtol=1e-8, atol=1e-8)


@needs_torch
def test_a_fitted_model_moves(table, tmp_path):
    model = make(device="torch", dtype="float64").fit(table)
    scores = model.score_samples(table)
    model.save(tmp_path / "model")
    for again in (model, skpc.load(tmp_path / "model"), pickle.loads(pickle.dumps(model))):
        assert again.device == "torch"
        np.testing.assert_allclose(again.score_samples(table), scores, rtol=1e-12)
        assert again._model.backend.device == "torch"
        again.set_params(device="cpu").partial_fit(table[:10])
        assert isinstance(again._model.backend, NumbaBackend)
        again.set_params(device="torch").partial_fit(table[10:20])
        assert np.isfinite(again.score(table))


@needs_torch
def test_bfloat16_products_learn_nearly_the_same():
    from skpc.datasets import fetch_debd

    try:
        data = fetch_debd("nltcs", download_if_missing=False)
    except FileNotFoundError as error:
        pytest.skip(str(error))
    shape = {"structure": "hclt", "n_components": 16, "device": "torch"}
    one, other = (make(dtype=d, **shape).fit(data.train[:4000]) for d in ("float32", "bfloat16"))
    assert other._model.backend.products == "bfloat16"
    difference = one.score(data.test) - other.score(data.test)
    # 0.0020 and -0.0011 after thirty passes over all rows, from two seeds.
    assert 0 < abs(difference) < 0.01


@needs_torch
def test_rounded_products_are_of_torch_alone(table, tmp_path):
    for dtype in ("tf32", "bfloat16"):
        for device, why in (("cpu", "is"), ("auto", "may be")):
            message = rf"dtype='{dtype}' needs PyTorch, but device='{device}' {why} computed by"
            with pytest.raises(ValueError, match=message):
                make(dtype=dtype, device=device).fit(table)
    model = make(dtype="bfloat16", device="torch").fit(table)
    assert model._model.backend.dtype == np.float32
    scores = model.score_samples(table)
    model.save(tmp_path / "model")
    again = skpc.load(tmp_path / "model")
    np.testing.assert_array_equal(again.score_samples(table), scores)
    assert again._model.backend.products == "bfloat16"
    # Elsewhere it is scored, and learns with a dtype of that place.
    again.set_params(device="cpu")
    np.testing.assert_allclose(again.score_samples(table), scores, atol=1e-4)
    with pytest.raises(ValueError, match="or dtype='float32'"):
        again.partial_fit(table[:10])
    again.set_params(dtype="float32").partial_fit(table[:10])


@pytest.mark.usefixtures("no_gpu")
def test_a_gpu_that_is_not_there_is_one_clear_error(table):
    with pytest.raises(RuntimeError, match=r"device='cuda:1' needs an NVIDIA GPU .* finds none"):
        make(device="cuda:1").fit(table)
    model = make().fit(table).set_params(device="cuda")
    for method in (model.score_samples, model.partial_fit):
        with pytest.raises(RuntimeError, match=r"pip install 'skpc\[torch\]'.*device='cpu'"):
            method(table)
    # As a pickle of a machine with a GPU comes to one without.
    again = pickle.loads(pickle.dumps(model)).set_params(device="auto")
    assert np.isfinite(again.score(table))


def test_torch_that_is_not_installed_is_one_clear_error(table, monkeypatch):
    monkeypatch.setattr(devices, "find_spec", lambda name: None)
    for device in ("torch", "cuda"):
        message = rf"device='{device}' needs PyTorch, .*: pip install 'skpc\[torch\]'; or use"
        with pytest.raises(ImportError, match=message):
            make(device=device).fit(table)


def test_auto_looks_for_a_gpu_for_large_circuits_only(monkeypatch):
    torch = pytest.importorskip("torch")
    asked = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: asked.append(1) or True)
    monkeypatch.setattr(devices, "DRIVERS", ("/",))
    small = Program(reference.tree(2))
    assert devices.resolve_device("auto", small) == "cpu"
    assert not asked
    monkeypatch.setattr(devices, "LARGE_CIRCUIT", small.n_weights)
    assert devices.resolve_device("auto", small) == "cuda"
    monkeypatch.setattr(devices, "DRIVERS", ("/no/driver",))
    assert devices.resolve_device("auto", small) == "cpu"
    assert devices.resolve_device("torch", small) == "torch"
