"""Does a penalty on sharpness help? The published protocol on binary sets, beside a pseudocount.

Example: ``python benchmarks/sharpness.py --sets nltcs plants --components 32 --share 0.01``.

A hidden Chow-Liu tree is fitted to a small share of the training rows: one M-step an epoch with
damping 0.1, 100 epochs, the last one kept, pseudocount 0. Every seed draws other rows and start
values. The strength of the penalty is the one with the best validation rows; so is the pseudocount
that plain EM, damped alike, is given for comparison. Reported is the mean log-likelihood of the
test rows, and its change in percent of its size: higher is better, and so is a positive change.
With ``--step`` times a step of Adam with the penalty beside one without.
"""

from __future__ import annotations

import argparse
from statistics import mean, median, stdev
from time import process_time

import numpy as np

from skpc import PCDensityEstimator
from skpc.backends.numba_cpu import NumbaBackend
from skpc.circuit import Program
from skpc.datasets import fetch_debd
from skpc.distributions import Bernoulli
from skpc.solvers import Adam, Anemone, SharpnessEM, SolverState
from skpc.structures import HCLT
from skpc.training import initial_parameters, leaf_priors

#: Six binary sets of different width.
SETS = ["nltcs", "plants", "baudio", "jester", "accidents", "dna"]
MU = (0.0, 0.01, 0.05, 0.1, 0.5, 1.0)
#: Of the exact form, which has another unit.
EXACT = (0.0001, 0.001, 0.003, 0.01, 0.1)
ALPHA = (0.0, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)


def published(mu, form="published"):
    """The solver of the protocol: one damped update an epoch."""
    return SharpnessEM(mu, form, step_size=0.1, schedule="constant", full_batch=True)


def fitted(rows, solver, alpha, seed, chosen):
    """Fit one model by the protocol."""
    return PCDensityEstimator(
        "hclt",
        solver,
        n_components=chosen.components,
        alpha=alpha,
        max_iter=chosen.epochs,
        n_iter_no_change=chosen.epochs,
        early_stopping=False,
        dtype="float32",
        n_jobs=1,
        random_state=seed,
    ).fit(rows)


def best(candidates, valid):
    """The candidate with the best mean validation row: its setting and model."""
    return max(candidates, key=lambda entry: entry[1].score(valid))


def compare(name, seed, chosen):
    """Test log-likelihoods of one seed: {method: (value, train value, setting)}."""
    data = fetch_debd(name, data_home=chosen.data)
    rng = np.random.default_rng(seed)
    n_rows = max(2, round(chosen.share * len(data.train)))
    rows = data.train[rng.choice(len(data.train), n_rows, replace=False)]
    families = {"published": MU[1:], "exact": EXACT}
    plain = 0.0, fitted(rows, published(0.0), 0.0, seed, chosen)
    found = {"EM": plain}
    smoothed = [(a, fitted(rows, published(0.0), a, seed, chosen)) for a in ALPHA[1:]]
    found["EM, tuned alpha"] = best([plain, *smoothed], data.valid)
    for form, strengths in families.items():
        penalised = [(mu, fitted(rows, published(mu, form), 0.0, seed, chosen)) for mu in strengths]
        found[form] = best([plain, *penalised], data.valid)
    found["auto"] = 0.0, fitted(rows, published("auto"), 0.0, seed, chosen)
    if chosen.both:
        alpha = found["EM, tuned alpha"][0]
        both = [
            (mu, fitted(rows, published(mu), alpha, seed, chosen)) for mu in families["published"]
        ]
        found["both"] = best([found["EM, tuned alpha"], *both], data.valid)
    return {
        method: (model.score(data.test), model.score(rows), setting)
        for method, (setting, model) in found.items()
    }


def print_set(name, runs):
    """Print one line for every method: mean over the seeds, change against EM, settings."""
    for method in runs[0]:
        values = [run[method][0] for run in runs]
        changes = [100 * (v - run["EM"][0]) / abs(run["EM"][0]) for v, run in zip(values, runs)]
        over = mean((run[method][1] - run[method][0]) / abs(run[method][1]) for run in runs)
        spread = stdev(changes) if len(runs) > 1 else 0.0
        settings = " ".join(f"{run[method][2]:g}" for run in runs if method not in ("EM", "auto"))
        print(
            f"| {name} | {method} | {mean(values):.3f} | {mean(changes):+.1f} ± {spread:.1f} "
            f"| {over:.2f} | {settings} |",
            flush=True,
        )


def time_steps(chosen, batch_size=512, repeats=30):
    """Print the processor time of one update, statistics included, with and without penalty."""
    rows = fetch_debd(chosen.sets[0], data_home=chosen.data).train[:batch_size]
    circuit = HCLT().build(
        rows, [Bernoulli()] * rows.shape[1], n_components=chosen.components, random_state=0
    )
    program = Program(circuit)
    backend = NumbaBackend(program, np.float32, n_jobs=1)
    priors = leaf_priors(program, rows.astype(float))
    start = initial_parameters(program, "random", priors, np.random.default_rng(0))
    solvers = {
        "Adam": Adam(),
        "Adam, sharpness": Adam(sharpness=0.01),
        "Anemone": Anemone(),
    }
    times = {name: [] for name in solvers}
    for _ in range(repeats):
        for name, solver in solvers.items():
            started = process_time()
            statistics = backend.statistics(start, rows, None, solver.wanted)
            evidence = statistics.mean()
            top_down = backend.top_down(start) if solver.needs_top_down else None
            solver.update(SolverState(horizon=100), start, evidence, top_down)
            times[name].append(process_time() - started)
    # The first calls compile.
    for name, values in times.items():
        values = sorted(values[3:])
        print(
            f"| {name} | {1e3 * values[0]:.1f} ms fastest | {1e3 * median(values):.1f} ms median |"
        )


def main():
    """Read the arguments, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", nargs="+", default=SETS, metavar="NAME")
    parser.add_argument("--data", default=None, help="folder of the sets")
    parser.add_argument("--share", type=float, default=0.01, help="of the training rows")
    parser.add_argument("--components", type=int, default=32, metavar="K")
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--both", action="store_true", help="penalty and pseudocount together too")
    parser.add_argument("--step", action="store_true", help="only time the steps of Adam")
    chosen = parser.parse_args()
    if chosen.step:
        return time_steps(chosen)
    print("| set | method | test LL | change, % | overfitting | settings |")
    print("|---|---|---:|---:|---:|---|", flush=True)
    everything = {}
    for name in chosen.sets:
        runs = [compare(name, seed, chosen) for seed in range(chosen.seeds)]
        print_set(name, runs)
        for method in runs[0]:
            change = [100 * (r[method][0] - r["EM"][0]) / abs(r["EM"][0]) for r in runs]
            everything.setdefault(method, []).append(mean(change))
    for method, changes in everything.items():
        print(f"| mean (median) | {method} | | {mean(changes):+.1f} ({median(changes):+.1f}) | | |")


if __name__ == "__main__":
    main()
