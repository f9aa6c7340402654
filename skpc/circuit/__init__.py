"""What a circuit is: nodes, the checked `Circuit`, and its flat form.

Here live structure and numbers: `Program`, `Parameters`, `Statistics`.
Nothing here computes on data, learns, or knows a backend.
"""

from .circuit import Circuit
from .nodes import Input, Node, Product, Sum
from .parameters import Parameters
from .program import Program
from .serialise import circuit_from_arrays, circuit_to_arrays
from .statistics import Statistics

__all__ = [
    "Circuit",
    "Input",
    "Node",
    "Parameters",
    "Product",
    "Program",
    "Statistics",
    "Sum",
    "circuit_from_arrays",
    "circuit_to_arrays",
]
