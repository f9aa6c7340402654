"""The default circuit: a weighted sum of circuits that suit different tables."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from ..circuit import Circuit, Parameters, Program, Sum
from ..solvers import SolverState
from ..structures import HCLT, Mixture, Structure
from ..structures.groups import gaussian_columns
from ..training import Learnt, TrainingResult
from .devices import make_backend
from .fitting import Begins, Model, draw_model, fit_model, held_out
from .tables import Table

#: Components of the mixture over all continuous columns, at most. On eleven tables 8 and 12 were
#: alike but for iris, where 12 were 0.17 nats behind.
MIXTURE_COMPONENTS = 8
#: A mixture costs the square of the continuous columns for every row and component.
MOST_GROUPED = 100
#: With fewer rows the hidden Chow-Liu tree stands alone.
FEWEST_ROWS = 20
#: Share of the rows, and most rows, that the weights of the parts are learnt from.
HELD_SHARE, MOST_HELD = 0.2, 5000
#: Above so many rows the parts are not learnt again from all of them.
REFIT_ROWS = 20_000


def parts_of(estimator: Any, encoder: Any, n_rows: int) -> list[Structure]:
    """The structures that ``structure="auto"`` mixes for a table."""
    parts: list[Structure] = [HCLT()]
    n_grouped = len(gaussian_columns(encoder.distributions))
    if 2 <= n_grouped <= MOST_GROUPED and n_rows >= FEWEST_ROWS:
        parts.append(Mixture(min(MIXTURE_COMPONENTS, estimator.n_components)))
    return parts


def fit_table(
    estimator: Any,
    table: Table,
    rng: np.random.Generator,
    *,
    begins: Begins | None = None,
    rows_to_come: int = 0,
) -> tuple[Model, TrainingResult]:
    """Structure and parameters of a table, by the estimator's arguments.

    ``structure="auto"`` mixes a hidden Chow-Liu tree over single columns and a mixture with full
    covariances over all continuous ones: the first follows skewed columns, spikes and categories,
    the second nearly collinear columns, and rows that one finds impossible the other may not.
    Both are learnt from 80 % of the rows, their weights by EM from the likelihoods of the rest,
    with a row more for each; then both are learnt again from all rows. An interruption ends all
    of it: with the tree alone where the mixture has not begun, else with both as they were learnt
    from the 80 %.

    Returns
    -------
    Model, TrainingResult
        The result is that of the part with the larger weight.
    """
    draw = partial(draw_model, estimator, table, rng, rows_to_come=rows_to_come)
    if not (isinstance(estimator.structure, str) and estimator.structure == "auto"):
        return fit_model(estimator, draw(), table, rng, begins=begins)
    first = draw(structure=HCLT())
    parts = parts_of(estimator, first.encoder, len(table.X))
    if len(parts) == 1:
        return fit_model(estimator, first, table, rng, begins=begins)
    models = [first] + [draw(structure=part, encoder=first.encoder) for part in parts[1:]]
    share = min(HELD_SHARE, MOST_HELD / len(table.X))
    held_weight = held_out(table.weights, share, rng)
    kept, held = (table.part(weight) for weight in (table.weights - held_weight, held_weight))
    trial, interrupted = _fitted(estimator, models, kept, rng, begins)
    if not trial:
        raise KeyboardInterrupt
    if len(trial) == 1:
        return trial[0]
    scores = np.column_stack([model.scores(held.X) for model, _ in trial])
    weights = stacking_weights(scores, held.weights)
    fits = trial
    if len(table.X) <= REFIT_ROWS and not interrupted:
        again, interrupted = _fitted(estimator, models, table, rng, begins)
        # What was cut short here is whole in the trial.
        fits = trial if interrupted else again
    results = [result for _, result in fits]
    main = results[int(np.argmax(weights))]
    main.converged = not interrupted and all(result.converged for result in results)
    main.interrupted = interrupted
    return joined([model for model, _ in fits], weights), main


def _fitted(
    estimator: Any,
    models: list[Model],
    table: Table,
    rng: np.random.Generator,
    begins: Begins | None,
) -> tuple[list[tuple[Model, TrainingResult]], bool]:
    """The models learnt from a table, up to one that is interrupted; whether one was."""
    fits: list[tuple[Model, TrainingResult]] = []
    for model in models:
        try:
            fits.append(fit_model(estimator, model, table, rng, begins=begins))
        except KeyboardInterrupt:
            if fits:
                fits[-1][1].interrupted, fits[-1][1].converged = True, False
            return fits, True
        if fits[-1][1].interrupted:
            return fits, True
    return fits, False


def stacking_weights(
    scores: np.ndarray, sample_weight: np.ndarray, n_iter: int = 500
) -> np.ndarray:
    """Weights of a mixture of models with fixed densities, by EM with a row more for each.

    Parameters
    ----------
    scores : ndarray of shape (n, n_models)
        Log densities of rows that no model has learnt from.
    sample_weight : ndarray of shape (n,)
    n_iter : int, default=500

    Returns
    -------
    ndarray of shape (n_models,)

    Examples
    --------
    >>> import numpy as np
    >>> stacking_weights(np.array([[-1.0, -9.0]] * 8), np.ones(8)).round(1)
    array([0.9, 0.1])
    """
    # A row that no model gives any probability tells nothing.
    top = np.maximum(scores.max(axis=1, keepdims=True), -1e300)
    density = np.exp(scores - top)
    weights = np.full(scores.shape[1], 1 / scores.shape[1])
    for _ in range(n_iter):
        share = weights * density
        total = share.sum(axis=1, keepdims=True)
        evidence = sample_weight @ (share / np.where(total > 0, total, 1)) + 1
        new = evidence / evidence.sum()
        if np.abs(new - weights).max() < 1e-12:
            break
        weights = new
    return weights


def joined(models: list[Model], weights: np.ndarray, main: int = 0) -> Model:
    """One model whose root mixes those of some models over the same encoding.

    The solver goes on from the step of the model at place ``main``, whose precision it has too.
    """
    roots = [model.circuit.root for model in models]
    root = Sum(roots, 1)
    program = Program(Circuit(root, models[0].circuit.n_variables))

    def merged(which: str) -> Parameters:
        out = Parameters.uniform(program)
        out.weights[:] = np.nan
        for model in models:
            mine = getattr(model.learnt, which)
            for node in model.circuit.sums:
                matrix = mine.program.read_matrix(node, mine.weights)
                program.write_matrix(node, matrix, out.weights)
            _copy_leaves(model.program, mine.leaves, program, out.leaves)
        program.write_matrix(root, weights[None], out.weights)
        return out

    priors = [np.zeros((n, f.n_statistics)) for f, n in zip(program.families, program.family_units)]
    for model in models:
        _copy_leaves(model.program, model.priors, program, priors)
    first = models[main]
    parameters = merged("parameters")
    shrunk = any(model.learnt.raw is not model.parameters for model in models)
    return replace(
        first,
        structure=[model.structure for model in models],  # type: ignore[misc]
        learnt=Learnt(
            parameters,
            merged("raw") if shrunk else parameters,
            SolverState(first.learnt.state.step, first.learnt.state.horizon),
        ),
        priors=priors,
        backend=make_backend(
            program,
            first.backend.dtype.name,
            first.backend.n_jobs,
            first.backend.device,
            first.backend.products,
        ),
        _unit_smoothing=None,
    )


def _copy_leaves(program: Program, leaves, other: Program, out) -> None:
    for node in program.circuit.inputs:
        family, units = program.input_slice(node)
        other_family, other_units = other.input_slice(node)
        out[other_family][other_units] = leaves[family][units]
