"""Quick start: learn densities of real tables, compare held-out scores, find odd rows.

Run it from the repository root with ``make demo``, or ``python examples/quick_start.py``. It
writes a table and a figure into ``demo_output/``; all data but one set come with scikit-learn.
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path
from time import perf_counter

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_iris, load_wine
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import GridSearchCV, KFold, train_test_split
from sklearn.neighbors import KernelDensity
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from skpc import PCDensityEstimator
from skpc.datasets import fetch_debd

SEED = 0
OUTPUT = Path("demo_output")
LOCAL_DATA = Path("../shared/data")
PUBLISHED_NLTCS = "-6.00"  # best published hidden Chow-Liu tree, nats a row


# -- part 1: tables of numbers, beside two other density models --------------------------------


def continuous_tables():
    """Yield the name and the rows of four tables that come with scikit-learn."""
    yield "iris", load_iris().data
    yield "wine", load_wine().data
    yield "breast_cancer", load_breast_cancer().data
    yield "diabetes", load_diabetes(scaled=False).data


def make_continuous(X, rng):
    """Drop constant columns; spread rounded values evenly over the steps they were rounded to.

    A model that puts a narrow spike on a value that occurs often can score as high as it likes.
    Uniform noise as wide as the smallest step takes that advantage from every model alike. A
    column counts as rounded when its values occur twice or more on average.
    """
    columns = []
    for column in X.T:
        values = np.unique(column.round(9))
        if len(values) == 1:
            continue
        if len(values) <= len(column) / 2:
            step = np.diff(values).min()
            column = column + rng.uniform(-step / 2, step / 2, len(column))
        columns.append(column)
    return np.column_stack(columns)


def fit_mixture(X):
    """Fit the Gaussian mixture with the lowest BIC over its size and its covariances."""
    candidates = [
        GaussianMixture(k, covariance_type=kind, reg_covar=1e-3, random_state=SEED).fit(X)
        for k in range(1, 6)
        for kind in ("full", "tied", "diag")
    ]
    return min(candidates, key=lambda model: model.bic(X))


def fit_kernels(X):
    """Fit a kernel density with the bandwidth of the best cross-validated score."""
    widths = {"bandwidth": np.geomspace(0.1, 2.0, 14)}
    return GridSearchCV(KernelDensity(), widths, cv=5).fit(X).best_estimator_


def fit_circuit(X):
    """Fit a circuit with the default settings."""
    return PCDensityEstimator(random_state=SEED).fit(X)


MODELS = {
    "skpc, defaults": fit_circuit,
    "GaussianMixture": fit_mixture,
    "KernelDensity": fit_kernels,
}


def held_out_score(fit, X):
    """Mean log-likelihood of rows the model has not seen, five folds, and seconds a fit."""
    scores, seconds = [], []
    for train, test in KFold(5, shuffle=True, random_state=SEED).split(X):
        scaler = StandardScaler().fit(X[train])
        started = perf_counter()
        model = fit(scaler.transform(X[train]))
        seconds.append(perf_counter() - started)
        scores.append(model.score_samples(scaler.transform(X[test])))
    return np.concatenate(scores).mean(), np.median(seconds)


def compare_models():
    """Score every model on every table; return the lines of a Markdown table."""
    lines = [
        "| table | rows × columns | " + " | ".join(MODELS) + " | seconds a fit |",
        "|---|---|" + "---:|" * len(MODELS) + "---|",
    ]
    for name, X in continuous_tables():
        X = make_continuous(X, np.random.default_rng(SEED))
        results = [held_out_score(fit, X) for fit in MODELS.values()]
        best = max(score for score, _ in results)
        marked = [f"**{score:.2f}**" if score == best else f"{score:.2f}" for score, _ in results]
        seconds = " / ".join(f"{second:.2f}" for _, second in results)
        size = f"{X.shape[0]} × {X.shape[1]}"
        lines.append(f"| {name} | {size} | " + " | ".join(marked) + f" | {seconds} |")
    return lines


# -- part 2: discrete tables -------------------------------------------------------------------


def score_discrete(name, train, test, published=""):
    """Fit on train, score on test; return the model and one line of a Markdown table."""
    started = perf_counter()
    model = PCDensityEstimator(random_state=SEED).fit(train)
    seconds = perf_counter() - started
    # One component means one product of columns: the columns are independent.
    independent = PCDensityEstimator(n_components=1, random_state=SEED).fit(train)
    line = (
        f"| {name} | {len(train)} + {len(test)} × {train.shape[1]} | {model.score(test):.2f} "
        f"| {independent.score(test):.2f} | {published} | {seconds:.1f} | {model.n_iter_} |"
    )
    return model, line


def load_inked_digits():
    """Load 1797 handwritten digits of 8 × 8 pixels, each pixel with ink (1) or without (0)."""
    return (load_digits().data >= 8).astype(np.uint8)


def load_nltcs():
    """Load the NLTCS survey where it is at hand, or return None: the demo downloads nothing."""
    home = LOCAL_DATA if LOCAL_DATA.is_dir() else None
    try:
        return fetch_debd("nltcs", data_home=home, download_if_missing=False)
    except FileNotFoundError:
        return None


# -- the figure --------------------------------------------------------------------------------


def show_marginal(ax):
    """Draw the density of two columns, by a model that was fitted to all thirteen.

    Missing cells are integrated out, so NaN in the other columns gives the exact marginal.
    """
    wine = load_wine()
    x, y = (wine.feature_names.index(name) for name in ("flavanoids", "color_intensity"))
    model = fit_circuit(wine.data)

    low, high = wine.data.min(axis=0), wine.data.max(axis=0)
    margin = 0.08 * (high - low)
    across = np.linspace(low[x] - margin[x], high[x] + margin[x], 160)
    up = np.linspace(low[y] - margin[y], high[y] + margin[y], 160)
    grid_x, grid_y = np.meshgrid(across, up)
    rows = np.full((grid_x.size, wine.data.shape[1]), np.nan)
    rows[:, x], rows[:, y] = grid_x.ravel(), grid_y.ravel()
    density = np.exp(model.score_samples(rows)).reshape(grid_x.shape)

    levels = np.linspace(0.02, 1, 12) * density.max()
    ax.contourf(grid_x, grid_y, density, levels=levels, cmap="Blues")
    ax.scatter(wine.data[:, x], wine.data[:, y], s=9, c="black", alpha=0.7, linewidths=0)
    ax.set(xlabel="flavanoids", ylabel="colour intensity")
    ax.set_title("Two columns of the wine table:\nthe other eleven are integrated out", fontsize=11)


def show_images(figure, title, images, model):
    """Show some digits side by side, each with its log-likelihood below."""
    figure.suptitle(title, fontsize=11)
    scores = model.score_samples(images)
    for ax, image, score in zip(figure.subplots(1, len(images)), images, scores):
        ax.imshow(image.reshape(8, 8), cmap="gray_r", vmin=0, vmax=1)
        ax.set(xticks=[], yticks=[])
        ax.set_xlabel(f"−{abs(score):.0f} nats", fontsize=9, labelpad=3)


def draw_figure(model, images):
    """Put a density on the left; drawn digits, and the oddest of some images, on the right."""
    figure = plt.figure(figsize=(10, 3.7), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=[1, 1.5])
    show_marginal(left.subplots())

    upper, lower = right.subfigures(2, 1)
    drawn = model.sample(6, random_state=SEED)
    oddest = images[np.argsort(model.score_samples(images))[:6]]
    show_images(upper, "New digits, drawn from the model", drawn, model)
    show_images(lower, f"The least likely of {len(images)} digits it has not seen", oddest, model)
    return figure


# -- all together ------------------------------------------------------------------------------


def compile_kernels():
    """Fit small tables in both precisions: the first fit in each compiles, which is not timed."""
    numbers = np.random.default_rng(SEED).normal(size=(300, 4))
    for X in (numbers, (numbers > 0).astype(np.uint8)):
        for dtype in ("float32", "float64"):
            PCDensityEstimator(dtype=dtype, max_iter=2, random_state=SEED).fit(X).score(X)


def write_report():
    """Run everything; return the lines of the report and the figure."""
    train, test = train_test_split(load_inked_digits(), test_size=0.3, random_state=SEED)
    digit_model, line = score_discrete("digits", train, test)
    discrete = [
        "| table | rows × columns | skpc | independent columns | published | seconds | epochs |",
        "|---|---|---:|---:|---:|---:|---:|",
        line,
    ]
    nltcs = load_nltcs()
    if nltcs is not None:
        discrete.append(score_discrete("NLTCS", nltcs.train, nltcs.test, PUBLISHED_NLTCS)[1])
    report = [
        "# Quick start",
        "",
        "Mean log-likelihood of rows not seen in training, nats a row; higher is better.",
        "",
        "Tables of numbers, five folds. Columns are standardised, and rounded values are spread",
        "evenly over their steps, for every model alike. GaussianMixture chooses size and",
        "covariances by BIC, KernelDensity its bandwidth by cross-validation. The seconds a fit",
        "are in the order of the columns.",
        "",
        *compare_models(),
        "",
        "Tables of zeros and ones: rows to learn from + rows to score. skpc has its defaults;",
        "seconds and epochs are those of its fit.",
        "",
        *discrete,
    ]
    return report, draw_figure(digit_model, test)


def main():
    """Print the tables, and write them and the figure into demo_output/."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--figure", type=Path, help="also write the figure to this file")
    also = parser.parse_args().figure
    started = perf_counter()
    warnings.simplefilter("ignore", ConvergenceWarning)  # small mixtures that need more steps
    # On matrices this small, threads of the linear algebra cost more than they bring.
    with threadpool_limits(limits=1, user_api="blas"):
        compile_kernels()
        report, figure = write_report()
    OUTPUT.mkdir(exist_ok=True)
    (OUTPUT / "quick_start.md").write_text("\n".join(report) + "\n", encoding="utf-8")
    for path in filter(None, [OUTPUT / "quick_start.png", also]):
        figure.savefig(path, dpi=150)
    print("\n".join(report))
    print(f"\nWritten to {OUTPUT}/ in {perf_counter() - started:.0f} s.")


if __name__ == "__main__":
    main()
