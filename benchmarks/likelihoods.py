"""Log-likelihoods on binary sets: one fixed recipe for all of them, and single structures.

Examples::

    python benchmarks/likelihoods.py
    python benchmarks/likelihoods.py --sets nltcs dna --parts
    python benchmarks/likelihoods.py --single

The recipe fits the same parts (`recipe`) to the training rows of every set and mixes them by
`skpc.mix`, with weights that EM finds from the validation rows: these choose structures and widths.
Test rows are only scored; "new" ones are those that are no training rows. Seconds are those of the
wall clock, with ``--jobs`` threads; parameters are weights and leaf statistics. doc/structures.md
has the results.
"""

from __future__ import annotations

import argparse
import warnings
from time import perf_counter

import numpy as np

from skpc import PCDensityEstimator, mix
from skpc.datasets import fetch_debd
from skpc.structures import HCLT, PD, PDHCLT, RAT, CLTree, LearnSPN, MixedStructures, Mixture

SETS = ("nltcs", "plants", "baudio", "jester", "accidents", "dna")
WIDTHS = (16, 32, 64)
#: Trees are learnt from all rows, a quarter of them, ...
FRACTIONS = (1, 4, 16, 64)


def recipe(n_rows):
    """Yield (name, structure, components, seed) of every part for a set of so many rows.

    Trees of few rows differ, and the mean of their circuits is better than that of circuits with
    equal trees, though each alone is worse. Parameters are always learnt from all rows.
    """
    for width in WIDTHS:
        for seed, fraction in enumerate(FRACTIONS):
            yield f"hclt/{width}", HCLT(max_rows=n_rows // fraction), width, seed
    several = [HCLT(max_rows=n_rows // fraction) for fraction in FRACTIONS]
    for seed in range(2):
        yield "4 hclt/16 as one", MixedStructures(several), 16, seed
        yield "rat/32", RAT(), 32, seed
    yield "learnspn", LearnSPN(), 1, 0
    yield "learnspn", LearnSPN(min_rows=60), 1, 0


#: Name, structure and components of the rows of ``--single``.
SINGLE = [
    ("cltree", CLTree(), 1),
    ("mixture of 64 products", Mixture(), 64),
    ("learnspn", LearnSPN(), 1),
    ("hclt/32", HCLT(), 32),
    ("hclt/32, sums above leaves", HCLT(input_sum=True), 32),
    ("rat/32", RAT(), 32),
    ("pd/32", PD(), 32),
    ("pdhclt/32, chunks of 16", PDHCLT(chunk=16), 32),
]


def fitted(data, structure, n_components, seed, n_jobs):
    """An estimator with the defaults but for structure and width, and its seconds."""
    model = PCDensityEstimator(
        structure, n_components=n_components, n_jobs=n_jobs, random_state=seed
    )
    started = perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # passes used up
        model.fit(data.train)
    return model, perf_counter() - started


def n_parameters(model):
    """Weights, and statistics of leaves."""
    return model.parameters_.weights.size + sum(leaf.size for leaf in model.parameters_.leaves)


def line(*cells):
    """Print a row of a Markdown table."""
    shown = [f"{cell:.3f}" if isinstance(cell, float) else str(cell) for cell in cells]
    print("| " + " | ".join(shown) + " |", flush=True)


def figures(model, data, seconds):
    """The cells that every row ends with."""
    known = set(map(bytes, data.train))
    new = [bytes(row) not in known for row in data.test]
    scores = model.score_samples(data.test)
    return (
        model.score(data.valid),
        scores.mean(),
        scores[new].mean(),
        n_parameters(model),
        round(seconds),
    )


def measure_recipe(name, data, chosen):
    """Print the row of a set; with ``--parts`` also one of every part."""
    models, names, total = [], [], 0.0
    for part, structure, width, seed in recipe(len(data.train)):
        model, seconds = fitted(data, structure, width, seed, chosen.jobs)
        models.append(model)
        names.append(part)
        total += seconds
        if chosen.parts:
            line(name, f"{part}, seed {seed}", *figures(model, data, seconds))
    started = perf_counter()
    mixed = mix(models, data.valid)
    total += perf_counter() - started
    program = mixed.parameters_.program
    weights = program.read_matrix(mixed.circuit_.root, mixed.parameters_.weights)[0]
    shares = {part: weights[np.array(names) == part].sum() for part in dict.fromkeys(names)}
    shown = sorted(shares.items(), key=lambda share: -share[1])
    choice = ", ".join(f"{part} {share:.2f}" for part, share in shown if share >= 0.005)
    line(name, choice, *figures(mixed, data, total))


def measure_single(name, data, chosen):
    """Print a row for every structure."""
    for part, structure, width in SINGLE:
        model, seconds = fitted(data, structure, width, 0, chosen.jobs)
        line(name, part, *figures(model, data, seconds))


def main():
    """Read the arguments, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", nargs="+", default=SETS, metavar="NAME")
    parser.add_argument("--single", action="store_true", help="structures, instead of the recipe")
    parser.add_argument("--parts", action="store_true", help="a row for every part of the recipe")
    parser.add_argument("--jobs", type=int, help="threads; all cores by default")
    chosen = parser.parse_args()
    line("set", "what", "validation", "test", "new test rows", "parameters", "seconds")
    line(*["---"] * 7)
    for name in chosen.sets:
        measure = measure_single if chosen.single else measure_recipe
        measure(name, fetch_debd(name), chosen)


if __name__ == "__main__":
    main()
