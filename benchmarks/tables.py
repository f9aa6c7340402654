"""Held-out likelihoods of tables of numbers: skpc, Gaussian mixtures, kernel densities.

``python benchmarks/tables.py iris wine pima`` prints a Markdown table: nats a row in five folds,
columns standardised, and the median seconds of a fit. For every model alike constant columns are
dropped and rounded values spread evenly over their steps. The mixture is the one of lowest BIC
among 1 to 32 components and four kinds of covariance, the kernel density has the bandwidth of the
best cross-validated score, skpc its defaults. All have one thread, and take turns fold by fold.
Anomaly benchmarks (inliers only) are read from a folder of .mat files.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from pathlib import Path
from time import perf_counter

import numpy as np
from scipy.io import loadmat
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.neighbors import KernelDensity
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from skpc import PCDensityEstimator

sys.path.insert(0, str(Path(__file__).parents[1] / "examples"))
from quick_start import continuous_tables, make_continuous

COVARIANCES = ("full", "tied", "diag", "spherical")


def read_table(name, folder, most):
    """The rows of a table that comes with scikit-learn, or the inliers of a file in a folder."""
    known = dict(continuous_tables())
    if name in known:
        return known[name]
    content = loadmat(folder / f"{name}.mat")
    X = np.asarray(content["X"], dtype=float)[content["y"].ravel() == 0]
    if len(X) > most:
        X = X[np.random.default_rng(0).choice(len(X), most, replace=False)]
    return X


def fit_mixture(X):
    """The Gaussian mixture with the lowest BIC."""
    candidates = [
        GaussianMixture(k, covariance_type=kind, reg_covar=1e-3, random_state=0).fit(X)
        for k in range(1, 33)
        if k <= len(X)
        for kind in COVARIANCES
    ]
    return min(candidates, key=lambda model: model.bic(X))


def fit_kernels(X):
    """The kernel density with the best cross-validated bandwidth."""
    widths = {"bandwidth": np.geomspace(0.05, 2.0, 18)}
    return GridSearchCV(KernelDensity(), widths, cv=5).fit(X).best_estimator_


def fit_circuit(X):
    """The default circuit."""
    return PCDensityEstimator(random_state=0, n_jobs=1).fit(X)


MODELS = {"skpc": fit_circuit, "GaussianMixture": fit_mixture, "KernelDensity": fit_kernels}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tables", nargs="+")
    parser.add_argument("--folder", type=Path, default=Path("../shared/data/odds"))
    parser.add_argument("--most", type=int, default=3000, help="rows of a table at most")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    print("| table | rows × columns | " + " | ".join(MODELS) + " | seconds a fit | ratio |")
    print("|---|---|" + "---:|" * len(MODELS) + "---|---:|")
    for name in arguments.tables:
        X = make_continuous(
            read_table(name, arguments.folder, arguments.most), np.random.default_rng(0)
        )
        scores = {model: [] for model in MODELS}
        seconds = {model: [] for model in MODELS}
        for train, test in KFold(5, shuffle=True, random_state=0).split(X):
            scaler = StandardScaler().fit(X[train])
            for model, fit in MODELS.items():
                started = perf_counter()
                fitted = fit(scaler.transform(X[train]))
                seconds[model].append(perf_counter() - started)
                scores[model].append(fitted.score_samples(scaler.transform(X[test])))
        means = [np.concatenate(scores[model]).mean() for model in MODELS]
        times = [np.median(seconds[model]) for model in MODELS]
        print(
            f"| {name} | {len(X)} × {X.shape[1]} | "
            + " | ".join(f"**{m:.2f}**" if m == max(means) else f"{m:.2f}" for m in means)
            + f" | {' / '.join(f'{t:.1f}' for t in times)} | {times[0] / times[1]:.1f} |",
            flush=True,
        )


if __name__ == "__main__":
    # One thread for all: numpy's would otherwise compete with those of the engine.
    with threadpool_limits(limits=1):
        main()
