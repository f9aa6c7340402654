"""Compare the solvers on binary sets, and see what momentum does to anemone.

Examples::

    python benchmarks/solvers.py compare --sets nltcs plants
    python benchmarks/solvers.py momentum --sets plants

Hidden Chow-Liu trees with the same structure and the same start values for all. Seconds are those
of one thread's processor time for the whole fit. ``compare`` tries every step size of a solver and
shows the one with the best validation rows; ``--all`` shows all of them.
"""

from __future__ import annotations

import argparse
import warnings
from time import process_time

from skpc import PCDensityEstimator
from skpc.datasets import fetch_debd
from skpc.solvers import EM, SGD, Adam, Anemone, MiniBatchEM, SharpnessEM

#: The solvers of ``compare``, each with the steps that are tried.
GRIDS = {
    "anemone": [Anemone(0.9), Anemone(0.5)],
    "minibatch_em": [MiniBatchEM(0.9), MiniBatchEM(0.5)],
    "em": [EM()],
    "sharpness_em": [SharpnessEM(), SharpnessEM(0.1)],
    "adam": [Adam(0.1), Adam(0.2), Adam(0.4)],
    "sgd": [SGD(0.5), SGD(0.9), SGD(0.5, momentum=0.9), SGD(5, natural=False, momentum=0.9)],
}


class LateMomentum(Anemone):
    """Anemone whose momentum begins after a share of all updates."""

    def __init__(
        self, step_size=0.9, min_step_size=0.02, schedule="cosine", momentum=0.9, start=0.5
    ):
        super().__init__(step_size, min_step_size, schedule, momentum)
        self.start = start

    def update(self, state, parameters, statistics, top_down):
        """Without momentum at first."""
        begun = state.step >= self.start * state.horizon
        solver = Anemone(
            self.step_size, self.min_step_size, self.schedule, self.momentum if begun else 0.0
        )
        return solver.update(state, parameters, statistics, top_down)


def momentum_runs():
    """Yield (rows of a batch, passes or "auto", solver): what is averaged, and when."""
    for momentum in (0.0, 0.5, 0.9):
        yield 256, "auto", Anemone(momentum=momentum)
    yield 256, "auto", LateMomentum(start=0.5)
    yield 256, "auto", LateMomentum(start=0.8)
    for momentum in (0.0, 0.9):
        yield 256, "auto", Anemone(0.2, momentum=momentum)
        yield 64, "auto", Anemone(momentum=momentum)
        yield 2048, "auto", Anemone(momentum=momentum)
        yield 2048, "auto", Anemone(0.2, momentum=momentum)
    # The steps to which momentum of 0.9 shortens 0.9 and 0.2 where EM is slow: s / (1 + 9 s).
    yield 256, "auto", Anemone(0.1)
    yield 256, "auto", Anemone(0.07)
    # A step that does not fall leaves the noise of small batches in the result.
    for step, momentum in ((0.3, 0.0), (0.3, 0.9), (0.081, 0.0)):
        yield 32, 10, Anemone(step, schedule="constant", momentum=momentum)


def measure(data, solver, chosen, batch_size="auto", max_iter="auto"):
    """Fit; return the mean log-likelihoods of train, validation and test rows, and seconds."""
    model = PCDensityEstimator(
        structure="hclt",
        solver=solver,
        n_components=chosen.components,
        batch_size=batch_size,
        max_iter=max_iter,
        tol=0.0,
        n_jobs=1,
        random_state=chosen.seed,
    )
    started = process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # passes used up
        model.fit(data.train)
    seconds = process_time() - started
    return *(model.score(rows) for rows in (data.train, data.valid, data.test)), seconds


def compare(name, data, chosen):
    """Print a line for every solver, with the step that suits the validation rows."""
    for solver_name in chosen.solvers:
        runs = [(measure(data, solver, chosen), solver) for solver in GRIDS[solver_name]]
        best = max(runs, key=lambda run: run[0][1])
        for run in runs if chosen.all else [best]:
            print_line(name, run[1], *run[0])


def momentum(name, data, chosen):
    """Print a line for every way to average flows."""
    for batch_size, max_iter, solver in momentum_runs():
        figures = measure(data, solver, chosen, batch_size, max_iter)
        print_line(f"{name}, batch {batch_size}", solver, *figures)


def print_line(name, solver, train, valid, test, seconds):
    """Print a line of a Markdown table."""
    print(
        f"| {name} | `{solver}` | {train:.3f} | {valid:.3f} | {test:.3f} | {seconds:.1f} |",
        flush=True,
    )


def main():
    """Read the arguments, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["compare", "momentum"])
    parser.add_argument("--sets", nargs="+", default=["nltcs", "plants"], metavar="NAME")
    parser.add_argument("--solvers", nargs="+", default=list(GRIDS), choices=GRIDS)
    parser.add_argument("--components", type=int, default=32, metavar="K")
    parser.add_argument("--data-home", default=None)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--all", action="store_true", help="show every step size")
    chosen = parser.parse_args()
    print("| set | solver | train | validation | test | s |")
    print("|---|---|---:|---:|---:|---:|", flush=True)
    for name in chosen.sets:
        data = fetch_debd(name, data_home=chosen.data_home)
        {"compare": compare, "momentum": momentum}[chosen.what](name, data, chosen)


if __name__ == "__main__":
    main()
