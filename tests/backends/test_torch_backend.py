"""What the torch backend has of its own: memory, devices, and parameters that stay on them."""

import pickle

import numpy as np
import pytest

from skpc.backends import log_curvature, log_domain, log_weight_gradient, renormalise
from skpc.backends.numba_cpu import NumbaBackend
from skpc.circuit import Circuit, Input, Product, Sum
from skpc.distributions import Categorical
from skpc.solvers import resolve_solver
from skpc.training import ArraySource, train
from tests import reference
from tests.backends.kinds import played_back, torch_backend

torch = pytest.importorskip("torch")
every_circuit = pytest.mark.parametrize("name", reference.CIRCUITS)


def problem(name="tree", n_rows=50):
    parameters = reference.make(name, seed=1)
    return parameters, reference.random_rows(
        parameters.program.circuit, np.random.default_rng(2), n_rows
    )


def assert_close(actual, expected, tolerance=1e-10, nats=None):
    """``nats`` a row that log-likelihoods may differ; None for 1e-9 of their sum."""
    np.testing.assert_allclose(actual.flows, expected.flows, atol=tolerance)
    if nats is None:
        np.testing.assert_allclose(actual.log_likelihood, expected.log_likelihood, rtol=1e-9)
    else:
        error = abs(actual.log_likelihood - expected.log_likelihood) / expected.weight
        assert error < nats, (
            f"{error} nats a row: float32 keeps no nine digits of a log-likelihood, but doc/gpu.md "
            f"promises {nats} nats a row"
        )
    assert actual.weight == pytest.approx(expected.weight)
    for mine, true in zip(actual.leaves, expected.leaves, strict=True):
        np.testing.assert_allclose(mine, true, atol=tolerance)


# -- memory ---------------------------------------------------------------------------------------


@pytest.fixture
def small_memory(monkeypatch):
    """Room for a number of rows, which the list holds; what was asked for is added to it."""
    from skpc.backends.torch import passes

    rows = [16]
    whole = passes.Workspace

    def workspace(plan, n_rows, *others):
        rows.append(n_rows)
        if n_rows > rows[0]:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")
        return whole(plan, n_rows, *others)

    monkeypatch.setattr(passes, "Workspace", workspace)
    return rows


def test_what_does_not_fit_is_tried_with_half_the_rows(small_memory):
    parameters, X = problem(n_rows=100)
    backend = torch_backend(parameters.program, np.float64)
    expected = NumbaBackend(parameters.program, np.float64).statistics(parameters, X)
    assert_close(backend.statistics(parameters, X), expected)
    assert max(small_memory[1:]) == 100
    # From then on as many as fitted.
    small_memory[1:] = []
    assert_close(backend.statistics(parameters, X), expected)
    backend.log_likelihood(parameters, X)
    assert max(small_memory[1:], default=0) <= 16


def test_one_row_that_does_not_fit_is_a_clear_error(small_memory):
    small_memory[0] = 0
    parameters, X = problem()
    message = "does not fit into the memory of device 'cpu': one row .* Use fewer n_components"
    for method in ("statistics", "log_likelihood"):
        backend = torch_backend(parameters.program)
        with pytest.raises(MemoryError, match=message):
            getattr(backend, method)(parameters, X)


def test_rows_of_a_pass_follow_the_free_memory_of_a_gpu(monkeypatch):
    from skpc.backends.torch.memory import FREE_SHARE, MOST_ROWS, rows_that_fit

    free = {"mem_get_info": (10**9, 2 * 10**9), "memory_reserved": 500, "memory_allocated": 500}
    for name, value in free.items():
        monkeypatch.setattr(torch.cuda, name, lambda device, value=value: value)
    gpu = torch.device("cuda")
    assert rows_that_fit(10**6, gpu) == int(FREE_SHARE * 1000)
    assert rows_that_fit(10**12, gpu) == 1
    assert rows_that_fit(1, gpu) == MOST_ROWS


@pytest.mark.parametrize("name", ["dag", "kronecker", "hmm", "wide"])
def test_passes_and_spans_change_nothing(name, monkeypatch):
    from skpc.backends.torch import engine

    parameters, X = problem(name, 60)
    backend = torch_backend(parameters.program, np.float64)
    whole, scores = backend.statistics(parameters, X), backend.log_likelihood(parameters, X)
    backend._rows = 7
    monkeypatch.setattr(engine, "SPAN", 25)
    assert_close(backend.statistics(parameters, X), whole)
    np.testing.assert_allclose(backend.log_likelihood(parameters, X), scores, rtol=1e-12)


def test_one_hot_cells_a_few_inputs_at_a_time(monkeypatch):
    from skpc.backends.torch import leaves

    monkeypatch.setattr(leaves, "ONE_HOT_NUMBERS", 100)
    tied = Input(0, Categorical(20), 3)
    others = [Input(i, Categorical(20), 3, share=tied) for i in range(1, 4)]
    parameters = reference.make(Circuit(Sum(Product([tied, *others]))))
    X = reference.random_rows(parameters.program.circuit, np.random.default_rng(0), 40)
    backend = torch_backend(parameters.program, np.float64)
    assert_close(backend.statistics(parameters, X), log_domain.statistics(parameters, X))


# -- values that leave the range --------------------------------------------------------------


def test_flows_that_left_the_range_of_the_dtype_are_computed_again(monkeypatch):
    parameters, X = problem()
    backend = torch_backend(parameters.program)
    whole = backend._passes.learn

    def spoilt(model, X, weight, totals):
        result = whole(model, X, weight, totals)
        next(iter(totals.banks.values()))[0, 0, 0] = torch.inf
        return result

    monkeypatch.setattr(backend._passes, "learn", spoilt)
    assert_close(backend.statistics(parameters, X), log_domain.statistics(parameters, X))


@pytest.mark.parametrize("wanted", [("squares",), ("squares", "curvature")])
def test_second_derivatives_are_those_of_logarithms(wanted):
    parameters, X = problem("kronecker")
    weight = np.random.default_rng(0).random(len(X))
    actual = torch_backend(parameters.program).statistics(parameters, X, weight, wanted)
    expected = log_curvature.statistics(parameters, X, weight, wanted)
    assert actual.extra.keys() == expected.extra.keys()
    for name, array in expected.extra.items():
        np.testing.assert_array_equal(actual.extra[name], array)


def test_parameters_of_another_circuit_are_refused():
    backend = torch_backend(reference.make("tree").program)
    other = reference.make("tree")
    other.weights = other.weights[:-1]
    with pytest.raises(ValueError, match="parameters have arrays of shapes"):
        backend.statistics(other, np.zeros((3, 5)))
    with pytest.raises(ValueError, match="sample_weight has shape"):
        backend.statistics(reference.make("tree"), np.zeros((3, 5)), np.ones(1))


# -- recorded passes and products of fewer bits ---------------------------------------------------


@pytest.mark.parametrize("name", ["dag", "kronecker", "hmm", "mixed_families", "wide"])
def test_recorded_passes_compute_the_same(name, monkeypatch):
    from skpc.backends.torch import graphs

    recorded = []
    monkeypatch.setattr(
        graphs, "record", lambda run, device: recorded.append(1) or played_back(run, device)
    )
    parameters, X = problem(name, 60)
    others = reference.make(name, seed=8)
    usual, backend = (torch_backend(parameters.program, np.float64) for _ in range(2))
    passes = backend._passes
    backend.__dict__["_passes"] = graphs.RecordedPasses(passes.plan, passes.dtype, passes.device)
    weight = np.random.default_rng(0).random(60)
    for _ in range(3):
        for given in (parameters, others):
            for rows in (slice(0, 25), slice(25, 50), slice(50, 60)):
                found = backend.statistics(given, X[rows], weight[rows])
                assert_close(found, usual.statistics(given, X[rows], weight[rows]), 1e-13)
        assert len(recorded) == 2, "one for the full size, one for the last"
    backend.log_likelihood(parameters, X)
    assert_close(backend.statistics(parameters, X[:25]), usual.statistics(parameters, X[:25]))


@pytest.fixture
def precisions(monkeypatch):
    """Precision of every float32 product, by whether a layer of inputs asked for it."""
    from torch.utils._python_dispatch import TorchDispatchMode

    from skpc.backends.torch.leaves import Leaves

    seen = {True: set(), False: set()}
    at_leaves = []

    def noted(method):
        def run(*given):
            at_leaves.append(1)
            try:
                return method(*given)
            finally:
                at_leaves.pop()

        return run

    class Products(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            if function.overloadpacket.__name__ in ("bmm", "baddbmm", "baddbmm_", "mm"):
                seen[bool(at_leaves)].add(torch.backends.cuda.matmul.fp32_precision)
            return function(*args, **(kwargs or {}))

    for kind in Leaves.__subclasses__():
        for name in ("up", "down"):
            monkeypatch.setattr(kind, name, noted(getattr(kind, name)))
    with Products():
        yield seen


@pytest.mark.parametrize("name", ["tree", "hmm", "kronecker"])
@pytest.mark.parametrize("of_the_user", ["ieee", "tf32"])
def test_tensor_cores_are_for_sums_that_learn(name, of_the_user, precisions):
    """Whatever the program around allows, by the setting that makes reading the older one fail."""
    from skpc.backends.torch import TorchBackend

    parameters, X = problem(name)
    backend = TorchBackend(parameters.program, np.float32, 1, products="tf32")
    settings = torch.backends.cuda.matmul
    before, settings.fp32_precision = settings.fp32_precision, of_the_user
    try:
        backend.statistics(parameters, X)
        assert precisions.pop(True) == {"ieee"}, "flows of leaves keep their bits"
        assert "tf32" in precisions[False]
        precisions |= {True: set(), False: set()}
        backend.log_likelihood(parameters, X)
        backend.top_down(backend.taken(parameters))
        torch_backend(parameters.program).statistics(parameters, X)
        assert precisions == {True: {"ieee"}, False: {"ieee"}}
        assert settings.fp32_precision == of_the_user
    finally:
        settings.fp32_precision = before


# -- parameters on the device -----------------------------------------------------------------


@every_circuit
def test_tensors_and_arrays_say_the_same(name):
    parameters, X = problem(name)
    backend = torch_backend(parameters.program, np.float64)
    tensors = backend.taken(parameters)
    assert isinstance(tensors.weights, torch.Tensor)
    found = backend.statistics(tensors, X)
    assert isinstance(found.flows, torch.Tensor)
    assert_close(backend.given(found), backend.statistics(parameters, X), 1e-12)
    use, expected = backend.given(backend.top_down(tensors)), backend.top_down(parameters)
    np.testing.assert_allclose(use.rows, expected.rows, rtol=1e-12, atol=1e-15)
    for mine, true in zip(use.leaves, expected.leaves, strict=True):
        np.testing.assert_allclose(mine, true, rtol=1e-12, atol=1e-15)
    np.testing.assert_array_equal(
        backend.log_likelihood(tensors, X), backend.log_likelihood(parameters, X)
    )


@pytest.mark.parametrize("name", reference.UNTIED)
def test_weights_on_the_device_are_renormalised(name):
    rng = np.random.default_rng(0)
    parameters = reference.make(name, seed=3, zero_fraction=0.2)
    parameters.weights *= np.exp(rng.normal(size=parameters.weights.shape))
    backend = torch_backend(parameters.program)
    tensors = backend.taken(parameters)
    expected = renormalise(parameters)
    found = backend.given(renormalise(tensors))
    np.testing.assert_allclose(found.weights, expected.weights, rtol=1e-12, atol=1e-15)
    flows = rng.random(expected.weights.shape)
    slope = log_weight_gradient(backend.taken(expected), torch.from_numpy(flows))
    expected = log_weight_gradient(expected, flows)
    np.testing.assert_allclose(slope.numpy(), expected, rtol=1e-10, atol=1e-12)


def test_damaged_rows_of_parameters_on_the_device():
    tiny = [[1.0, 1e-50], [1e-50, 1.0]]
    leaves = [Input(i, "bernoulli", 2, mean=m) for i, m in enumerate(tiny)]
    parameters = reference.make(Circuit(Sum(Product(leaves))))
    for f, mean in enumerate(np.array(tiny).reshape(1, 4, 1)):
        parameters.leaves[f][:] = mean
    X = np.ones((5, 2))
    backend = torch_backend(parameters.program)
    tensors = backend.taken(parameters)
    expected = log_domain.log_likelihood(parameters, X)
    np.testing.assert_allclose(backend.log_likelihood(tensors, X), expected)
    found = backend.given(backend.statistics(tensors, X))
    assert_close(found, log_domain.statistics(parameters, X))


@pytest.mark.parametrize("solver", ["anemone", "minibatch_em", "em", "adam", "sgd", "sharpness_em"])
def test_a_training_ends_with_arrays(solver):
    parameters, X = problem("tree", 90)
    weight = np.random.default_rng(0).random(90)

    def learnt(make):
        return train(
            make(parameters.program, np.float64), parameters, ArraySource(X, weight),
            resolve_solver(solver), batch_size=20, max_iter=3, rng=np.random.default_rng(0),
            validation=ArraySource(X[:20]),
        )  # fmt: skip

    one, other = learnt(NumbaBackend), learnt(torch_backend)
    assert isinstance(other.parameters.weights, np.ndarray)
    assert (other.raw is other.parameters) == (one.raw is one.parameters)
    np.testing.assert_allclose(other.parameters.weights, one.parameters.weights, rtol=1e-9)
    np.testing.assert_allclose(other.parameters.leaves[0], one.parameters.leaves[0], rtol=1e-9)
    np.testing.assert_allclose(other.history[-1][1:], one.history[-1][1:], rtol=1e-9)
    assert all(isinstance(array, np.ndarray) for array in other.state.arrays.values())


def test_a_copy_makes_its_own_buffers():
    parameters, X = problem()
    backend = torch_backend(parameters.program)
    backend.statistics(parameters, X)
    again = pickle.loads(pickle.dumps(backend))
    assert again.device == "torch"
    assert again.dtype == np.float32
    assert len(pickle.dumps(backend)) < 20_000
    np.testing.assert_array_equal(
        again.log_likelihood(parameters, X), backend.log_likelihood(parameters, X)
    )


def test_threads_of_torch_are_as_before():
    parameters, X = problem()
    before = torch.get_num_threads()
    torch_backend(parameters.program, n_jobs=before + 1).statistics(parameters, X)
    assert torch.get_num_threads() == before


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no NVIDIA GPU")
@every_circuit
def test_a_gpu_says_what_the_cpu_says(name):
    from skpc.backends.torch import TorchBackend

    parameters, X = problem(name, 300)
    expected = log_domain.statistics(parameters, X)
    for dtype, tolerance, nats in ((np.float64, 1e-9, None), (np.float32, 1e-3, 1e-4)):
        backend = TorchBackend(parameters.program, dtype, device="cuda")
        tensors = backend.taken(parameters)
        for _ in range(3):  # computed, recorded, replayed
            actual = backend.given(backend.statistics(tensors, X))
            assert_close(actual, expected, tolerance, nats)
