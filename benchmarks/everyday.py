"""Time all that a user waits for, over structures and widths, and what it takes of memory.

Example: ``python benchmarks/everyday.py --structures hclt rat --components 8 32 --sets nltcs``.

A line is one circuit on one set, on all cores, in float32, in a process of its own: seconds that
its structure takes, an epoch of the default solver in batches of 512 rows, rows scored and drawn a
second, and the largest memory of the process above what it takes when everything is imported.
Times are medians of rounds, after one call of each that does not count. The last line is what the
start of a process takes, with compiled kernels at hand: ``import skpc`` after scikit-learn, and
with it a first ``fit`` of iris with the defaults.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
from statistics import median
from time import perf_counter

import numpy as np
from epoch import load_rows, make_program, start_values, tasks_of_circuit, time_in_turns

from skpc.inference import sample
from skpc.structures import STRUCTURES

N_DRAWN = 10_000
START = """
import sklearn.datasets
from time import perf_counter
begin = perf_counter()
import skpc
imported = perf_counter()
skpc.PCDensityEstimator(random_state=0).fit(sklearn.datasets.load_iris().data)
print(imported - begin, perf_counter() - begin)
"""


def peak_memory():
    """MB that this process has had at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def measure(set_name, structure, width, rounds):
    """Print the line of one circuit."""
    name, X = load_rows(set_name)
    before = peak_memory()
    begin = perf_counter()
    program = make_program(X, structure, width)
    built = perf_counter() - begin
    tasks = tasks_of_circuit(program, X, None)
    del tasks["full"]
    parameters = start_values(program)
    tasks["drawn"] = lambda: sample(parameters, N_DRAWN, 0)
    seconds = time_in_turns(tasks, rounds)
    scored, drawn = len(X) / seconds["scoring"], N_DRAWN / seconds["drawn"]
    print(
        f"| {name} | {structure} | {width} | {program.n_weights:,} | {built:.2f} "
        f"| {seconds['batches']:.3f} | {scored:,.0f} | {drawn:,.0f} "
        f"| {peak_memory() - before:.0f} |",
        flush=True,
    )


def time_start(rounds):
    """Seconds of the import, and of import and fit, in fresh processes."""
    times = []
    for turn in range(rounds + 1):
        run = [sys.executable, "-c", START]
        said = subprocess.run(run, capture_output=True, text=True, check=True).stdout
        if turn:
            times.append([float(word) for word in said.split()])
    return [median(column) for column in np.transpose(times).tolist()]


def main():
    """Start a process for every line, or be one."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", nargs="+", default=["nltcs", "plants"])
    parser.add_argument("--structures", nargs="+", default=["hclt", "rat", "hmm"])
    parser.add_argument("--components", nargs="+", type=int, default=[8, 32, 128])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--one-line", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    unknown = set(options.structures) - set(STRUCTURES)
    if unknown:
        parser.error(f"no structure is called {sorted(unknown)}; there are {sorted(STRUCTURES)}")
    if options.one_line:
        (where,) = zip(options.sets, options.structures, options.components)
        measure(*where, options.rounds)
        return
    print(
        "| set | structure | width | weights | s for the structure | s an epoch | rows/s scored "
        "| rows/s drawn | MB |\n|---|---|" + "---:|" * 7,
        flush=True,
    )
    for name in options.sets:
        for structure in options.structures:
            for width in options.components:
                case = ["--sets", name, "--structures", structure, "--components", str(width)]
                rounds = ["--rounds", str(options.rounds), "--one-line"]
                subprocess.run([sys.executable, __file__, *case, *rounds], check=True)
    imported, fitted = time_start(options.rounds)
    print(f"\nimport skpc: {imported:.2f} s; import and fit of iris: {fitted:.2f} s")


if __name__ == "__main__":
    main()
