"""F = θ · ∂ log p / ∂ θ, by the autograd of a second circuit evaluator written in PyTorch."""

import numpy as np
import pytest

from skpc.backends.numba_cpu import NumbaBackend
from skpc.circuit import Input, Product
from tests import reference
from tests.reference import UNTIED

torch = pytest.importorskip("torch")


def log_likelihood(circuit, weights, leaves):
    """Sum over the rows of log p; ``weights`` {sum: matrix}, ``leaves`` {input: (n, units)}."""
    values = {}
    for node in circuit.nodes:
        if isinstance(node, Input):
            values[node] = leaves[node]
        elif isinstance(node, Product) and node.kronecker:
            first, second = (values[c] for c in node.children)
            values[node] = (first[:, :, None] * second[:, None, :]).flatten(1)
        elif isinstance(node, Product) and node.grid:
            values[node] = values[node.children[0]].unflatten(1, node.grid).mT.flatten(1)
        elif isinstance(node, Product):
            values[node] = torch.stack([values[c] for c in node.children]).prod(0)
        else:
            weight, children = weights[reference.owner(node)], [values[c] for c in node.children]
            if node.kind == "mixing":
                values[node] = torch.einsum("nkc,kc->nk", torch.stack(children, 2), weight)
                continue
            blocks = node.n_blocks
            parts = [c.reshape(len(c), blocks, -1) for c in children]
            matrix = weight.reshape(blocks, -1, node.n_inputs)
            values[node] = torch.einsum("nbi,bki->nbk", torch.cat(parts, 2), matrix).flatten(1)
    return values[circuit.root][:, 0].log().sum()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", [*UNTIED, "hmm"])
def test_flow_is_weight_times_gradient(name, dtype):
    parameters = reference.make(name, seed=7)
    program = parameters.program
    circuit = program.circuit
    X = reference.random_rows(circuit, np.random.default_rng(8), 30)
    weights = {
        node: torch.tensor(program.read_matrix(node, parameters.weights), requires_grad=True)
        for node in reference.owners(circuit.sums)
    }
    leaves = {
        leaf: torch.tensor(
            np.exp(reference.leaf_log_density(parameters, leaf, X)).T, requires_grad=True
        )
        for leaf in circuit.inputs
    }
    total = log_likelihood(circuit, weights, leaves)
    total.backward()
    actual = NumbaBackend(program, dtype).statistics(parameters, X)
    tolerance = {"float32": (2e-5, 1e-4), "float64": (1e-11, 1e-12)}[dtype]
    assert actual.log_likelihood == pytest.approx(total.item(), rel=1e-6)
    for node, weight in weights.items():
        flow = (weight * weight.grad).detach().numpy()
        np.testing.assert_allclose(program.read_matrix(node, actual.flows), flow, *tolerance)
    flow_of_units = [np.zeros(n) for n in program.family_units]
    for leaf, density in leaves.items():
        family, where = program.input_slice(leaf)
        present = ~np.isnan(X[:, leaf.variable])
        flow_of_units[family][where] += (density * density.grad)[present].detach().numpy().sum(0)
    for mine, flow in zip(actual.leaves, flow_of_units, strict=True):
        np.testing.assert_allclose(mine[:, 0], flow, *tolerance)
