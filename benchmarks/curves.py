"""Learning curves on rows held out by the caller: what benchmarks of images and genomes share."""

from time import process_time

import numpy as np

from skpc.backends.numba_cpu import NumbaBackend
from skpc.circuit import Program
from skpc.training import (
    ArraySource,
    Monitor,
    initial_parameters,
    leaf_priors,
    smoothing_statistics,
    train,
)


class Clock(Monitor):
    """Processor seconds from the first epoch to the end of each."""

    def __init__(self):
        self.seconds = []

    def epoch_begins(self):
        if not self.seconds:
            self.start = process_time()

    def epoch_ends(self, record, parameters):
        self.seconds.append(process_time() - self.start)
        return False


class Learner:
    """A circuit and its rows, trained from the same start as often as one likes.

    The best parameters on the rows held out are kept.

    Parameters
    ----------
    circuit : Circuit
    rows, held_out : ndarray of shape (n, n_variables)
        To learn from, and to choose the epoch by.
    dtype : str, default="float32"
    seed : int, default=0
        Of start values and the order of the rows.
    """

    def __init__(self, circuit, rows, held_out, dtype="float32", seed=0):
        self.program = Program(circuit)
        self.backend = NumbaBackend(self.program, np.dtype(dtype), 1)
        self.rows, self.held_out = rows, held_out
        self.priors = leaf_priors(self.program, rows)
        self.seed = seed
        # Kernels are compiled before any clock starts.
        start = self.start_values(np.random.default_rng(seed))
        self.backend.statistics(start, rows[:1])
        self.backend.log_likelihood(start, rows[:1])

    def start_values(self, rng):
        """Random parameters."""
        return initial_parameters(self.program, "random", self.priors, rng)

    def learn(self, solver, *, alpha, batch_size, passes, clock=None):
        """Train once.

        Parameters
        ----------
        solver : Solver
        alpha : float
            Pseudocount in rows.
        batch_size, passes : int
        clock : Clock, optional

        Returns
        -------
        TrainingResult
        """
        rng = np.random.default_rng(self.seed)
        return train(
            self.backend,
            self.start_values(rng),
            ArraySource(self.rows),
            solver,
            smoothing=smoothing_statistics(self.program, alpha, len(self.rows), self.priors),
            batch_size=batch_size,
            max_iter=passes,
            n_iter_no_change=passes,
            validation=ArraySource(self.held_out),
            rng=rng,
            monitor=clock,
        )

    def score(self, parameters, rows):
        """Mean log-likelihood, nats a row."""
        return float(self.backend.log_likelihood(parameters, rows).mean())
