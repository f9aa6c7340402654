"""Mixed tables of known density: how far the defaults are from the truth.

``python benchmarks/mixed_tables.py`` fits 20 000 rows of each as data frames and prints the mean
log densities of 5000 others, by the truth and by the model, the largest Kolmogorov-Smirnov distance
of a column of numbers and the smallest p-value of a chi-square test of a column of whole numbers
between as many samples and the data, and seconds; then the same with 30 % of the cells missing.
"""

from __future__ import annotations

from time import perf_counter

import numpy as np
import pandas as pd
from scipy import stats

from skpc import PCDensityEstimator
from skpc.datasets import make_mixed_chain, make_mixed_clusters, make_mixed_skewed

ROWS, TEST_ROWS, MISSING = 20_000, 5000, 0.3


def frame_of(table):
    """A frame with whole numbers where they are."""
    frame = pd.DataFrame(table.X).astype(dict.fromkeys(table.whole, "Int64"))
    return frame.rename(columns=str)


def distances(model, frame, whole):
    """Largest KS distance of a column of numbers, smallest chi-square p-value of the others."""
    drawn = model.sample(len(frame), random_state=0)
    largest, smallest = 0.0, 1.0
    for j, name in enumerate(frame.columns):
        sample, data = drawn[name].to_numpy(float), frame[name].to_numpy(float)
        if j in whole:
            values = np.unique(data)
            table = np.array([[(rows == v).sum() for v in values] for rows in (sample, data)])
            table = table[:, table.sum(axis=0) >= 10]
            smallest = min(smallest, stats.chi2_contingency(table).pvalue)
        else:
            largest = max(largest, stats.ks_2samp(sample, data).statistic)
    return largest, smallest


def main():
    """Print a Markdown table."""
    print("| table | the truth | skpc | KS | chi-square p | s | 30 % missing | gain lost |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|")
    for make in (make_mixed_clusters, make_mixed_chain, make_mixed_skewed):
        train, test = make(ROWS, random_state=0), make(TEST_ROWS, random_state=1)
        frame, other = frame_of(train), frame_of(test)
        started = perf_counter()
        model = PCDensityEstimator(random_state=0).fit(frame)
        seconds = perf_counter() - started
        holes = np.random.default_rng(3).random(frame.shape) < MISSING
        partly = PCDensityEstimator(random_state=0).fit(
            frame.mask(pd.DataFrame(holes, columns=frame.columns))
        )
        independent = PCDensityEstimator("hclt", n_components=1, random_state=0).fit(frame)
        whole_score, part_score = model.score(other), partly.score(other)
        lost = (whole_score - part_score) / (whole_score - independent.score(other))
        largest, smallest = distances(model, frame, train.whole)
        print(
            f"| {make.__name__} | {test.log_density(test.X).mean():.3f} | {whole_score:.3f} "
            f"| {largest:.3f} | {smallest:.3f} | {seconds:.0f} | {part_score:.3f} | {lost:.1%} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
