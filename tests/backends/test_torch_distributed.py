"""Two processes with half of the rows each learn what one learns from all."""

import numpy as np
import pytest

from skpc.circuit import Program
from skpc.solvers import SolverState, resolve_solver
from skpc.training.updates import learn_batch
from tests import reference

torch = pytest.importorskip("torch")
SOLVERS = ("anemone", "em")
N_BATCHES, BATCH = 3, 30


def problem():
    circuit = reference.mixed_families()
    parameters = reference.random_parameters(Program(circuit), np.random.default_rng(0))
    X = reference.random_rows(circuit, np.random.default_rng(1), N_BATCHES * BATCH)
    return parameters, X


def learnt(backend, parameters, X, solver, mine):
    solver = resolve_solver(solver)
    state = SolverState(horizon=N_BATCHES)
    parameters = backend.taken(parameters) if solver.takes_tensors else parameters
    for start in range(0, len(X), BATCH):
        statistics = backend.statistics(parameters, X[start : start + BATCH][mine])
        state, parameters = learn_batch(backend, parameters, state, solver, statistics, None)
    return backend.given(parameters)


def work(rank, folder):
    import torch.distributed as dist

    from skpc.backends.torch import TorchBackend
    from skpc.backends.torch.distributed import SummedBackend

    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    parameters, X = problem()
    backend = SummedBackend(TorchBackend(parameters.program, np.float64, 1))
    for solver in SOLVERS:
        with backend.at_work():
            found = learnt(backend, parameters, X, solver, slice(rank, None, 2))
        np.savez(f"{folder}/{solver}{rank}.npz", found.weights, *found.leaves)
    dist.destroy_process_group()


@pytest.mark.skipif(not torch.distributed.is_available(), reason="PyTorch without distributed")
def test_two_processes_learn_what_one_learns(tmp_path):
    from skpc.backends.torch import TorchBackend

    torch.multiprocessing.spawn(work, (str(tmp_path),), nprocs=2)
    parameters, X = problem()
    backend = TorchBackend(parameters.program, np.float64, 1)
    for solver in SOLVERS:
        one = learnt(backend, parameters, X, solver, slice(None))
        for rank in (0, 1):
            found = np.load(tmp_path / f"{solver}{rank}.npz")
            for mine, true in zip(found.values(), (one.weights, *one.leaves), strict=True):
                np.testing.assert_allclose(mine, true, rtol=1e-6, atol=1e-12)
                assert mine.any()


def test_without_a_process_group_there_is_one_clear_error():
    from skpc.backends.torch import TorchBackend
    from skpc.backends.torch.distributed import SummedBackend

    with pytest.raises(RuntimeError, match="init_process_group in every process first"):
        SummedBackend(TorchBackend(Program(reference.tree())))
