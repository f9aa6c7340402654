import numpy as np
import pytest

from skpc.backends.numba_cpu import NumbaBackend
from skpc.circuit import Circuit, Input, Parameters, Program, Sum
from skpc.distributions import Categorical
from skpc.solvers import EM, Anemone, MiniBatchEM
from skpc.training import ArraySource, smoothing_statistics, train
from tests import reference


@pytest.mark.parametrize("name", sorted(reference.CIRCUITS))
def test_every_unit_gets_alpha_rows_spread_over_its_children(name):
    program = reference.make(name).program
    priors = [np.tile(f.uniform_prior(), (n, 1)) for f, n in
              zip(program.families, program.family_units)]  # fmt: skip
    smoothing = smoothing_statistics(program, 3.0, 60.0, priors)
    assert smoothing.weight == smoothing.log_likelihood == 0
    np.testing.assert_allclose(program.row_sums(smoothing.flows), 0.05, rtol=1e-12)
    for node in reference.owners(program.circuit.sums):
        share = program.read_matrix(node, smoothing.flows)
        np.testing.assert_allclose(share, 0.05 / node.n_inputs, rtol=1e-12)
    for leaf, prior in zip(smoothing.leaves, priors):
        np.testing.assert_allclose(leaf[:, 0], 0.05)
        np.testing.assert_allclose(leaf[:, 1:], 0.05 * prior)


def test_nothing_is_added_without_alpha_or_without_rows():
    program = reference.make("tree").program
    priors = [np.full((n, 1), 0.5) for n in program.family_units]
    for alpha, weight in ((0.0, 10.0), (2.0, 0.0)):
        assert not smoothing_statistics(program, alpha, weight, priors).flows.any()


@pytest.mark.parametrize("solver", [
    EM(),
    *(kind(step, 0.01, "constant") for kind in (Anemone, MiniBatchEM) for step in (0.05, 0.9)),
], ids=repr)  # fmt: skip
@pytest.mark.parametrize("batch_size", [50, 1000])
def test_the_effect_of_alpha_does_not_depend_on_the_step(solver, batch_size):
    """Three indicator leaves: the weights become (n_c + α/3) / (N + α) at any step."""
    circuit = Circuit(Sum(Input(0, Categorical(3), 3, mean=np.eye(3))))
    program = Program(circuit)
    parameters = Parameters.uniform(program)
    # All batches of 50 are alike: 30, 20 and none.
    X = np.tile(np.repeat([0.0, 1.0], [30, 20]), 2)[:, None]
    smoothing = smoothing_statistics(program, 5.0, 100.0, [np.eye(3)])
    result = train(
        NumbaBackend(program, np.float64), parameters, ArraySource(X), solver,
        smoothing=smoothing, batch_size=batch_size, max_iter=300, n_iter_no_change=1000,
    )  # fmt: skip
    expected = (np.array([60, 40, 0]) + 5 / 3) / 105
    np.testing.assert_allclose(result.parameters.weights, expected, rtol=1e-3)
