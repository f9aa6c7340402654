"""What counts as a number."""

from __future__ import annotations

from numbers import Real
from typing import Any

import numpy as np


def is_number(value: Any) -> bool:
    """Whether it is a real number; True and False are none."""
    return isinstance(value, Real) and not isinstance(value, bool)


def is_whole(value: Any, least: int) -> bool:
    """Whether it is an integer of at least `least`; True and False are none."""
    integer = isinstance(value, int | np.integer) and not isinstance(value, bool)
    return bool(integer and value >= least)
