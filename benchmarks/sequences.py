"""Perplexity of hidden Markov models on the documentation of Python's standard library.

The docstrings of all its modules, in the order of their names, are one text; its characters are
the tokens, cut into rows of 64. A tenth of the rows, drawn at random, is never learnt from. Run
from the root of the repository: ``python benchmarks/sequences.py``; doc/sequences.md has the
results.
"""

import argparse
import ast
import pathlib
import sysconfig
import time
import warnings

import numpy as np

from skpc import PCDensityEstimator
from skpc.datasets import chunk_tokens
from skpc.structures import HMM, MonarchHMM

N_STEPS = 64
#: Characters that are tokens of their own; all others are one token.
N_CHARACTERS = 63


def documentation():
    """All docstrings, as one text."""
    folder = pathlib.Path(sysconfig.get_path("stdlib"))
    texts = []
    for path in sorted(folder.glob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8", errors="replace"))
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                texts.append(ast.get_docstring(node) or "")
    return "\n".join(text for text in texts if text)


def tokens_of(text):
    """Numbers of the characters, the most frequent one 0."""
    characters = np.frombuffer(text.encode("utf-32-le"), dtype=np.uint32)
    values, inverse, counts = np.unique(characters, return_inverse=True, return_counts=True)
    rank = np.empty(len(values), dtype=np.int64)
    rank[np.argsort(-counts, kind="stable")] = np.arange(len(values))
    return np.minimum(rank, N_CHARACTERS)[inverse]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=8192, help="rows to learn from")
    parser.add_argument("--passes", type=int, default=10)
    parser.add_argument("--hmm", type=int, nargs="*", default=[16, 64, 128, 256, 512])
    parser.add_argument("--monarch", type=int, nargs="*", default=[64, 144, 400, 1024])
    settings = parser.parse_args()
    warnings.simplefilter("ignore")
    rows = chunk_tokens(tokens_of(documentation()), N_STEPS)
    order = np.random.default_rng(0).permutation(len(rows))
    rows = rows[order]
    test, train = rows[: len(rows) // 10], rows[len(rows) // 10 :][: settings.rows]
    frequency = (np.bincount(train.ravel(), minlength=N_CHARACTERS + 1) + 1) / (train.size + 64)
    print(f"{len(train)} rows to learn from, {len(test)} to test, {N_STEPS} characters each")
    print(f"characters drawn alone: perplexity {np.exp(-np.log(frequency)[test].mean()):.2f}")
    print("structure    states  parameters  perplexity (train, test)  CPU seconds a pass")
    structures = [HMM(states) for states in settings.hmm]
    structures += [MonarchHMM(states) for states in settings.monarch]
    for structure in structures:
        model = PCDensityEstimator(
            structure,
            categorical_features=np.ones(N_STEPS, dtype=bool),
            max_iter=settings.passes,
            n_jobs=1,
            random_state=0,
        )
        begin = time.process_time()
        model.fit(train)
        seconds = (time.process_time() - begin) / settings.passes
        perplexity = [np.exp(-model.score(part) / N_STEPS) for part in (train[:1024], test)]
        print(
            f"{type(structure).__name__:<12} {structure.n_components:6d} "
            f"{model.circuit_.n_parameters:11d} {perplexity[0]:12.2f} {perplexity[1]:9.2f} "
            f"{seconds:14.1f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
