"""The torch backend: equal instructions of a level folded into batched products, on any device.

Torch is imported by the modules in here and nowhere else in skpc. Nothing in here keeps a graph for
automatic differentiation: flows are the gradient, and are written by hand.
"""

from .engine import TorchBackend

__all__ = ["TorchBackend"]
