"""How many rows a pass takes at once, and what happens when the memory does not do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

#: Memory of a pass on the CPU: values of all units should stay in its caches.
CPU_BYTES = 1 << 25
#: Rows of a pass at least on a CPU, and at most anywhere.
LEAST_ROWS, MOST_ROWS = 64, 1 << 13
#: Share of the free memory of a GPU that a pass may take: gathers and cells need room too.
FREE_SHARE = 0.6


def rows_that_fit(bytes_per_row: int, device: torch.device) -> int:
    """Rows of a pass: what the free memory holds, on a CPU what the caches hold."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        # What torch has kept of earlier passes is free as well.
        free += torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return max(1, min(MOST_ROWS, int(FREE_SHARE * free) // bytes_per_row))
    return max(LEAST_ROWS, min(MOST_ROWS, CPU_BYTES // bytes_per_row))


def with_fewer_rows(
    run: Callable[[int], Any], rows: int, device: torch.device, forget: Callable[[], None]
) -> tuple[Any, int]:
    """``run(rows)``, with half the rows as often as the memory does not do.

    Before another try ``forget`` gives back what was kept for passes of so many rows.

    Returns
    -------
    result, rows
        Of the run that succeeded.

    Raises
    ------
    MemoryError
        If one row does not fit.
    """
    while True:
        try:
            return run(rows), rows
        except torch.OutOfMemoryError as error:
            if rows == 1:
                raise MemoryError(
                    f"The circuit does not fit into the memory of device {str(device)!r}: one row "
                    "a pass is too much. Use fewer n_components, dtype='float32', or device='cpu'."
                ) from error
        # Outside the handler, whose traceback would keep the tensors of the pass.
        rows //= 2
        forget()
        if device.type == "cuda":
            torch.cuda.empty_cache()
