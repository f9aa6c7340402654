"""A mixed data frame with holes: learn it, find its oddest rows, and draw new ones.

Run it from the repository root with ``python examples/mixed_table.py``; it needs pandas and
matplotlib, and writes a figure into ``demo_output/``. The data come with scikit-learn.
"""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.datasets import load_diabetes

from skpc import PCDensityEstimator

SEED = 0
OUTPUT = Path("demo_output")


def load_patients():
    """442 patients: numbers, a category of words, a truth value, and one cell in ten missing."""
    table = load_diabetes(scaled=False, as_frame=True)
    frame = table.data[["age", "bmi", "bp", "s1", "s2", "s3"]].copy()
    # The source codes the sexes as 1 and 2 and does not say which is which.
    frame["sex"] = pd.Categorical(np.where(table.data["sex"] == 1, "one", "two"))
    frame["worse"] = pd.array(table.target > table.target.median(), dtype="boolean")
    holes = np.random.default_rng(SEED).random(frame.shape) < 0.1
    return frame.mask(pd.DataFrame(holes, columns=frame.columns))


def draw_figure(frame, drawn, flags):
    """Data and samples side by side: two collinear columns, and one column by a category."""
    figure, axes = plt.subplots(1, 3, figsize=(11, 3.4), layout="constrained")
    for ax, rows, title in zip(axes, (frame, drawn), ("data", "drawn from the model")):
        ax.scatter(rows["s1"], rows["s2"], s=6, alpha=0.5)
        ax.set(xlabel="s1", ylabel="s2", title=title, xlim=(80, 310), ylim=(20, 250))
    odd = frame[flags == -1]
    axes[0].scatter(odd["s1"], odd["s2"], s=30, facecolors="none", edgecolors="red")
    places = np.arange(2)
    for shift, rows, label in ((-0.2, frame, "data"), (0.2, drawn, "drawn")):
        share = rows.groupby("sex", observed=True)["worse"].mean().astype(float)
        axes[2].bar(places + shift, share, width=0.4, label=label)
    axes[2].set(
        xticks=places, xticklabels=["one", "two"], xlabel="sex", ylabel="share worse", ylim=(0, 0.7)
    )
    axes[2].legend()
    return figure


def main():
    """Fit, score and sample; print what was found and write the figure."""
    frame = load_patients()
    model = PCDensityEstimator(contamination=0.02, random_state=SEED).fit(frame)
    print(f"{len(frame)} rows, {int(frame.isna().sum().sum())} missing cells: {model.encoder_}")

    scores, flags = model.score_samples(frame), model.predict(frame)
    print(f"mean log density {scores.mean():.2f} nats a row; the oddest rows:")
    print(frame.iloc[np.argsort(scores)[:3]].to_string())

    # Of one patient all but the age is unknown: how likely is each answer?
    unknown = frame.head(2).mask(np.ones((2, frame.shape[1]), dtype=bool))
    unknown["age"], unknown["worse"] = 65.0, pd.array([False, True], dtype="boolean")
    chance = np.exp(model.score_samples(unknown))
    print(f"at the age of 65, worse with probability {chance[1] / chance.sum():.2f}")

    drawn = model.sample(len(frame), random_state=SEED)
    print(f"new rows have the dtypes of the data: {bool((drawn.dtypes == frame.dtypes).all())}")
    OUTPUT.mkdir(exist_ok=True)
    draw_figure(frame, drawn, flags).savefig(OUTPUT / "mixed_table.png", dpi=150)
    print(f"The figure is {OUTPUT / 'mixed_table.png'}.")


if __name__ == "__main__":
    main()
