"""Time an epoch as rows and as edges grow: both should cost what they did before, each.

Example: ``python benchmarks/scaling.py --rows 10000 100000 1000000 --edges 100000 1000000``.

The circuit is a binary tree of latent variables over zeros and ones with 32 states each; for edges
it grows by variables. Shown are medians of rounds in which everything takes its turn, seconds of
an epoch of the default solver in batches of 512 rows, its update included, and nanoseconds a row
and a thousand edges, beside the first line's. Rows lie in a file that is mapped into memory, and
the peak of the memory of the process is shown beside the size of that file.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np
from epoch import BATCH_SIZE, start_values

from skpc.backends.numba_cpu import NumbaBackend
from skpc.circuit import Circuit, Input, Product, Program, Sum
from skpc.distributions import Bernoulli
from skpc.solvers import Anemone
from skpc.training import ArraySource, train

UNITS = 32


def binary_tree(n_variables):
    """Lower a tree of latent variables: variable i lies below variable (i - 1) // 2."""
    messages = [[] for _ in range(n_variables)]
    for i in reversed(range(n_variables)):
        node = Product([Input(i, Bernoulli(), UNITS), *messages[i]])
        if i:
            messages[(i - 1) // 2].append(Sum(node, UNITS))
        else:
            return Program(Circuit(Sum(node)))
    raise ValueError("n_variables must be at least 1.")


def epoch(program, X):
    """Make a function that trains for one epoch."""
    backend, parameters = NumbaBackend(program, np.float32), start_values(program)

    def run():
        source, rng = ArraySource(X), np.random.default_rng(0)
        train(backend, parameters, source, Anemone(), batch_size=BATCH_SIZE, max_iter=1, rng=rng)

    return run


def mapped_rows(folder, n_rows, n_columns):
    """Write random bits to a file, piece by piece, and map it."""
    path = Path(folder) / f"{n_rows}x{n_columns}.npy"
    out = np.lib.format.open_memmap(path, "w+", np.uint8, (n_rows, n_columns))
    rng = np.random.default_rng(0)
    for start in range(0, n_rows, 100_000):
        part = out[start : start + 100_000]
        part[...] = rng.integers(0, 2, part.shape, dtype=np.uint8)
    out.flush()
    return np.load(path, mmap_mode="r")


def measure(cases, rounds):
    """Time every case in turns; print a line for each."""
    times = [[] for _ in cases]
    for turn in range(rounds + 1):
        for (_, _, run), seen in zip(cases, times):
            run()  # as in epoch.time_in_turns
            begin = perf_counter()
            run()
            if turn:
                seen.append(perf_counter() - begin)
    first = None
    for (n_rows, n_edges, _), seen in zip(cases, times):
        seconds = median(seen)
        each = seconds / n_rows / n_edges * 1e12
        first = first or each
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
        print(
            f"| {n_rows:,} | {n_edges:,} | {seconds:.3f} | {each:.1f} | {each / first:.2f} | "
            f"{peak:.0f} |",
            flush=True,
        )


def main():
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", nargs="*", type=int, default=[10**4, 10**5, 10**6])
    parser.add_argument("--edges", nargs="*", type=int, default=[10**5, 10**6, 10**7])
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    print("| rows | edges | s an epoch | ns a row and 1000 edges | to the first | peak MB |")
    print("|---:|---:|---:|---:|---:|---:|")
    with tempfile.TemporaryDirectory() as folder:
        program = binary_tree(64)
        cases = []
        for n in options.rows:
            X = mapped_rows(folder, n, 64)
            cases.append((n, program.n_weights, epoch(program, X)))
        measure(cases, options.rounds)
        cases = []
        for n in options.edges:
            program = binary_tree(n // UNITS**2 + 1)
            X = mapped_rows(folder, 4096, program.n_variables)
            cases.append((len(X), program.n_weights, epoch(program, X)))
        measure(cases, options.rounds)


if __name__ == "__main__":
    main()
