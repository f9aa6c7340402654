"""Time an epoch of training and a pass of scoring, beside the machine's own matrix products.

Example: ``python benchmarks/epoch.py --sets nltcs plants --components 8 32 128``.

A weight costs six floating-point operations a row: two to multiply and add on the way up, two to
send the flow down, two to collect it. GFLOP/s here are these operations alone: leaves, products,
scaling and the update of the parameters take their time but are not counted.
The backend merges some sums with the small inputs below them; their weights are counted although
they are not multiplied row by row, so a share of the peak can exceed 100 %. It also computes equal
rows of a batch once; the last share counts only those that differ.

Whatever is compared is measured in turns, round by round, and the median of the rounds is shown,
so that a disturbance of the machine meets all of it alike.
"""

from __future__ import annotations

import argparse
import os
from concurrent.futures import ThreadPoolExecutor
from statistics import median
from time import perf_counter

import numba
import numpy as np
from threadpoolctl import threadpool_limits

from skpc.backends.numba_cpu import NumbaBackend
from skpc.circuit import Program
from skpc.datasets import DEBD_NAMES, fetch_debd
from skpc.distributions import Bernoulli
from skpc.solvers import EM, Anemone
from skpc.structures import STRUCTURES, resolve_structure
from skpc.training import ArraySource, initial_parameters, train

BATCH_SIZE = 512


# -- what is measured --------------------------------------------------------------------------


def load_rows(name):
    """Load the training rows of a binary set, or draw rows of the same kind; say which it is."""
    if name in DEBD_NAMES:
        try:
            return name, fetch_debd(name, download_if_missing=False).train
        except FileNotFoundError:
            pass
    return f"{name} (synthetic)", draw_binary_rows(n_rows=16_000, n_columns=64)


def draw_binary_rows(n_rows, n_columns):
    """Draw rows of a chain: each column repeats the one before in eight cells of ten."""
    rng = np.random.default_rng(0)
    flips = rng.random((n_rows, n_columns)) < 0.2
    flips[:, 0] = rng.random(n_rows) < 0.5
    return (np.cumsum(flips, axis=1) % 2).astype(np.uint8)


def make_program(X, structure, n_components):
    """Lower the circuit that a structure makes of the rows."""
    leaves = [Bernoulli()] * X.shape[1]
    made = resolve_structure(structure)
    return Program(made.build(X, leaves, n_components=n_components, random_state=0))


def start_values(program):
    """Draw random start values around fair coins."""
    priors = [
        np.tile(family.uniform_prior(), (n_units, 1))
        for family, n_units in zip(program.families, program.family_units)
    ]
    return initial_parameters(program, "random", priors, np.random.default_rng(0))


def tasks_of_circuit(program, X, n_threads):
    """Name what is timed on one circuit: two kinds of epoch, update included, and scoring."""
    backend = NumbaBackend(program, np.float32, n_threads)
    parameters = start_values(program)
    source = ArraySource(X)

    def epoch(solver):
        rng = np.random.default_rng(0)
        train(backend, parameters, source, solver, batch_size=BATCH_SIZE, max_iter=1, rng=rng)

    return {
        "batches": lambda: epoch(Anemone()),
        "full": lambda: epoch(EM()),
        "scoring": lambda: backend.log_likelihood(parameters, X),
    }


# -- the machine's own products ----------------------------------------------------------------


@numba.njit(nogil=True)
def multiply(left, right, out, repeats):
    """Multiply again and again without Python's lock, so that threads run side by side."""
    for _ in range(repeats):
        np.dot(left, right, out)


def task_of_products(shape, n_threads, repeats):
    """Make a function that multiplies (m, k) by (k, n) matrices on every thread, and its FLOP.

    Small products run in one Python thread a core, as a circuit's do; large ones on the threads
    of the linear algebra library.
    """
    m, k, n = shape
    own_threads = n_threads if m <= 64 else 1
    operands = [
        (np.ones((m, k), np.float32), np.ones((k, n), np.float32), np.empty((m, n), np.float32))
        for _ in range(own_threads)
    ]
    pool = ThreadPoolExecutor(own_threads)

    def task():
        limit = 1 if own_threads > 1 else n_threads
        with threadpool_limits(limits=limit, user_api="blas"):
            list(pool.map(multiply, *zip(*operands), [repeats] * own_threads))

    return task, 2.0 * m * k * n * repeats * own_threads


PRODUCTS = {
    "[32×32]·[32×128]": ((32, 32, 128), 20_000),
    "[1024×1024]²": ((1024, 1024, 1024), 4),
}


def measure_machine(threads, rounds):
    """Return {(product, threads): GFLOP/s}."""
    tasks, flop = {}, {}
    for name, (shape, repeats) in PRODUCTS.items():
        for n in threads:
            tasks[name, n], flop[name, n] = task_of_products(shape, n, repeats)
    seconds = time_in_turns(tasks, rounds)
    return {key: flop[key] / seconds[key] / 1e9 for key in tasks}


# -- timing and printing -----------------------------------------------------------------------


def time_in_turns(tasks, rounds):
    """Median seconds of every task: a turn is two calls, of which the second counts.

    During the first one threads of the task before may still stand by, and caches fill. The first
    turn of each does not count either.
    """
    for task in tasks.values():
        task()
    seconds = {key: [] for key in tasks}
    for _ in range(rounds):
        for key, task in tasks.items():
            task()
            started = perf_counter()
            task()
            seconds[key].append(perf_counter() - started)
    return {key: median(values) for key, values in seconds.items()}


def print_machine(peaks):
    """Print the machine's products as a Markdown table."""
    print("| float32 product | threads | GFLOP/s |")
    print("|---|---:|---:|")
    for (name, threads), gflops in peaks.items():
        print(f"| {name} | {threads} | {gflops:.0f} |")


def share_of_different_rows(X):
    """How many rows of random batches differ, on average."""
    rows = X[np.random.default_rng(0).permutation(len(X))]
    batches = np.array_split(rows, -(-len(X) // BATCH_SIZE))
    return sum(len(np.unique(batch, axis=0)) for batch in batches) / len(X)


def print_circuit(name, width, program, X, seconds, peak):
    """Print one line for every number of threads."""
    n_rows, different = len(X), share_of_different_rows(X)
    flop = 6.0 * n_rows * program.n_weights
    for n in sorted({threads for threads, _ in seconds}):
        batches, full, scoring = (seconds[n, what] for what in ("batches", "full", "scoring"))
        print(
            f"| {name} | {width} | {n} | {batches:.3f} | {full:.3f} "
            f"| {flop / batches / 1e9:.0f} | {100 * flop / batches / 1e9 / peak[n]:.0f} % "
            f"| {100 * different * flop / batches / 1e9 / peak[n]:.0f} % "
            f"| {n_rows / scoring / 1e6:.2f} |",
            flush=True,
        )


def main():
    """Read the arguments, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", nargs="+", default=["nltcs", "plants"], metavar="NAME")
    parser.add_argument("--components", nargs="+", type=int, default=[8, 32], metavar="K")
    parser.add_argument("--structure", default="hclt", choices=sorted(STRUCTURES))
    parser.add_argument("--rounds", type=int, default=5, help="measurements behind each median")
    chosen = parser.parse_args()
    n_cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    threads = sorted({1, n_cores})

    peaks = measure_machine(threads, chosen.rounds)
    print_machine(peaks)
    peak = {n: max(peaks[name, n] for name in PRODUCTS) for n in threads}
    print()
    print(
        f"| set | latents | threads | s an epoch, batches of {BATCH_SIZE} | s, full batch "
        "| GFLOP/s, batches | share of peak, batches | the same, different rows alone "
        "| scoring, million rows/s |"
    )
    print("|---|" + "---:|" * 8)
    for set_name in chosen.sets:
        name, X = load_rows(set_name)
        for width in chosen.components:
            program = make_program(X, chosen.structure, width)
            tasks = {
                (n, what): task
                for n in threads
                for what, task in tasks_of_circuit(program, X, n).items()
            }
            seconds = time_in_turns(tasks, chosen.rounds)
            print_circuit(name, width, program, X, seconds, peak)


if __name__ == "__main__":
    main()
