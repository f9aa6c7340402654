"""Time RAT beside the torch libraries that learn the same circuits: EinsumNetworks, simple-einet.

Neither is on PyPI. Clone them and say where their packages lie (simple-einet needs tqdm, the other
``networkx<3``)::

    python benchmarks/rat_peers.py --paths simple-einet EinsumNetworks/src

All columns are halved at random three times, ten times over, with as many sums a region as input
distributions: "elementwise" products are simple-einet's "linsum", "kronecker" ones its "einsum" and
all that EinsumNetworks has. Rows are shuffled; an update follows every batch:

- Ours is anemone with its defaults and the default pseudocount. Without one many rows of batches of
  256 or fewer must be computed again in float64.
- EinsumNetworks: its online EM, with the step of its ``demo_debd.py``, where batches have 100 rows.
- simple-einet: Adam on the mean negative log-likelihood, as in its training script, with the rate
  of its generative example. Its batches are 64 by default; it has no demo with binary columns.

Libraries train in turns, epoch by epoch, in one process: shown are medians, and test
log-likelihoods of what these epochs learnt. Where an epoch would be too long, batches of it are
measured in their turn and scaled; such rows have a "~", and no log-likelihood.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.util import find_spec
from statistics import median
from time import perf_counter

import numpy as np
from epoch import start_values

from skpc.backends.numba_cpu import NumbaBackend
from skpc.circuit import Program
from skpc.datasets import fetch_debd
from skpc.distributions import Bernoulli
from skpc.solvers import Anemone, SolverState
from skpc.structures import RAT
from skpc.training import ArraySource, smoothing_statistics, train
from skpc.training.sources import n_batches

#: What all three make of the columns.
DEPTH, REPETITIONS = 3, 10

#: Rows of our pseudocount, as by default.
PSEUDOCOUNT = 0.3


@dataclass
class Peer:
    """A library at work: what trains on rows, what scores rows, and what was measured.

    ``learn`` is called with shuffled rows and makes an update after every batch; ``score`` gives
    the mean log-likelihood of rows.
    """

    library: str
    learn: Callable
    score: Callable
    n_parameters: int
    share: float = 1.0
    seconds: list[float] = field(default_factory=list)

    def turn(self, X):
        """Train on the rows, or on the share of them that there is time for."""
        rows = X[: round(self.share * len(X))]
        begin = perf_counter()
        self.learn(rows)
        self.seconds.append((perf_counter() - begin) / self.share)


# -- the libraries -----------------------------------------------------------------------------


def make_skpc(chosen, product, batch_size, X):
    """Ours."""
    structure = RAT(depth=DEPTH, n_repetitions=REPETITIONS, product=product)
    leaves = [Bernoulli()] * X.shape[1]
    circuit = structure.build(X, leaves, n_components=chosen.components, random_state=0)
    program = Program(circuit)
    backend = NumbaBackend(program, np.float32, chosen.threads)
    parameters = start_values(program)
    priors = [family.uniform_prior() for family in program.families]
    tiled = [np.tile(prior, (n, 1)) for prior, n in zip(priors, program.family_units)]
    smoothing = smoothing_statistics(program, PSEUDOCOUNT, len(X), tiled)
    # Three more batches warm it up.
    state = SolverState(horizon=n_batches(len(X), batch_size) * chosen.rounds + 3)
    rng = np.random.default_rng(0)

    def learn(rows):
        nonlocal parameters, state
        result = train(
            backend,
            parameters,
            ArraySource(rows),
            Anemone(),
            state=state,
            smoothing=smoothing,
            batch_size=batch_size,
            max_iter=1,
            rng=rng,
        )
        parameters, state = result.raw, result.state

    def score(rows):
        return float(backend.log_likelihood(parameters, rows).mean())

    return Peer("skpc", learn, score, program.n_weights + sum(program.family_units))


def torch_learner(batch_size, update):
    """Make a function that updates by every batch of float rows, in a random order."""
    import torch

    def learn(rows):
        data = torch.from_numpy(rows.astype(np.float32))
        for picked in torch.randperm(len(data)).split(batch_size):
            update(data[picked])

    return learn


def torch_scorer(log_likelihood):
    """Make a function of float rows that averages their log-likelihood."""
    import torch

    def score(rows):
        data = torch.from_numpy(rows.astype(np.float32))
        with torch.no_grad():
            parts = [log_likelihood(part).sum().item() for part in data.split(512)]
        return sum(parts) / len(rows)

    return score


def make_simple_einet(chosen, product, batch_size, X):
    """simple-einet, trained by Adam."""
    import torch
    from simple_einet.einet import Einet, EinetConfig
    from simple_einet.layers.distributions.bernoulli import Bernoulli as BernoulliLeaves

    config = EinetConfig(
        num_features=X.shape[1],
        depth=DEPTH,
        num_sums=chosen.components,
        num_leaves=chosen.components,
        num_repetitions=REPETITIONS,
        leaf_type=BernoulliLeaves,
        layer_type={"elementwise": "linsum", "kronecker": "einsum"}[product],
    )
    model = Einet(config)
    optimiser = torch.optim.Adam(model.parameters(), lr=chosen.rate)

    def update(batch):
        optimiser.zero_grad()
        (-model(batch).mean()).backward()
        optimiser.step()

    n_parameters = sum(p.numel() for p in model.parameters())
    return Peer(
        "simple-einet", torch_learner(batch_size, update), torch_scorer(model), n_parameters
    )


def make_einsum_networks(chosen, product, batch_size, X):
    """EinsumNetworks, trained by its EM; it has no elementwise products."""
    if product != "kronecker":
        return None
    from EinsumNetwork import EinsumNetwork, Graph

    graph = Graph.random_binary_trees(X.shape[1], depth=DEPTH, num_repetitions=REPETITIONS)
    arguments = EinsumNetwork.Args(
        num_var=X.shape[1],
        num_input_distributions=chosen.components,
        num_sums=chosen.components,
        exponential_family=EinsumNetwork.CategoricalArray,
        exponential_family_args={"K": 2},
        online_em_frequency=1,
        online_em_stepsize=0.05,
    )
    model = EinsumNetwork.EinsumNetwork(graph, arguments)
    model.initialize()

    def update(batch):
        EinsumNetwork.log_likelihoods(model(batch)).sum().backward()
        model.em_process_batch()

    n_parameters = sum(p.numel() for p in model.parameters())
    learn = torch_learner(batch_size, update)
    return Peer("EinsumNetworks", learn, torch_scorer(model), n_parameters)


def importable():
    """What there is to make peers with, ours first."""
    makers = {"simple_einet": make_simple_einet, "EinsumNetwork": make_einsum_networks}
    return [make_skpc, *(make for name, make in makers.items() if find_spec(name))]


# -- measuring and printing --------------------------------------------------------------------


def warm_up(peer, X, batch_size, limit):
    """Run three batches, and see what share of an epoch fits `limit` seconds."""
    peer.learn(X[:batch_size])
    begin = perf_counter()
    peer.learn(X[batch_size : 3 * batch_size])
    whole = (perf_counter() - begin) / 2 * n_batches(len(X), batch_size)
    if whole > limit:
        n_measured = max(2, round(limit / whole * len(X) / batch_size))
        peer.share = min(1.0, n_measured * batch_size / len(X))


def compare(chosen, product, batch_size, data):
    """Train all peers in turns."""
    made = [make(chosen, product, batch_size, data.train) for make in importable()]
    peers = [peer for peer in made if peer is not None]
    for peer in peers:
        warm_up(peer, data.train, batch_size, chosen.limit)
    for _ in range(chosen.rounds):
        for peer in peers:
            peer.turn(data.train)
    return peers


def print_rows(product, batch_size, peers, data):
    """Print a line for every library."""
    ours = median(peers[0].seconds)
    for peer in peers:
        seconds = median(peer.seconds)
        whole = peer.share == 1
        score = f"{peer.score(data.test):.3f}" if whole else ""
        about = "" if whole else "~"
        print(
            f"| {product} | {batch_size} | {peer.library} | {peer.n_parameters:,} "
            f"| {about}{seconds:.3g} | {about}{seconds / ours:.1f} | {score} |",
            flush=True,
        )


def main():
    """Read the arguments, measure, print."""
    n_cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--paths", nargs="+", default=[], help="folders of the peers' packages")
    parser.add_argument("--set", default="nltcs")
    parser.add_argument("--products", nargs="+", default=["elementwise", "kronecker"])
    parser.add_argument("--batches", nargs="+", type=int, default=[100, 512])
    parser.add_argument("--components", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5, help="epochs of each")
    parser.add_argument("--threads", type=int, default=n_cores)
    parser.add_argument("--rate", type=float, default=0.1, help="Adam's, of simple-einet")
    parser.add_argument("--limit", type=float, default=30.0, help="seconds a measured turn")
    chosen = parser.parse_args()
    sys.path.extend(chosen.paths)
    if len(importable()) > 1:
        import torch

        torch.set_num_threads(chosen.threads)
        torch.manual_seed(0)
    data = fetch_debd(chosen.set)
    print(
        "| products | batch | library | parameters | s an epoch | ratio to ours "
        f"| test nats a row after {chosen.rounds} |"
    )
    print("|---|---:|---|---:|---:|---:|---:|")
    for product in chosen.products:
        for batch_size in chosen.batches:
            print_rows(product, batch_size, compare(chosen, product, batch_size, data), data)


if __name__ == "__main__":
    main()
