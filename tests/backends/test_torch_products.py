"""Learning from products of rounded factors: ``products`` of the torch backend."""

import pickle

import numpy as np
import pytest

from skpc.backends.numba_cpu import NumbaBackend
from tests import reference

torch = pytest.importorskip("torch")
every_circuit = pytest.mark.parametrize("name", reference.CIRCUITS)
#: Sum of the absolute errors of statistics over their sum; at most 0.0025 was measured.
SHARE = 0.005
#: Nats a row that the log-likelihood of ``statistics`` may differ; at most 0.007 was measured.
NATS = 0.015


def make(name, products, seed=1):
    from skpc.backends.torch import TorchBackend

    parameters = reference.make(name, seed=seed)
    X = reference.random_rows(parameters.program.circuit, np.random.default_rng(2), 200)
    return TorchBackend(parameters.program, np.float32, 1, products=products), parameters, X


def error_share(found, true):
    """Of flows and of the statistics of every family, the largest."""
    pairs = zip([found.flows, *found.leaves], [true.flows, *true.leaves], strict=True)
    return max(np.abs(a - b).sum() / np.abs(b).sum() for a, b in pairs if len(b))


@every_circuit
@pytest.mark.parametrize("seed", [1, 2])
def test_statistics_of_bfloat16_products_are_close_to_float64(name, seed):
    backend, parameters, X = make(name, "bfloat16", seed)
    true = NumbaBackend(parameters.program, np.float64, 1).statistics(parameters, X)
    found = backend.statistics(parameters, X)
    has_products = name not in ("single_input", "single_product")
    # Not closer either: somebody would have forgotten to round.
    assert (1e-5 if has_products else 0.0) <= error_share(found, true) < SHARE
    assert abs(found.log_likelihood - true.log_likelihood) < NATS * len(X)
    assert found.weight == true.weight


@every_circuit
@pytest.mark.parametrize("products", ["tf32", "bfloat16"])
def test_scores_are_those_of_float32(name, products):
    backend, parameters, X = make(name, products)
    plain = make(name, None)[0]
    backend.statistics(parameters, X)
    np.testing.assert_array_equal(
        backend.log_likelihood(parameters, X), plain.log_likelihood(parameters, X)
    )
    mine, other = (b.given(b.top_down(b.taken(parameters))) for b in (backend, plain))
    np.testing.assert_array_equal(mine.rows, other.rows)


def test_factors_are_rounded_and_sums_are_not():
    from skpc.backends.torch.matmul import add_bmm, bmm

    left = torch.ones(1, 1, 4097)
    left[0, 0, 0] = 1 + 2.0**-10  # no number of 8 bits
    right = torch.ones(1, 4097, 1)
    assert bmm(left, right, "bfloat16").item() == 4097  # neither is this
    assert bmm(left, right).item() == 4097 + 2.0**-10
    total = torch.full((1, 1, 1), 2.0**-11)
    assert add_bmm(total, left, right, "bfloat16") is total
    assert total.item() == 4097 + 2.0**-11
    assert right.dtype == torch.float32


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no NVIDIA GPU")
def test_a_gpu_rounds_what_the_cpu_rounds():
    from skpc.backends.torch.matmul import add_bmm, bmm

    draws = torch.Generator().manual_seed(0)
    left, right = (torch.rand(3, 64, 64, generator=draws) for _ in range(2))
    right, total = right.transpose(1, 2), torch.ones(5, 64, 64)
    out = torch.empty(5, 64, 64, device="cuda")
    bmm(left.cuda(), right.cuda(), "bfloat16", out=out[:3])
    torch.testing.assert_close(out[:3].cpu(), bmm(left, right, "bfloat16"), rtol=1e-5, atol=0)
    out.fill_(1.0)
    add_bmm(out[1:4], left.cuda(), right.cuda(), "bfloat16")
    add_bmm(total[1:4], left, right, "bfloat16")
    torch.testing.assert_close(out.cpu(), total, rtol=1e-5, atol=0)


def test_a_copy_rounds_as_well_and_other_names_are_refused():
    backend = make("tree", "bfloat16")[0]
    assert pickle.loads(pickle.dumps(backend)).products == "bfloat16"
    with pytest.raises(ValueError, match="products='float16' is not known; use None, 'tf32' or"):
        make("tree", "float16")
