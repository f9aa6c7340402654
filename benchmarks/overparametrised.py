"""Consecutive sums against one: the curves of figure 3 of Trapp, Peharz and Pernkopf (2019).

``python benchmarks/overparametrised.py`` learns mixtures of 8 components on the training rows of
NLTCS by plain gradient ascent on unnormalised weights, each weight being a product of L = 1, 2, 3
weights along as many sums, and prints the mean log-likelihood at some iterations; the better of
two starts. Components are products of sums over two indicators that start at (1/2, 1/2), all other
weights start at 1e-4. ``--broken`` sets by how much starts differ, as a share: with 0 all
components stay alike, and L makes no difference.
"""

from __future__ import annotations

import argparse

import numpy as np

from skpc.backends.numba_cpu import NumbaBackend
from skpc.circuit import Circuit, Input, Parameters, Product, Program, Sum
from skpc.datasets import fetch_debd
from skpc.distributions import Indicator
from skpc.structures.mixture import sum_sizes
from skpc.training.linear_ascent import linear_ascent

PUBLISHED = {
    1: (-9.68, -8.44, -7.87, -7.73, -7.56, -7.06),
    2: (-9.62, -8.13, -7.56, -7.23, -7.06, -7.04),
    3: (-9.71, -7.99, -7.31, -7.10, -7.05, -7.05),
}
SHOWN = (50, 100, 150, 200, 300, 500)
START = 1e-4


def deep_mixture(n_variables, depth, n_components=8):
    """Products of sums over indicators, mixed by consecutive sums; weights still to be set."""
    leaves = [Input(i, Indicator(2), 2, mean=np.eye(2)) for i in range(n_variables)]
    parts = [Sum(leaf, n_components) for leaf in leaves]
    node = Product(parts)
    for size in sum_sizes(n_components, depth):
        node = Sum([node], size, kind="block", n_blocks=size)
    return Circuit(node, n_variables), parts


def start_values(circuit, parts, broken, rng):
    """(1/2, 1/2) for every column of every component, 1e-4 above, and some noise on all."""
    parameters = Parameters.uniform(Program(circuit))
    parameters.weights[:] = START
    for part in parts:
        parameters.program.write_matrix(part, np.full((part.n_units, 2), 0.5), parameters.weights)
    parameters.weights *= 1 + broken * rng.random(parameters.weights.size)
    return parameters


def curve(X, depth, broken, seed, n_iter):
    """Mean log-likelihood before every step."""
    circuit, parts = deep_mixture(X.shape[1], depth)
    start = start_values(circuit, parts, broken, np.random.default_rng(seed))
    backend = NumbaBackend(start.program, np.float64)
    return linear_ascent(backend, start, X, n_iter=n_iter).curve


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--broken", type=float, nargs="+", default=[0.0, 0.01, 0.1, 1.0])
    parser.add_argument("--iterations", type=int, default=500)
    arguments = parser.parse_args()
    X = fetch_debd("nltcs").train
    print("| noise | L | " + " | ".join(f"{i}" for i in SHOWN) + " |")
    print("|---|---:|" + "---:|" * len(SHOWN))
    for depth, values in PUBLISHED.items():
        print(f"| published | {depth} | " + " | ".join(f"{v:.2f}" for v in values) + " |")
    for broken in arguments.broken:
        for depth in (1, 2, 3):
            runs = [curve(X, depth, broken, seed, arguments.iterations) for seed in (0, 1)]
            best = max(runs, key=lambda run: run[-1])
            values = [f"{best[i - 1]:.2f}" if i <= len(best) else "" for i in SHOWN]
            print(f"| {broken:g} | {depth} | " + " | ".join(values) + " |", flush=True)


if __name__ == "__main__":
    main()
