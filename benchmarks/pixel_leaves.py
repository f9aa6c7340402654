"""Bits a pixel by the leaves of pixels: categories, or counts on a scale.

Small images: scikit-learn's digits (8 x 8, levels 0 to 16; 1200 images to learn from, 200 to
choose the pseudocount by, 397 to test), and MNIST in 14 x 14 (means of four pixels, rounded; 8000,
1000 and 1000 of its 10 000 test images). Run from the root of the repository; doc/images.md has the
tables::

    python benchmarks/pixel_leaves.py digits --structures hclt quad
    python benchmarks/pixel_leaves.py mnist --passes 6 --leaves default categories \\
        discretised_logistic
    python benchmarks/pixel_leaves.py mnist --passes 6 --leaves binomial --dtype float64

Seconds are processor time of one thread, of one training.
"""

import argparse
from time import process_time

import numpy as np
from sklearn.datasets import load_digits

from skpc import PCDensityEstimator
from skpc.datasets import bits_per_dimension, fetch_mnist
from skpc.distributions import Binomial, Categorical, DiscretisedLogistic
from skpc.structures import HCLT, PDHCLT, Quad

#: What a user writes for pixels of so many levels.
LEAVES = {
    "default": lambda n_levels: {},
    "categories": lambda n_levels: {
        "leaves": Categorical(n_levels),
        "categorical_features": None,
    },
    "discretised_logistic": lambda n_levels: {
        "leaves": DiscretisedLogistic(n_levels),
        "categorical_features": None,
    },
    "binomial": lambda n_levels: {
        "leaves": Binomial(n_levels - 1),
        "categorical_features": None,
    },
}
STRUCTURES = {
    "hclt": lambda side: HCLT(),
    "pdhclt": lambda side: PDHCLT((side, side)),
    "quad": lambda side: Quad((side, side)),
}


def images_of(name, data_home=None):
    """Images as (n, height, width), their number of levels, and where the two cuts are."""
    if name == "digits":
        return load_digits().images.astype(np.uint8), 17, [1200, 1400]
    large = fetch_mnist("test", data_home=data_home).images.reshape(-1, 14, 2, 14, 2)
    return np.rint(large.mean(axis=(2, 4))).astype(np.uint8), 256, [8000, 9000]


def measure(parts, settings):
    """Bits a pixel of the three parts, seconds of the fit, and the range of what is drawn."""
    start = process_time()
    model = PCDensityEstimator(n_jobs=1, random_state=0, **settings).fit(parts[0])
    seconds = process_time() - start
    bits = [bits_per_dimension(model.score_samples(part), part.shape[1]) for part in parts]
    drawn = model.sample(200)
    return bits, seconds, f"{drawn.min():.4g} to {drawn.max():.4g}"


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("images", choices=["digits", "mnist"])
    parser.add_argument("--structures", nargs="+", choices=STRUCTURES, default=["quad"])
    parser.add_argument("--leaves", nargs="+", choices=LEAVES, default=list(LEAVES))
    parser.add_argument("--alphas", type=float, nargs="+", default=[0.1, 0.3, 1, 3, 10])
    parser.add_argument("--units", type=int, default=16)
    parser.add_argument("--passes", type=int, default=50)
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--data-home", default=None)
    chosen = parser.parse_args()
    images, n_levels, cuts = images_of(chosen.images, chosen.data_home)
    rows = np.random.default_rng(0).permutation(images.reshape(len(images), -1))
    parts = np.split(rows, cuts)
    print("| structure | leaves | pseudocount | train | validation | test | seconds | drawn |")
    print("|---|---|---:|---:|---:|---:|---:|---|", flush=True)
    for structure in chosen.structures:
        for leaves in chosen.leaves:
            found = []
            for alpha in chosen.alphas:
                settings = {
                    "structure": STRUCTURES[structure](images.shape[1]),
                    "n_components": chosen.units,
                    "max_iter": chosen.passes,
                    "alpha": alpha,
                    "dtype": chosen.dtype,
                    **LEAVES[leaves](n_levels),
                }
                found.append((alpha, *measure(parts, settings)))
            alpha, bits, seconds, drawn = min(found, key=lambda line: line[1][1])
            cells = [structure, leaves, f"{alpha:g}", *(f"{b:.3f}" for b in bits), f"{seconds:.1f}"]
            print("| " + " | ".join([*cells, drawn]) + " |", flush=True)


if __name__ == "__main__":
    main()
