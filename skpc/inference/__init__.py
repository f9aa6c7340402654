"""Exact queries on a circuit with parameters.

Each query is one file over `Program` and `Parameters`; no query learns or reads a table.
"""

from .sample import sample

__all__ = ["sample"]
