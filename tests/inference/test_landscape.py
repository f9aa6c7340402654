import numpy as np
import pytest

from skpc.backends.numba_cpu import NumbaBackend
from skpc.inference import loss_landscape
from skpc.inference.landscape import filter_normalised
from tests import reference


def problem(name="tree", zero_fraction=0.0):
    parameters = reference.make(name, zero_fraction=zero_fraction)
    X = reference.random_rows(parameters.program.circuit, np.random.default_rng(1), 20)
    X = X[np.isfinite(reference.log_likelihood(parameters, X))]
    return NumbaBackend(parameters.program, np.float64, 1), parameters, X


@pytest.mark.parametrize("name", ["tree", "kronecker", "hmm"])
def test_a_line_goes_through_the_parameters_and_every_point_is_a_distribution(name):
    backend, parameters, X = problem(name)
    found = loss_landscape(backend, parameters, X, steps=[-2, 0, 2], random_state=0)
    here = backend.log_likelihood(parameters, X).mean()
    assert found.values[1] == pytest.approx(here, rel=1e-12)
    assert found.values[0] != pytest.approx(here, rel=1e-6)
    nothing = np.full((1, X.shape[1]), np.nan)
    whole = loss_landscape(backend, parameters, nothing, steps=[-2, 3], random_state=0)
    np.testing.assert_allclose(whole.values, 0.0, atol=1e-12)


def test_slopes_are_those_of_the_flows():
    backend, parameters, X = problem()
    direction = np.random.default_rng(0).standard_normal(parameters.program.n_weights)
    h = 1e-5
    values = loss_landscape(backend, parameters, X, directions=direction, steps=[-h, h]).values
    flows = backend.statistics(parameters, X).mean().flows
    use = parameters.program.spread_rows(parameters.program.row_sums(flows))
    slope = (flows - use * parameters.weights) @ direction
    assert (values[1] - values[0]) / (2 * h) == pytest.approx(slope, rel=1e-6)


def test_a_plane_holds_its_lines():
    backend, parameters, X = problem(zero_fraction=0.3)
    steps = [-1.0, 0.0, 1.0]
    plane = loss_landscape(backend, parameters, X, directions=2, steps=steps, random_state=3)
    assert plane.values.shape == (3, 3)
    for i, line in enumerate((plane.values[:, 1], plane.values[1])):
        alone = loss_landscape(backend, parameters, X, directions=plane.directions[i], steps=steps)
        np.testing.assert_allclose(line, alone.values, rtol=1e-12)


def test_filter_normalised_directions_are_as_long_as_the_log_weights():
    _, parameters, _ = problem()
    program = parameters.program
    direction = filter_normalised(parameters, np.random.default_rng(0))
    logs = np.log(parameters.weights)
    logs -= program.spread_rows(program.row_sums(logs) / program.row_length)
    np.testing.assert_allclose(program.row_sums(direction), 0.0, atol=1e-12)
    np.testing.assert_allclose(
        program.row_sums(direction**2), program.row_sums(logs**2), rtol=1e-10
    )


def test_weights_are_repeated_rows():
    backend, parameters, X = problem()
    weight = np.arange(len(X)) % 3
    one = loss_landscape(backend, parameters, X, weight.astype(float), steps=[1], random_state=0)
    two = loss_landscape(backend, parameters, np.repeat(X, weight, axis=0), steps=[1],
                         random_state=0)  # fmt: skip
    np.testing.assert_allclose(one.values, two.values)


@pytest.mark.parametrize("directions", [0, 3, np.ones(2), np.ones((3, 39))])
def test_other_numbers_of_directions_are_refused(directions):
    backend, parameters, X = problem()
    with pytest.raises(ValueError, match="directions"):
        loss_landscape(backend, parameters, X, directions=directions)


@pytest.mark.parametrize("directions", [1, 2])
def test_plots(directions):
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    backend, parameters, X = problem()
    found = loss_landscape(backend, parameters, X, directions=directions, steps=[-1, 0, 1])
    assert "first" in found.plot().get_xlabel() or directions == 1


def test_directions_are_drawn_from_any_kind_of_seed():
    backend, parameters, X = problem()
    kinds = (7, np.random.default_rng(7), np.random.RandomState(7), np.random.RandomState(7), None)
    found = [
        loss_landscape(backend, parameters, X, steps=[1], random_state=kind).directions
        for kind in kinds
    ]
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[2], found[3])
    assert (found[4] != found[0]).any()
