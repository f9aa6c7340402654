"""Expectation maximisation that prefers flat maxima of the likelihood."""

from __future__ import annotations

import numpy as np

from ..backends import Mixing
from ..circuit import Statistics
from .base import Solver
from .mixing import SMALLEST, mix
from .schedules import check_steps, scheduled_step
from .sharpness import LARGEST, automatic_part, check_strength, refuse_tied, strength_now

FORMS = ("published", "exact")


class SharpnessEM(Solver):
    """EM with a penalty on sharp sum weights: theorem 2 of Suresh et al., arXiv 2508.05537 [1]_.

    With N_nc = the sum of the flow of an edge over the training rows, every unit maximises
    Σ_c N_nc log θ_nc - μ Σ_c N_nc / θ_nc on the simplex, so that λ θ² - N θ - μ N = 0 and

        θ_nc = (N_nc + √(N_nc² + 4 λ μ N_nc)) / (2 λ).

    An edge that much data uses gains about μ rows, a rare one grows to √(μ N_nc): small
    weights, where the likelihood is curved most, are lifted most, and a weight of zero stays
    zero. It pays on very few rows and costs likelihood on many: choose μ on held-out rows. Only
    sum weights are penalised; leaves follow EM. Weights shared between nodes are refused: the
    penalty is the trace of a Hessian that has another formula for them.

    Parameters
    ----------
    mu : float, sequence of float or "auto", default=0.01
        μ. Published form: in rows of the training data, like the estimator's ``alpha``, whatever
        the batch; exact form: without a unit. A sequence is walked through during the training,
        from its first entry at the first update to its last at the last one, linearly in
        between; a stream, which has no end, uses the last one. 0 is EM. "auto": the degree of
        overfitting on held-out rows (0.5 without them) times a tenth of a typical weight,
        ‖N‖ / ‖N / θ‖ over all edges; published form: times the mean flow of a unit.
    form : {"published", "exact"}, default="published"
        Published: λ = 1, and rows are divided by their sums, so that a unit with N_n rows of flow
        feels a penalty of μ / N_n. Exact: λ is solved for at every unit so that Σ_c θ_nc = 1, the
        true maximum; it does not change with the number of rows.
    step_size : float, default=0.9
        s in (0, 1]: θ ← (1 - s) θ + s θ_new, for leaves too. 1 is the whole step.
    full_batch : bool, default=False
        Whether there is one update an epoch, from all rows, as published; not with
        ``partial_fit``. By default parameters are updated after every batch, with its flows taken
        for those of all training rows.
    schedule : {"cosine", "constant"} or Schedule, default="cosine"
        How s falls.
    min_step_size : float or "auto", default="auto"
        s at the last update of the cosine schedule.
        "auto": 0.02, or ``step_size`` where that is smaller.

    Notes
    -----
    Published is another training: ``SharpnessEM(mu, step_size=0.1, schedule="constant",
    full_batch=True)`` without a pseudocount, ``alpha=0``. On many rows its few small updates do not
    reach far: 100 of them with μ = 0.1 end at -6.22 nats a row on NLTCS and -14.88 on plants, the
    default at -6.00 and -12.68 (32 latent states, test rows). doc/sharpness.md has more.

    References
    ----------
    .. [1] Suresh et al., "Tractable sharpness-aware learning of probabilistic circuits",
       arXiv 2508.05537.

    Examples
    --------
    >>> from skpc.solvers import SharpnessEM
    >>> SharpnessEM(mu=0.5)
    SharpnessEM(mu=0.5)
    """

    full_batch: bool = False

    def __init__(
        self,
        mu=0.01,
        form="published",
        step_size=0.9,
        full_batch=False,
        schedule="cosine",
        min_step_size="auto",
    ):
        self.mu = mu
        self.form = form
        self.step_size = step_size
        self.full_batch = full_batch
        self.schedule = schedule
        self.min_step_size = min_step_size

    def check(self):
        check_strength("mu", self.mu)
        if self.form not in FORMS:
            raise ValueError(f"form={self.form!r} is not known; use one of {FORMS}.")
        check_steps(self)
        if not isinstance(self.full_batch, bool | np.bool_):
            raise ValueError(f"full_batch={self.full_batch!r} must be True or False.")

    def check_circuit(self, circuit):
        refuse_tied(circuit, "SharpnessEM")

    def update(self, state, parameters, statistics, top_down):
        """Replace the flows by what the penalty makes of them, and move towards these."""
        program = parameters.program
        totals = program.row_sums(statistics.flows)
        used = totals >= SMALLEST
        if isinstance(self.mu, str):
            strength = 0.1 * automatic_part(state) * typical_weight(parameters, statistics.flows)
            if self.form == "published" and used.any():
                strength *= float(totals[used].mean()) * state.total_weight
        else:
            strength = strength_now(self.mu, state)
        share = statistics.flows / program.spread_rows(np.where(used, totals, 1.0))
        if self.form == "published":
            with np.errstate(over="ignore"):
                felt = strength / np.where(used, totals * state.total_weight, 1.0)
        else:
            felt = strength * multipliers(program, share, strength)
        lifted = penalised(share, program.spread_rows(np.minimum(felt, LARGEST)))
        sums = program.row_sums(lifted)
        flows = lifted * program.spread_rows(np.where(used, totals / np.where(used, sums, 1), 0))
        statistics = Statistics(
            statistics.log_likelihood, statistics.weight, flows, statistics.leaves
        )
        step = Mixing(scheduled_step(self, state), by_top_down=False)
        return state.advanced(), mix(parameters, step, statistics, None)


def penalised(share, penalty):
    """Twice the positive root of θ² - q θ - m q = 0, for shares q and m = λμ/N_n."""
    return share + np.sqrt(share) * np.sqrt(share + 4 * penalty)


def multipliers(program, share, mu):
    """λ / N_n of every unit, so that its weights (q + √(q² + 4 λ μ q)) / (2 λ) add up to one.

    The sum falls and is convex in λ, so that Newton's steps from a bound below the root rise to
    it and never pass it. With S = Σ √q the bound max(1, ((√(μS² + 2) + √μ S) / 2)²), from
    √(q² + 4λμq) ≥ 2 √(λμq), is at most a factor of two away.
    """
    root = np.sqrt(mu) * program.row_sums(np.sqrt(share))
    value = np.maximum(1.0, (0.5 * (np.sqrt(root**2 + 2) + root)) ** 2)
    for _ in range(30):
        spread = program.spread_rows(value)
        inner = np.sqrt(share) * np.sqrt(share + 4 * spread * mu)
        weights = (share + inner) / (2 * spread)
        excess = program.row_sums(weights) - 1.0
        # -λ dθ/dλ = q (θ + μ) / √(q² + 4 λ μ q), from the quadratic.
        fall = np.divide(share * (weights + mu), inner, out=np.zeros_like(share), where=inner > 0)
        fall = program.row_sums(fall) / value
        step = np.divide(excess, fall, out=np.zeros_like(value), where=fall > 0)
        value = value + np.maximum(step, 0.0)
        if not (step > 1e-14 * value).any():
            break
    return value


def typical_weight(parameters, flows):
    """‖N‖ / ‖N / θ‖: slopes of likelihood and penalty in the log weights are alike at this μ."""
    at = (parameters.weights > 0) & (flows > 0)
    most = flows[at].max(initial=0.0)
    if not most >= SMALLEST:
        return 0.0
    part = flows[at] / most
    return float(np.linalg.norm(part) / np.linalg.norm(part / parameters.weights[at]))
