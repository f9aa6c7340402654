"""Time skpc beside other libraries that are installed: an epoch of training, a pass of scoring.

Example: ``python benchmarks/peers.py --sets nltcs plants``, after ``pip install libcirkit``.

cirkit: a hidden Chow-Liu tree by its ``tabular_data`` template with "cp-t" layers, as many units as
ours, folded and optimised as its compiler offers, trained by its users' usual step: Adam on the
negative log-likelihood. Ours is the same step of data through the circuit and one update a batch,
by the default solver. Everything takes its turn round by round, in one process, on all cores. A
turn is two epochs (or passes), the second of which counts: during the first one threads of the
library before still spin. Shown are medians, and the ratio of the peer's to ours.
"""

from __future__ import annotations

import argparse
from statistics import median
from time import perf_counter

import numpy as np
from epoch import BATCH_SIZE, load_rows, make_program, tasks_of_circuit


def skpc_jobs(X, n_components):
    """Our epoch, our pass of scoring, and our number of parameters."""
    program = make_program(X, "hclt", n_components)
    tasks = tasks_of_circuit(program, X, n_threads=None)
    n_parameters = program.n_weights + sum(program.family_units)
    return tasks["batches"], tasks["scoring"], n_parameters


def cirkit_jobs(X, n_components):
    """The same of cirkit."""
    import torch
    from cirkit.pipeline import PipelineContext
    from cirkit.templates import data_modalities, utils

    data = torch.from_numpy(X.astype(np.int64))
    symbolic = data_modalities.tabular_data(
        region_graph="chow-liu-tree",
        data=data,
        input_layers={"name": "categorical", "args": {"num_categories": 2}},
        num_input_units=n_components,
        sum_product_layer="cp-t",
        num_sum_units=n_components,
        sum_weight_param=utils.Parameterization(activation="softmax", initialization="normal"),
    )
    context = PipelineContext(backend="torch", semiring="lse-sum", fold=True, optimize=True)
    circuit = context.compile(symbolic)
    optimiser = torch.optim.Adam(circuit.parameters(), lr=0.01)

    def epoch():
        for start in range(0, len(X), BATCH_SIZE):
            loss = -circuit(data[start : start + BATCH_SIZE]).mean()
            loss.backward()
            optimiser.step()
            optimiser.zero_grad()

    def score():
        with torch.no_grad():
            for start in range(0, len(X), BATCH_SIZE):
                circuit(data[start : start + BATCH_SIZE])

    return epoch, score, sum(p.numel() for p in circuit.parameters())


def compare(X, n_components, rounds, peers):
    """Median seconds of every job, (library, "epoch" or "score") -> seconds, and sizes."""
    jobs, sizes = {}, {}
    for name, make in peers.items():
        epoch, score, sizes[name] = make(X, n_components)
        jobs[name, "epoch"], jobs[name, "score"] = epoch, score
    times = {key: [] for key in jobs}
    for turn in range(rounds + 1):
        for key, job in jobs.items():
            job()
            begin = perf_counter()
            job()
            if turn:
                times[key].append(perf_counter() - begin)
    return {key: median(values) for key, values in times.items()}, sizes


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", nargs="+", default=["nltcs", "plants"])
    parser.add_argument("--components", nargs="+", type=int, default=[32])
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    print(
        "| set | units | parameters, cirkit / skpc | s an epoch | ratio | rows/s scored | ratio |"
    )
    print("|---|---:|---|---|---:|---|---:|")
    for name in options.sets:
        title, X = load_rows(name)
        for k in options.components:
            peers = {"skpc": skpc_jobs, "cirkit": cirkit_jobs}
            seconds, sizes = compare(X, k, options.rounds, peers)
            ours, theirs = (seconds[who, "epoch"] for who in ("skpc", "cirkit"))
            fast, slow = (len(X) / seconds[who, "score"] for who in ("skpc", "cirkit"))
            print(
                f"| {title} | {k} | {sizes['cirkit']:,} / {sizes['skpc']:,} | {theirs:.2f} / "
                f"{ours:.4f} | {theirs / ours:.0f} | {slow:,.0f} / {fast:,.0f} | "
                f"{fast / slow:.0f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
