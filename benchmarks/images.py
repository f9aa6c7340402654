"""Bits a pixel of MNIST digits, by structure and width.

Of the 10 000 test images 8000 are learnt from, 1000 choose the epoch, the leaves and the
pseudocount, 1000 are the test. Run from the root of the repository: ``python benchmarks/images.py``
prints the table of doc/structures.md, and this chose the leaves of narrow circuits::

    python benchmarks/images.py --structures hclt --units 16 --all \\
        --leaves categorical discretised_logistic binomial --alphas 0.3 3 10

Seconds are processor time of one thread, of the training alone.
"""

import argparse
from time import process_time

import numpy as np
from curves import Clock, Learner

from skpc.datasets import bits_per_dimension, fetch_mnist
from skpc.distributions import Binomial, Categorical, DiscretisedLogistic
from skpc.solvers import Anemone
from skpc.structures import HCLT, PD, PDHCLT, Quad

SHAPE = (28, 28)
STRUCTURES = {
    "hclt": HCLT(),
    "pdhclt": PDHCLT(SHAPE),
    "quad": Quad(SHAPE),
    "pd": PD(SHAPE, delta=4),
}
#: Structures whose units differ by more than float32 can hold.
WIDE = {"pd"}
LEAVES = {
    "categorical": Categorical(256),
    "discretised_logistic": DiscretisedLogistic(256),
    "binomial": Binomial(255),
}


def digits(data_home=None):
    """Rows to learn from, to choose by, and to test, as uint8."""
    images = fetch_mnist("test", data_home=data_home).images
    rows = np.random.default_rng(0).permutation(images.reshape(len(images), -1))
    return np.split(rows, [8000, 9000])


def measure(structure, units, leaf, alpha, parts, chosen):
    """One training: what a line of the table shows, by name."""
    train, valid, test = parts
    start = process_time()
    circuit = STRUCTURES[structure].build(
        train, [LEAVES[leaf]] * train.shape[1], n_components=units, random_state=0
    )
    built = process_time() - start
    dtype = "float64" if structure in WIDE else "float32"
    learner, clock = Learner(circuit, train, valid, dtype=dtype), Clock()
    result = learner.learn(
        Anemone(), alpha=alpha, batch_size=chosen.batch, passes=chosen.passes, clock=clock
    )
    kept = result.parameters
    likelihoods = [learner.score(kept, train), result.log_likelihood, learner.score(kept, test)]
    return {
        "structure": structure,
        "units": units,
        "leaves": leaf,
        "alpha": alpha,
        "parameters": circuit.n_parameters,
        "epochs": f"{result.best_epoch} of {len(result.history)}",
        "seconds": f"{built:.0f} + {clock.seconds[-1]:.0f}",
        **{
            part: round(bits_per_dimension(value, train.shape[1]), 4)
            for part, value in zip(("train", "validation", "test"), likelihoods)
        },
    }


def print_line(cells):
    """A line of a table, at once."""
    print("| " + " | ".join(str(cell) for cell in cells) + " |", flush=True)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--structures", nargs="+", choices=STRUCTURES, default=list(STRUCTURES))
    parser.add_argument("--units", type=int, nargs="+", default=[64])
    parser.add_argument("--leaves", nargs="+", choices=LEAVES, default=["categorical"])
    parser.add_argument("--alphas", type=float, nargs="+", default=[3, 10], metavar="ROWS")
    parser.add_argument("--passes", type=int, default=8)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--data-home", default=None)
    parser.add_argument("--all", action="store_true", help="show more than the best on validation")
    chosen = parser.parse_args()
    parts = digits(chosen.data_home)
    headed = False
    for structure in chosen.structures:
        for units in chosen.units:
            lines = []
            for leaf in chosen.leaves:
                for alpha in chosen.alphas:
                    lines.append(measure(structure, units, leaf, alpha, parts, chosen))
                    if not headed:
                        print_line(lines[0])
                        print("|---" * len(lines[0]) + "|")
                        headed = True
                    if chosen.all:
                        print_line(lines[-1].values())
            if not chosen.all:
                print_line(min(lines, key=lambda line: line["validation"]).values())


if __name__ == "__main__":
    main()
