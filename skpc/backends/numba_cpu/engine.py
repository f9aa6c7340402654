"""The CPU backend: plans, packed parameters, lanes, and the guard against lost mass."""

from __future__ import annotations

import threading
from contextlib import AbstractContextManager
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from ...circuit import Parameters, Program, Statistics
from ...utils.lazy import lazy
from .. import log_curvature, log_domain
from ..base import Backend, Learnt, Mixing, TopDown, check_wanted
from ..weights import mixed_leaves
from .distinct import find_distinct
from .lanes import (
    MAX_LANES,
    allowed_threads,
    cuts,
    most_panels,
    run_lanes,
    threads_at_work,
)
from .learning import Learner, Passed
from .packing import Packed, Packer
from .plan import make_plan
from .rows import empty_data, encode_rows
from .run import FEW_BATCHES, MOST_BATCHES, MOST_WORK
from .scopes import Scoped
from .sharing import Sharing, may_share
from .simd import PANEL
from .stepper import Stepper
from .steps import LEARNT, LOST
from .tiles import LOST_SHARE, score_tiles
from .workspace import Bench

if TYPE_CHECKING:
    from .curvature import CurvatureBench

#: Rows of a tile up to 64 units, and above: four vectors of a node stay in a cache of 256 KB.
TILE_ROWS, WIDE_TILE_ROWS = 128, 64
#: Tiles a lane works through before its float32 sums are added up in float64.
LANE_TILES = 32
#: Encoded cells that a lane holds at once, 16 MB of float64.
ENCODED_NUMBERS = 1 << 21
#: Batches that are learnt one by one, at most, before several are tried again.
MOST_PATIENCE = 256


class NumbaBackend(Backend):
    """Computes a program on the CPU, in tiles of rows, lanes of tiles, threads of lanes.

    Parameters
    ----------
    program : Program
    dtype : {float32, float64}
        Of values inside a tile. Scales, leaf statistics and all sums over tiles are float64.
    n_jobs : int or None
        Threads; None means the allowed cores, and one inside a joblib worker. The result
        has the same bits for any number.
    """

    def __init__(
        self, program: Program, dtype: Any = np.float32, n_jobs: int | None = None
    ) -> None:
        self.program = program
        self.dtype = np.dtype(dtype)
        self.n_jobs = n_jobs
        #: What was computed beside the last statistics, for the call that comes next.
        self._foreseen: tuple[Parameters, TopDown] | None = None
        #: The parameters that the last step led to.
        self._ahead: Packed | None = None
        self._smoothed: tuple[Statistics, np.ndarray | None] | None = None
        #: Batches to be learnt one by one before several are tried again, now and after a failure.
        self._patience, self._impatience = 0, 1
        #: Held while batches follow each other: the run is there once.
        self._running = threading.Lock()
        wide = int(program.units.max()) > 64
        self._tile_panels = max(1, (WIDE_TILE_ROWS if wide else TILE_ROWS) // PANEL)
        # Below one rounding per unit and term of a sum: see products.py.
        self._lost = float(np.finfo(self.dtype).tiny) * (8 + int(program.units.max()))

    def __reduce__(self):
        # Buffers and tables stay behind: a copy makes its own.
        return NumbaBackend, (self.program, self.dtype, self.n_jobs)

    # -- the contract -----------------------------------------------------------------

    def at_work(self) -> AbstractContextManager:
        self._patience, self._impatience = 0, 1
        return threads_at_work(self.n_jobs)

    def prepared(self, parameters: Parameters | Packed) -> Packed:
        model = self._packer.packed(parameters)
        self._packer.fill(model)
        return model

    def log_likelihood(self, parameters: Parameters | Packed, X: np.ndarray) -> np.ndarray:
        out = np.empty(len(X))
        model = self.prepared(parameters)
        step = MAX_LANES * self._lane_tiles * self._tile_panels * PANEL
        for start in range(0, len(X), step):
            rows = X[start : start + step]
            out[start : start + step] = self._score(model, rows)
        if model is not parameters:
            self._packer.take_back(model)
        return out

    def statistics(
        self,
        parameters: Parameters | Packed,
        X: np.ndarray,
        sample_weight: np.ndarray | None = None,
        wanted: tuple[str, ...] = (),
        top_down: bool = False,
    ) -> Statistics:
        check_wanted(self.program, wanted)
        weight = self._checked_weight(X, sample_weight)
        model = self._packer.packed(parameters)
        curve = None
        if wanted:
            from .curvature import CurvaturePass

            self._packer.fill(model)
            curve = CurvaturePass(self._curving, model, wanted, self._learner.max_lanes)
        beside = partial(self._foresee, model.parameters) if top_down else None
        total = self._learner.statistics(model, X, weight, self.n_jobs, curve, beside)
        if model is not parameters:
            self._packer.take_back(model)
        return total

    def _checked_weight(self, X: np.ndarray, sample_weight: Any) -> np.ndarray | None:
        weight = sample_weight
        if weight is not None:
            weight = np.ascontiguousarray(weight, dtype=np.float64)
        if weight is not None and weight.shape != (len(X),):
            raise ValueError(f"sample_weight has shape {weight.shape}; {(len(X),)} is needed.")
        return weight

    def top_down(self, parameters: Parameters) -> TopDown:
        foreseen, self._foreseen = self._foreseen, None
        if foreseen is not None and foreseen[0] is parameters:
            return foreseen[1]
        return self._stepper.top_down(parameters)

    def _foresee(self, parameters: Parameters) -> None:
        self._foreseen = parameters, self._stepper.top_down(parameters)

    def most_batches(self, n_rows: int) -> int:
        if not self._learner.may_run(n_rows):
            return 1
        size = n_rows * (self.program.n_weights + self.program.n_variables)
        return int(np.clip(MOST_WORK // max(1, size), FEW_BATCHES, MOST_BATCHES))

    def learn(
        self,
        parameters: Parameters,
        batches: list[tuple[np.ndarray, np.ndarray | None]],
        mixings: list[Mixing],
        smoothing: Statistics | None,
    ) -> Learnt:
        rows_more = self._smoothing_of_rows(smoothing)
        if rows_more is None:
            return super().learn(parameters, batches, mixings, smoothing)
        batches = [(X, self._checked_weight(X, weight)) for X, weight in batches]
        if self._patience > 0:
            self._patience -= 1
        elif all(self._learner.may_run(len(X)) for X, _ in batches):
            found = None
            if self._running.acquire(blocking=False):
                try:
                    found = self._learn_run(parameters, batches, mixings, smoothing, rows_more)
                finally:
                    self._running.release()
            if found is not None:
                return found
        return self._learn_one(parameters, *batches[0], mixings[0], smoothing, rows_more)

    def _learn_run(self, parameters, batches, mixings, smoothing, rows_more) -> Learnt | None:
        """Learn batches in compiled code; None if already the first of them needs other means."""
        run = self._learner.run
        assert run is not None
        batches, mixings = batches[:MOST_BATCHES], mixings[:MOST_BATCHES]
        run.begin(parameters, mixings, rows_more, smoothing)
        n, came = self._learner.learn_batches(batches, self.n_jobs)
        if came == LEARNT:
            self._impatience = 1
        else:
            # Where many batches need other means, they are not tried in vain each time.
            self._patience = self._impatience
            self._impatience = min(2 * self._impatience, MOST_PATIENCE)
        if n == 0 or came == LOST:
            run.forget()  # something of the next one may be packed
            return None
        log_likelihood, weight = run.results[:n].sum(axis=0).tolist()
        new = run.read()
        if came != LEARNT:
            run.forget()
        return Learnt(n, log_likelihood, weight, new, None)

    def _learn_one(self, parameters, X, weight, mixing, smoothing, rows_more) -> Learnt:
        """Learn one batch; its statistics, where the solver must take the step."""
        model, self._ahead = self._ahead, None
        if model is None or model.parameters is not parameters:
            if model is not None:
                self._packer.take_back(model)
            model = self._packer.packed(parameters)

        def take_step(passed: Passed, sums: Statistics) -> Parameters | None:
            scale = passed.unit / sums.weight
            weights, n_threads = model.parameters.weights, passed.n_threads
            found = self._stepper.step(
                weights, mixing, scale, passed.edges, rows_more, model.arrays[0], n_threads
            )
            if found is None:
                return None
            new, use = found
            for f, leaf in enumerate(sums.leaves):
                leaf /= sums.weight
                if smoothing is not None:
                    leaf += smoothing.leaves[f]
            of_leaves = use.leaves if mixing.by_top_down else None
            means = model.parameters.leaves, sums.leaves
            leaves = mixed_leaves(self.program, *means, mixing, of_leaves)
            return Parameters(self.program, new, leaves)

        total, new = self._learner.learn(model, X, weight, self.n_jobs, take_step)
        if new is None:
            self._packer.take_back(model)
            return Learnt(0, 0.0, 0.0, parameters, total)
        self._packer.refill(model, new)
        self._ahead = model
        return Learnt(1, total.log_likelihood, total.weight, new, None)

    def _smoothing_of_rows(self, smoothing: Statistics | None) -> np.ndarray | None:
        """Smoothing of the weights of every row, None if these differ among themselves."""
        if smoothing is None:
            return self._no_use
        if self._smoothed is None or self._smoothed[0] is not smoothing:
            program = self.program
            rows = np.zeros(program.n_rows)
            rows[program.segments[:, 2]] = smoothing.flows[program.segments[:, 0]]
            alike = np.array_equal(program.spread_rows(rows), smoothing.flows)
            self._smoothed = smoothing, rows if alike else None
        return self._smoothed[1]

    @lazy
    def _no_use(self) -> np.ndarray:
        return np.zeros(self.program.n_rows)

    @lazy
    def _stepper(self) -> Stepper:
        return Stepper(self.program, self.dtype)

    # -- layout, made once ----------------------------------------------------------------

    @lazy
    def _scoring(self) -> Bench:
        plan, sharing = make_plan(self.program, training=False), self._scoring_sharing
        return Bench(plan, self.dtype, sharing if sharing is not None and sharing.pays else None)

    @lazy
    def _scoring_sharing(self) -> Sharing | None:
        return None if self._scoped is None else Sharing(self._scoped, False, self.dtype)

    @lazy
    def _learning_sharing(self) -> Sharing | None:
        scoped, scoring = self._scoped, self._scoring_sharing
        if scoped is None or scoring is None or not scoring.is_of_use:
            return None
        sharing = Sharing(scoped, True, self.dtype)
        return sharing if sharing.pays else None

    @lazy
    def _scoped(self) -> Scoped | None:
        return Scoped(self.program) if may_share(self.program, self.dtype) else None

    @lazy
    def _learner(self) -> Learner:
        return Learner(
            self.program,
            self.dtype,
            self._packer,
            self._tile_panels,
            self._lane_tiles,
            self._lost,
            self._learn_again,
            self._learning_sharing,
            self._stepper,
        )

    @lazy
    def _curving(self) -> CurvatureBench:
        from .curvature import CurvatureBench

        return CurvatureBench(self.program, self.dtype)

    @lazy
    def _packer(self) -> Packer:
        return Packer(self.program, self._scoring.plan, self.dtype)

    @lazy
    def _lane_tiles(self) -> int:
        plan = self._scoring.plan
        numbers = (plan.n_codes + plan.n_data) * self._tile_panels * PANEL
        return int(np.clip(ENCODED_NUMBERS // max(1, numbers), 1, LANE_TILES))

    # -- scoring ----------------------------------------------------------------------------

    def _score(self, model: Packed, X: np.ndarray) -> np.ndarray:
        same = None
        sharing = self._scoring.sharing
        if not self._scoring.plan.n_data and (
            sharing is None or len(X) > sharing.n_rows or not sharing.for_many
        ):
            # Scoring costs a third of learning.
            same = find_distinct(X, self.program.n_weights // 3)
        if same is not None:
            return self._score_all(model, X.take(same.first, axis=0))[same.owner]
        return self._score_all(model, X)

    def _score_all(self, model: Packed, X: np.ndarray) -> np.ndarray:
        n = len(X)
        n_threads = allowed_threads(self.n_jobs)
        n_panels = -(-n // PANEL)
        n_lanes = max(n_threads, -(-n_panels // (self._lane_tiles * self._tile_panels)))
        out, bound = np.empty((2, n_panels * PANEL))
        bench = self._scoring

        def lane(first: int, last: int) -> None:
            rows = slice(first * PANEL, last * PANEL)
            data = empty_data(bench.plan, rows.stop - rows.start)
            encode_rows(bench.plan, self.program.families, model.members, X[rows], data)
            with bench.workspace(most_panels(self._tile_panels)) as space:
                score_tiles(
                    bench.tables,
                    model.arrays,
                    data,
                    last - first,
                    self._tile_panels,
                    space.buffers,
                    self._lost,
                    out[rows],
                    bound[rows],
                    space.shared,
                    space.own,
                )

        run_lanes(
            [partial(lane, *cut) for cut in pairwise(cuts(n_panels, min(n_panels, n_lanes)))],
            n_threads,
        )
        out, bound = out[:n], bound[:n]
        damaged = np.flatnonzero(~(bound <= LOST_SHARE))
        if damaged.size:
            out[damaged] = self._score_again(model.parameters, X[damaged])
        return out

    # -- rows that may have lost mass -------------------------------------------------------

    def _score_again(self, parameters: Parameters, X: np.ndarray) -> np.ndarray:
        if self._more_exact is not None and log_domain.takes_long(self.program, len(X)):
            return self._more_exact.log_likelihood(parameters, X)
        return log_domain.log_likelihood(parameters, X)

    def _learn_again(
        self, parameters: Parameters, X: np.ndarray, weight: np.ndarray, wanted: tuple[str, ...]
    ) -> Statistics:
        if self._more_exact is not None and log_domain.takes_long(self.program, len(X)):
            return self._more_exact.statistics(parameters, X, weight, wanted)
        return log_curvature.statistics(parameters, X, weight, wanted)

    @lazy
    def _more_exact(self) -> NumbaBackend | None:
        """The same in float64, if this is not."""
        if self.dtype == np.float64:
            return None
        return NumbaBackend(self.program, np.float64, self.n_jobs)
