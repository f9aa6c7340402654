"""Passes that each solver needs on simulated haplotypes, as in table 2 of arXiv 2505.19982.

Haplotypes of a population of constant size with mutation and recombination, simulated by msprime
(``pip install msprime``): sites with two alleles, the rarer one on more than 1 % of them. Run from
the root of the repository: ``python benchmarks/genomes.py``; doc/solvers.md has the results.

Every solver gets as many passes: those with a step try each of three steps over each number of
passes, full-batch EM makes all of them in one training. Seconds are processor time of one thread.
"""

import argparse

import numpy as np
from curves import Clock, Learner

from skpc.distributions import Bernoulli
from skpc.solvers import EM, Adam, Anemone, MiniBatchEM
from skpc.structures import HCLT, PDHCLT

#: The solvers, each with the steps that are tried.
GRIDS = {
    "em": (EM, [None]),
    "minibatch_em": (MiniBatchEM, [0.2, 0.5, 0.9]),
    "adam": (Adam, [0.03, 0.1, 0.3]),
    "anemone": (Anemone, [0.2, 0.5, 0.9]),
}
STRUCTURES = {"hclt": HCLT, "pdhclt": PDHCLT}
#: Population, base pairs, and rates a base pair and generation, as of people.
POPULATION, LENGTH, RECOMBINATION, MUTATION = 10_000, 1e6, 1e-8, 1.25e-8
RAREST = 0.01


def simulate(n_haplotypes, n_sites, seed=1):
    """Haplotypes in random order.

    Parameters
    ----------
    n_haplotypes, n_sites : int
    seed : int, default=1

    Returns
    -------
    ndarray of shape (n_haplotypes, n_sites), dtype uint8
        1 for the derived allele.
    """
    try:
        import msprime
    except ImportError as error:
        raise SystemExit(
            "Haplotypes are simulated by msprime; install it with `pip install msprime`."
        ) from error
    trees = msprime.sim_ancestry(
        n_haplotypes // 2,
        sequence_length=LENGTH,
        recombination_rate=RECOMBINATION,
        population_size=POPULATION,
        random_seed=seed,
    )
    trees = msprime.sim_mutations(trees, rate=MUTATION, random_seed=seed, model="binary")
    rows = trees.genotype_matrix().T.astype(np.uint8)
    share = rows.mean(axis=0)
    rows = rows[:, np.minimum(share, 1 - share) > RAREST]
    if rows.shape[1] < n_sites:
        raise SystemExit(f"--sites {n_sites}: only {rows.shape[1]} sites are that variable.")
    return np.random.default_rng(seed).permutation(rows[:, :n_sites])


def runs(name, passes):
    """(solver, passes) of every training of a solver."""
    kind, steps = GRIDS[name]
    if kind.full_batch:
        # What three steps take.
        return [(kind(), 3 * sum(passes))]
    return [(kind(step), n) for step in steps for n in passes]


def first_reached(curves, level):
    """(passes, seconds, training) of the training that first reaches a level; None if none."""
    reached = []
    for number, (values, seconds) in enumerate(curves):
        above = np.flatnonzero(np.asarray(values) >= level)
        if above.size:
            reached.append((int(above[0]) + 1, seconds[above[0]], number))
    return min(reached, default=None)


def compare(name, learner, test, chosen):
    """Print the curves' ends and the passes to every level, of every solver."""
    trainings, curves = {}, {}
    for solver_name in chosen.solvers:
        trainings[solver_name] = runs(solver_name, chosen.passes)
        curves[solver_name] = []
        for solver, passes in trainings[solver_name]:
            clock = Clock()
            result = learner.learn(
                solver, alpha=chosen.alpha, batch_size=chosen.batch, passes=passes, clock=clock
            )
            values = [record.validation for record in result.history]
            curves[solver_name].append((values, clock.seconds))
            print(
                f"{name} {solver!r} {passes} passes: best {max(values):.2f} after "
                f"{result.best_epoch}, test {learner.score(result.parameters, test):.2f}, "
                f"{clock.seconds[-1]:.0f} s; after 1, 5, 10, 20, 50, 100, ...: "
                + " ".join(f"{values[i - 1]:.1f}" for i in TIMES if i <= len(values)),
                flush=True,
            )
    best = {key: max(max(values) for values, _ in found) for key, found in curves.items()}
    levels = [max(best.values()) - gap for gap in chosen.gaps]
    heads = [f"to {level:.1f}" for level in levels]
    print(f"\n| {name} | best valid | " + " | ".join(heads) + " |")
    print("|---|---:|" + "---:|" * len(levels))
    for solver_name, found in curves.items():
        cells = []
        for level in levels:
            first = first_reached(found, level)
            if first is None:
                cells.append("–")
            else:
                solver, passes = trainings[solver_name][first[2]]
                step = getattr(solver, "step_size", None)
                how = "" if step is None else f" (step {step}, {passes})"
                cells.append(f"{first[0]} / {first[1]:.0f} s{how}")
        print(f"| {solver_name} | {best[solver_name]:.2f} | " + " | ".join(cells) + " |")
    print(flush=True)


TIMES = (1, 5, 10, 20, 50, 100, 200, 400, 800)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--structures", nargs="+", choices=STRUCTURES, default=list(STRUCTURES))
    parser.add_argument("--solvers", nargs="+", choices=GRIDS, default=list(GRIDS))
    parser.add_argument("--units", type=int, default=16)
    parser.add_argument("--haplotypes", type=int, default=5000, help="three fifths to learn from")
    parser.add_argument("--sites", type=int, default=1000)
    parser.add_argument("--passes", type=int, nargs="+", default=[20, 60])
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--alpha", type=float, default=0.3, help="pseudocount in rows")
    parser.add_argument(
        "--gaps", type=float, nargs="+", default=[20, 10, 5, 2], help="levels below the best, nats"
    )
    chosen = parser.parse_args()
    rows = simulate(chosen.haplotypes, chosen.sites)
    train, valid, test = np.split(rows, [len(rows) * 3 // 5, len(rows) * 4 // 5])
    print(f"{len(train)} / {len(valid)} / {len(test)} haplotypes of {chosen.sites} sites")
    share = (train.sum(axis=0) + 0.5) / (len(train) + 1)
    alone = np.where(test == 1, np.log(share), np.log1p(-share)).sum(axis=1).mean()
    print(f"independent sites: test {alone:.2f} nats")
    for name in chosen.structures:
        circuit = STRUCTURES[name]().build(
            train, [Bernoulli()] * chosen.sites, n_components=chosen.units, random_state=0
        )
        print(f"{name}, {chosen.units} units: {circuit.n_parameters} parameters", flush=True)
        compare(name, Learner(circuit, train, valid), test, chosen)


if __name__ == "__main__":
    main()
