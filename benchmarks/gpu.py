"""Time training on a GPU at the sizes of PyJuice's README, and check it against float64.

Example: ``python benchmarks/gpu.py``, under ten minutes; ``--quick`` tries everything at tiny
sizes, on a CPU too.

An epoch is 60 000 rows of 784 pixels with 256 values (made up: nothing here depends on what they
are): statistics, top-down pass and update by anemone. A few batches are timed and their median
is scaled up. A weight costs six floating-point operations a row; bytes are the least that has to
move: the values of all units six times, single-precision weights three times and double-precision
ones six times a batch. Where PyJuice is installed it learns an HCLT of as many latent states in the
same process, by its own mini-batch EM. Its published seconds are those of an RTX 4090.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.util
import math
from statistics import median
from time import perf_counter

import numpy as np
import torch

from skpc.backends.torch import TorchBackend
from skpc.backends.torch.matmul import bmm, float32_factors
from skpc.backends.torch.weights import rows_of
from skpc.circuit import Circuit, Input, Parameters, Product, Program, Sum
from skpc.distributions import Categorical
from skpc.solvers import Anemone, SolverState
from skpc.structures import HMM, PD
from skpc.training.updates import Updates

N_ROWS = 60_000
SIDE = 28
#: Edges of the circuits and PyJuice's published seconds an epoch, None where there are none.
HCLT_SIZES = {2.56e6: 0.8, 10e6: 1.3, 40e6: 2.6, 159e6: 8.8, 633e6: 24.9}
PD_SIZES = {15.6e6: 2.0, 56.3e6: 5.3, 213e6: 15.4, 829e6: 57.1}
HMM_STATES = (256, 512, 1024, 2048, 4096)
HMM_STEPS = 32
#: Circuits up to so many edges are checked against float64.
CHECKED_EDGES = 2e8


# -- circuits ----------------------------------------------------------------------------------


def tree(side, n_states, n_latents):
    """The circuit of a hidden tree over the pixels of an image: along rows, then to the middle."""
    middle = side // 2

    def parent(r, c):
        if c != middle:
            return r, c + (1 if c < middle else -1)
        return r + (1 if r < middle else -1), c

    pixels = [(r, c) for r in range(side) for c in range(side)]
    children = {pixel: [] for pixel in pixels}
    for r, c in pixels:
        if (r, c) != (middle, middle):
            children[parent(r, c)].append((r, c))
    # Far ones first: children before parents.
    pixels.sort(key=lambda p: -abs(p[0] - middle) - abs(p[1] - middle))
    made = {}
    for r, c in pixels:
        leaf = Input(r * side + c, Categorical(n_states), n_latents)
        below = [Sum(made[child], n_latents) for child in children[r, c]]
        made[r, c] = Product([leaf, *below]) if below else leaf
    return Circuit(Sum(made[middle, middle]))


def squares(side, n_states, n_sums, delta):
    """The circuit of Poon and Domingos over the same pixels."""
    leaves = [Categorical(n_states)] * side**2
    structure = PD((side, side), delta=delta, max_partitions=None)
    return structure.build(np.zeros((1, side**2)), leaves, n_components=n_sums, random_state=0)


def chain(n_states, n_latents):
    """A homogeneous hidden Markov model."""
    leaves = [Categorical(n_states)] * HMM_STEPS
    return HMM().build(np.zeros((1, HMM_STEPS)), leaves, n_components=n_latents, random_state=0)


def circuits(quick):
    """Name, circuit made when it is asked for, latent states, PyJuice's published seconds."""
    side, states = (4, 4) if quick else (SIDE, 256)
    for edges, published in list(HCLT_SIZES.items())[: 1 if quick else None]:
        width = 8 if quick else max(8, round(math.sqrt(edges / (side**2 - 1)) / 8) * 8)
        yield f"HCLT {width}", lambda k=width: tree(side, states, k), width, published
    delta = 2 if quick else 4
    least = squares(side, states, 8, delta).n_edges
    for edges, published in list(PD_SIZES.items())[: 1 if quick else None]:
        width = 8 if quick else max(8, round(math.sqrt(edges / least)) * 8)
        yield f"PD {width}", lambda k=width: squares(side, states, k, delta), width, published
    for width in (16,) if quick else HMM_STATES:
        yield f"HMM {width}", lambda k=width: chain(states, k), width, None


def start_values(backend):
    """Random parameters, drawn on the device: 600 million take numpy a minute."""
    program, device = backend.program, backend.torch_device
    generator = torch.Generator(device).manual_seed(0)

    def noise(*shape):
        numbers = torch.rand(*shape, generator=generator, dtype=torch.float64, device=device)
        return torch.exp(-4 * numbers)

    weights = noise(program.n_weights)
    one, zero = (torch.full((program.n_rows,), x, device=device).double() for x in (1, 0))
    weights = rows_of(program, device).mixed(weights, weights, one, zero, 1e-300)
    leaves = []
    for family, n_units in zip(program.families, program.family_units, strict=True):
        mass = noise(n_units, family.n_states)
        leaves.append(mass / mass.sum(1, keepdim=True))
    return Parameters(program, weights, leaves)


# -- what is measured --------------------------------------------------------------------------


def timed(task, device, most_seconds, most=15):
    """Median seconds of a few calls after two that do not count."""
    seconds = []
    started = perf_counter()
    while len(seconds) < 3 or (len(seconds) < 2 + most and perf_counter() - started < most_seconds):
        wait(device)
        before = perf_counter()
        task()
        wait(device)
        seconds.append(perf_counter() - before)
    return median(seconds[2:])


def wait(device):
    """Until the device has done what it was told."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def peaks(device, quick):
    """TFLOP/s of float32, TF32 and bfloat16 products, and GB/s of copies."""
    n = 256 if quick else 8192
    a, b = (torch.rand(n, n, device=device) for _ in range(2))
    out = torch.empty_like(a)
    found = []
    for precision in ("ieee", "tf32"):
        with float32_factors(precision):
            found.append(2e-12 * n**3 / timed(lambda: torch.mm(a, b, out=out), device, 2))
    short = a[None].bfloat16(), b[None].bfloat16()
    found.append(2e-12 * n**3 / timed(lambda: bmm(*short, "bfloat16", out[None]), device, 2))
    found.append(2e-9 * a.nbytes / timed(lambda: out.copy_(a), device, 2))
    return found


def training_step(backend, parameters, X):
    """A function that learns one batch, parameters staying on the device."""
    held = [SolverState(horizon=1000), parameters]
    updates = Updates(backend, Anemone(), None)

    def step():
        with backend.at_work():
            held[:] = updates(*held, backend.statistics(held[1], X))

    return step


def largest_errors(program, parameters, backend, X):
    """Largest error of log p in nats, and that of all flows as a share of their sum."""
    exact = TorchBackend(program, np.float64, backend.n_jobs, backend.device)
    true, found = (b.statistics(parameters, X) for b in (exact, backend))
    scores = np.abs(exact.log_likelihood(parameters, X) - backend.log_likelihood(parameters, X))
    return scores.max(), float((true.flows - found.flows).abs().sum() / true.flows.sum())


def pyjuice_step(width, data, device):
    """One batch of PyJuice's mini-batch EM on an HCLT."""
    import pyjuice

    leaves = pyjuice.distributions.Categorical(num_cats=256)
    nodes = pyjuice.structures.HCLT(data[:1000].float().cpu(), num_latents=width, input_dist=leaves)
    circuit = pyjuice.compile(nodes).to(device)

    def step():
        circuit(data).mean().backward()
        circuit.mini_batch_em(step_size=0.01, pseudocount=0.001)

    return step


# -- printing ----------------------------------------------------------------------------------


def print_machine(device, found):
    """What this was measured on."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    versions = f"torch {torch.__version__}, CUDA {torch.version.cuda}"
    print(f"{datetime.date.today()}, {name}, {versions}")
    *products, bandwidth = found
    float32, tf32, bfloat16 = (f"{peak:.1f} TFLOP/s" for peak in products)
    print(f"products {float32}, TF32 {tf32}, bfloat16 {bfloat16}; copies {bandwidth:.0f} GB/s\n")


def measure(name, circuit, batch, device, found, budget, chosen):
    """Lines of the table for one circuit: float32, TF32 and bfloat16."""
    program = Program(circuit)
    rng = np.random.default_rng(0)
    n_states = circuit.inputs[0].distribution.n_states
    X = rng.integers(0, n_states, (batch, circuit.n_variables)).astype(np.uint8)
    # On a CPU it is only tried.
    where, n_jobs = ("torch", 1) if device.type == "cpu" else (str(device), None)
    for peak, products in zip(found, (None, "tf32", "bfloat16")):
        backend = TorchBackend(program, np.float32, n_jobs, where, products)
        parameters = start_values(backend)
        error = "–", "–"
        if circuit.n_edges <= CHECKED_EDGES:
            scores, flows = largest_errors(program, parameters, backend, X[:64])
            error = f"{scores:.1e}", f"{flows:.1e}"
        seconds = timed(training_step(backend, parameters, X), device, budget)
        flop = 6.0 * batch * circuit.n_edges
        moved = 24.0 * backend.n_places * batch + (12 + 48) * program.n_weights
        print(
            f"| {name} | {circuit.n_edges / 1e6:.2f} | {products or 'float32'} | {batch} "
            f"| {seconds * N_ROWS / batch:.2f} | {100e-12 * flop / seconds / peak:.0f} "
            f"| {100e-9 * moved / seconds / found[-1]:.0f} | {error[0]} | {error[1]} "
            f"| {chosen} |",
            flush=True,
        )


def main(arguments=None):
    """Read the arguments, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to try the script")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--batch", type=int, default=512)
    parser.add_argument("--minutes", type=float, default=9.0, help="no new circuit after so long")
    chosen = parser.parse_args(arguments)
    device = torch.device(chosen.device)
    started = perf_counter()
    found = peaks(device, chosen.quick)
    print_machine(device, found)
    print(
        "| circuit | million edges | products | batch | s an epoch | % of the product peak "
        "| % of the copy peak | error of log p, nats | error of flows | PyJuice, s an epoch |"
    )
    print("|---|" + "---:|" * 9)
    batch = 32 if chosen.quick else chosen.batch
    for name, make, width, published in circuits(chosen.quick):
        if perf_counter() - started > 60 * chosen.minutes:
            print(f"(no time left for {name})")
            continue
        other = "–" if published is None else f"published {published}"
        try:
            if importlib.util.find_spec("pyjuice") and name.startswith("HCLT"):
                data = torch.randint(0, 256, (batch, SIDE**2), device=device)
                seconds = timed(pyjuice_step(width, data, device), device, 5)
                other += f", here {seconds * N_ROWS / batch:.2f}"
        except Exception as error:
            # Another library's failure must not cost our own table.
            other += f", here {type(error).__name__}"
        try:
            measure(name, make(), batch, device, found, 0 if chosen.quick else 5, other)
        except MemoryError as error:
            print(f"| {name} | does not fit: {error} |")
        if device.type == "cuda":
            torch.cuda.empty_cache()


if __name__ == "__main__":
    main()
