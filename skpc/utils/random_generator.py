"""What draws random numbers."""

from __future__ import annotations

from typing import Any

import numpy as np


def random_generator(random_state: Any) -> np.random.Generator:
    """A numpy Generator from an int, None, a RandomState or a Generator, which is used itself.

    A RandomState moves on by one number.
    """
    if isinstance(random_state, np.random.RandomState):
        return np.random.default_rng(random_state.randint(2**31))
    return np.random.default_rng(random_state)
