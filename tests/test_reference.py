"""The reference must deserve belief: its two ways to the flows agree."""

import numpy as np
import pytest

from tests import reference


@pytest.mark.parametrize("name", reference.ENUMERABLE)
@pytest.mark.parametrize("zero_fraction", [0.0, 0.4])
def test_flows_by_rule_are_flows_by_definition(name, zero_fraction):
    parameters = reference.make(name, zero_fraction=zero_fraction)
    X = reference.random_rows(parameters.program.circuit, np.random.default_rng(1), 12)
    rule = reference.flows(parameters, X)
    definition = reference.flows_by_enumeration(parameters, X)
    np.testing.assert_allclose(
        rule.log_likelihood, definition.log_likelihood, rtol=1e-12, atol=1e-12
    )
    for node, edges in definition.edges.items():
        np.testing.assert_allclose(rule.edges[node], edges, rtol=1e-9, atol=1e-13)
    for leaf in parameters.program.circuit.inputs:
        for k in range(leaf.n_units):
            np.testing.assert_allclose(
                rule.units[leaf, k], definition.units[leaf, k], rtol=1e-9, atol=1e-13
            )
