"""Updates that are recorded and replayed: the same numbers, and no help from the CPU."""

import copy

import numpy as np
import pytest

from skpc.circuit import Circuit, Input, Product, Sum
from skpc.distributions import Beta, Binomial, Gaussian, Indicator, NegativeBinomial, Poisson
from skpc.solvers import (
    EM,
    SGD,
    Adam,
    Anemone,
    MiniBatchEM,
    Solver,
    SolverState,
    StepSolver,
    resolve_solver,
)
from skpc.training import ArraySource, train
from skpc.training.smoothing import smoothing_statistics
from skpc.training.updates import Updates, learn_batch
from tests import reference
from tests.backends.kinds import played_back, torch_backend

torch = pytest.importorskip("torch")

N_ROWS, BATCH = 50, 20
SOLVERS = [
    Anemone(),
    Anemone(momentum=0.7),
    MiniBatchEM(momentum=0.5, schedule="constant"),
    EM(),
    Adam(),
    Adam(clipping=0.01, weight_decay=0.1),
    SGD(momentum=0.5),
    SGD(natural=False, step_size=5.0),
]
every_solver = pytest.mark.parametrize("solver", SOLVERS, ids=repr)


def mixed_columns():
    """A circuit with every family that takes tensors and is not finite, and some that are."""
    families = [Gaussian(), Poisson(), NegativeBinomial(2.0), Binomial(4), Indicator(3)]
    parts = []
    for _ in range(2):
        leaves = [Input(i, family, 3) for i, family in enumerate(families)]
        parts.append(Product([*leaves[:3], Sum(Product(leaves[3:]), 3)]))
    return Circuit(Sum(parts))


def problem(name):
    parameters = reference.make(mixed_columns() if name == "columns" else name, seed=1)
    rng = np.random.default_rng(2)
    X = reference.random_rows(parameters.program.circuit, rng, N_ROWS)
    if name == "columns":
        X[:, 1:3] = np.abs(np.floor(X[:, 1:3]))
        families = parameters.program.families
        known = families.index(Indicator(3))
        parameters.leaves[known] = np.tile(np.eye(3), (2, 1))
    priors = [np.tile(f.uniform_prior(), (len(m), 1)) for f, m in zip(
        parameters.program.families, parameters.leaves)]  # fmt: skip
    return parameters, X, smoothing_statistics(parameters.program, 0.3, N_ROWS, priors)


@pytest.fixture
def recordings(monkeypatch):
    """Backends of tests record as those of a GPU do; every recording is noted."""
    from skpc.backends.torch import engine, graphs, updates

    noted = []

    def record(run, device):
        noted.append(run)
        return played_back(run, device)

    def can_record(program, device):
        return updates.can_record(program, torch.device("cuda"))

    monkeypatch.setattr(graphs, "record", record)
    monkeypatch.setattr(engine, "can_record", can_record)
    return noted


def recording_backend(program):
    """Its passes are recorded, too."""
    from skpc.backends.torch import graphs

    backend = torch_backend(program, np.float64)
    passes = backend._passes
    backend.__dict__["_passes"] = graphs.RecordedPasses(passes.plan, passes.dtype, passes.device)
    return backend


def path(backend, parameters, X, solver, update, epochs=3):
    """State and parameters after every batch, the last of an epoch being short."""
    state, found = SolverState(horizon=9, total_weight=len(X)), []
    parameters = backend.taken(parameters)
    for _ in range(epochs):
        for start in range(0, len(X), BATCH):
            statistics = backend.statistics(parameters, X[start : start + BATCH])
            state, parameters = update(state, parameters, statistics)
            found.append((state, parameters))
    return found


def usual(backend, solver, smoothing):
    def update(state, parameters, statistics):
        return learn_batch(backend, parameters, state, solver, statistics, smoothing)

    return update


def arrays_of(state, parameters):
    named = dict(sorted(state.arrays.items()))
    return [parameters.weights, *parameters.leaves, *named.values()]


@every_solver
@pytest.mark.parametrize("name", ["tree", "dag", "hmm", "kronecker", "columns"])
def test_replayed_updates_are_the_usual_ones(name, solver, recordings):
    parameters, X, smoothing = problem(name)
    if isinstance(solver, SGD) and name == "columns":
        solver = SGD(step_size=0.1)  # counts and Gaussians far apart, or it would overshoot
    one, other = (torch_backend(parameters.program, np.float64) for _ in range(2))
    smoothing = one.taken(smoothing)
    expected = path(one, parameters, X, solver, usual(one, solver, smoothing))
    assert not recordings
    found = path(other, parameters, X, solver, Updates(other, solver, smoothing))
    assert len(recordings) == 1
    for t, (mine, true) in enumerate(zip(found, expected, strict=True)):
        assert mine[0].step == true[0].step == t + 1
        assert mine[0].arrays.keys() == true[0].arrays.keys()
        for a, b in zip(arrays_of(*mine), arrays_of(*true), strict=True):
            assert isinstance(a, torch.Tensor)
            assert torch.isfinite(a).all()
            torch.testing.assert_close(a, b, rtol=1e-13, atol=1e-15)
    assert not torch.equal(found[-1][1].weights, found[-2][1].weights)


@every_solver
def test_what_callers_hold_does_not_change(solver, recordings):
    parameters, X, smoothing = problem("tree")
    backend = torch_backend(parameters.program, np.float64)
    updates = Updates(backend, solver, backend.taken(smoothing))
    kept = []

    def update(*given):
        held = updates(*given)
        kept.append((held, [x.clone() for x in arrays_of(*held)]))
        return held

    path(backend, parameters, X, solver, update)
    assert recordings
    for held, then in kept:
        for now, before in zip(arrays_of(*held), then, strict=True):
            assert torch.equal(now, before)


@every_solver
def test_a_training_with_recordings(solver, recordings, monkeypatch):
    """Full and short batches, held-out rows, and the parameters of the best epoch."""
    from skpc.backends.torch import TorchBackend

    parameters, X, smoothing = problem("dag")
    weight = np.random.default_rng(0).random(N_ROWS)

    def learnt(backend):
        return train(
            backend, parameters, ArraySource(X, weight), solver, smoothing=smoothing,
            batch_size=BATCH, max_iter=5, rng=np.random.default_rng(0),
            validation=ArraySource(X[:20]),
        )  # fmt: skip

    found = learnt(recording_backend(parameters.program))
    assert len(recordings) >= 2, "of passes and of updates"
    monkeypatch.setattr(TorchBackend, "recorded", lambda self, run: None)
    expected = learnt(torch_backend(parameters.program, np.float64))
    assert found.best_epoch == expected.best_epoch
    np.testing.assert_allclose(found.parameters.weights, expected.parameters.weights, rtol=1e-11)
    for mine, true in zip(found.parameters.leaves, expected.parameters.leaves, strict=True):
        np.testing.assert_allclose(mine, true, rtol=1e-11)
    for name, array in expected.state.arrays.items():
        np.testing.assert_allclose(found.state.arrays[name], array, rtol=1e-9, atol=1e-14)


@every_solver
@pytest.mark.parametrize("name", ["tree", "hmm", "kronecker", "columns"])
def test_recordings_ask_the_cpu_for_nothing(name, solver, recordings, monkeypatch):
    """A graph cannot hold what reads a number on the host, or brings numbers from there."""
    from torch.utils._python_dispatch import TorchDispatchMode

    class NoHost(TorchDispatchMode):
        refused = ("_local_scalar_dense", "nonzero", "masked_select", "equal", "lift_fresh")

        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            name = function.name().removeprefix("aten::").partition(".")[0]
            assert name not in self.refused, function
            if name in ("index", "index_put", "index_put_"):
                assert not any(i is not None and i.dtype == torch.bool for i in args[1]), function
            return function(*args, **(kwargs or {}))

    parameters, X, smoothing = problem(name)
    backend = recording_backend(parameters.program)
    path(backend, parameters, X, solver, Updates(backend, solver, backend.taken(smoothing)))

    def refuse(*args, **others):
        raise AssertionError("numbers cross to or from the host")

    for owner, what in ((torch, "from_numpy"), (torch, "tensor"), (torch, "as_tensor")):
        monkeypatch.setattr(owner, what, refuse)
    for what in ("numpy", "item", "tolist", "__array__", "__bool__", "__float__"):
        monkeypatch.setattr(torch.Tensor, what, refuse)
    assert len(recordings) == 3, "full and short passes, and the update"
    with torch.no_grad(), NoHost():
        for run in recordings:
            run()


def test_other_arrays_are_recorded_anew(recordings):
    """As where a training goes on without the moments of the one before."""
    parameters, X, _ = problem("tree")
    backend, solver = torch_backend(parameters.program, np.float64), Anemone(momentum=0.5)
    updates = Updates(backend, solver, None)
    for times in (1, 2):
        found = path(backend, parameters, X, solver, updates)
        expected = path(backend, parameters, X, solver, usual(backend, solver, None))
        for mine, true in zip(found, expected, strict=True):
            assert torch.equal(mine[1].weights, true[1].weights)
        assert len(recordings) == times


def test_statistics_of_the_recording_are_not_added_to(recordings):
    """A batch without weight is learnt as it always was."""
    parameters, X, smoothing = problem("tree")
    backend, solver = torch_backend(parameters.program, np.float64), Anemone()
    smoothing = backend.taken(smoothing)
    weights = [np.ones(N_ROWS), np.ones(N_ROWS), np.zeros(N_ROWS), np.full(N_ROWS, 0.5)]
    ends = []
    for update in (usual(backend, solver, smoothing), Updates(backend, solver, smoothing)):
        state, now = SolverState(horizon=9), backend.taken(parameters)
        for weight in weights:
            state, now = update(state, now, backend.statistics(now, X, weight))
        ends.append(now.weights)
    assert torch.equal(*ends)
    assert len(recordings) == 1


# -- what cannot be recorded -------------------------------------------------------------------


def test_what_fails_to_record_is_computed_as_usual(recordings, monkeypatch):
    from skpc.backends.torch import graphs

    tried = []

    def fails(run, device):
        tried.append(1)
        run()
        raise RuntimeError("operation not permitted when stream is capturing")

    monkeypatch.setattr(graphs, "record", fails)
    parameters, X, smoothing = problem("tree")
    backend, solver = torch_backend(parameters.program, np.float64), Anemone(momentum=0.5)
    smoothing = backend.taken(smoothing)
    with pytest.warns(RuntimeWarning, match="not recorded as a CUDA graph.*not permitted"):
        found = path(backend, parameters, X, solver, Updates(backend, solver, smoothing))
    assert len(tried) == 1
    expected = path(backend, parameters, X, solver, usual(backend, solver, smoothing))
    for mine, true in zip(found, expected, strict=True):
        assert torch.equal(mine[1].weights, true[1].weights)


def test_passes_that_fail_to_record_are_computed_as_usual(monkeypatch):
    from skpc.backends.torch import graphs

    tried = []

    def fails(run, device):
        tried.append(run())
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(graphs, "record", fails)
    parameters, X, _ = problem("tree")
    expected = torch_backend(parameters.program, np.float64).statistics(parameters, X)
    backend = recording_backend(parameters.program)
    backend.statistics(parameters, X)
    with pytest.warns(RuntimeWarning, match="Passes are not recorded as a CUDA graph.*memory"):
        again = [backend.statistics(parameters, X)]
    again.append(backend.statistics(parameters, X))
    assert len(tried) == 1
    for found in again:
        np.testing.assert_array_equal(found.flows, expected.flows)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no NVIDIA GPU")
@every_solver
@pytest.mark.parametrize("name", ["tree", "hmm", "kronecker", "columns"])
def test_graphs_of_a_gpu_learn_what_the_cpu_learns(name, solver, recwarn):
    from skpc.backends.torch import TorchBackend

    parameters, X, smoothing = problem(name)
    if isinstance(solver, SGD) and name == "columns":
        solver = SGD(step_size=0.1)
    gpu = TorchBackend(parameters.program, np.float64, device="cuda")
    cpu = torch_backend(parameters.program, np.float64)
    ends = [
        path(backend, parameters, X, solver, Updates(backend, solver, backend.taken(smoothing)))[-1]
        for backend in (gpu, cpu)
    ]
    assert not [w for w in recwarn if "CUDA graph" in str(w.message)], "something was not recorded"
    assert len(gpu._passes._recordings) == 2, "full and short passes"
    for mine, true in zip(*(arrays_of(*end) for end in ends), strict=True):
        torch.testing.assert_close(mine.cpu(), true, rtol=1e-8, atol=1e-12)


def test_nothing_is_recorded_in_inference_mode(monkeypatch):
    """Torch's own numbers would belong to it, and other recordings fail (issue 166792 of torch)."""
    from skpc.backends.torch import graphs

    modes = []

    def record(run, device):
        modes.append(torch.is_inference_mode_enabled())
        return played_back(run, device)

    monkeypatch.setattr(graphs, "record", record)
    parameters, X, _ = problem("tree")
    backend = recording_backend(parameters.program)
    backend.log_likelihood(parameters, X)
    for _ in range(3):
        backend.statistics(parameters, X)
    assert modes == [False]
    assert not backend._passes._space.values.is_inference()


class Halting(Solver):
    """A solver of a user's own, which may do anything."""

    takes_tensors = True

    def update(self, state, parameters, statistics, top_down):
        share = float(statistics.flows.mean())
        return state.advanced(), parameters if share > 0 else None


@pytest.mark.parametrize("solver", [Halting(), Adam(sharpness=0.1), resolve_solver("sharpness_em")])
def test_solvers_that_need_the_host_are_not_recorded(solver, recordings):
    parameters, X, _ = problem("tree")
    backend = torch_backend(parameters.program, np.float64)
    train(backend, parameters, ArraySource(X), solver, batch_size=BATCH, max_iter=3)
    assert not recordings


def test_families_that_need_the_host_are_not_recorded(recordings):
    parameters = reference.make(Circuit(Sum(Input(0, Beta(), 2))))
    X = np.random.default_rng(0).random((30, 1))
    backend = torch_backend(parameters.program, np.float64)
    train(backend, parameters, ArraySource(X), Anemone(), batch_size=10, max_iter=3)
    assert not recordings


def test_large_circuits_are_not_recorded(monkeypatch):
    from skpc.backends.torch import updates

    program = reference.make("tree").program
    gpu = torch.device("cuda")
    assert updates.can_record(program, gpu)
    assert not updates.can_record(program, torch.device("cpu"))
    monkeypatch.setattr(updates, "MOST_WEIGHTS", program.n_weights - 1)
    assert not updates.can_record(program, gpu)


def test_a_cpu_records_nothing():
    backend = torch_backend(reference.make("tree").program)
    assert backend.recorded(copy.copy) is None
    assert issubclass(type(Anemone()), StepSolver)
