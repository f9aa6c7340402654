"""One pass of some rows: up for their likelihoods, and down where flows are learnt from."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch

from ...circuit.program import KRONECKER, MIXING, PRODUCT
from .leaves import Leaves, make_leaves
from .mixing import KroneckerLayer, MixingLayer
from .plan import Plan
from .products import ProductLayer
from .scales import LOST_SHARE, root_result
from .sums import SumLayer
from .workspace import Model, Totals, Workspace


class Passes:
    """The layers of a plan on a device, and the memory of a pass.

    Parameters
    ----------
    plan : Plan
    dtype : torch.dtype
        Of values.
    device : torch.device
    products : {None, "tf32", "bfloat16"}
        To what the factors of float32 products are rounded in passes that learn: see the backend.
    """

    def __init__(
        self, plan: Plan, dtype: torch.dtype, device: torch.device, products: str | None = None
    ) -> None:
        self.plan, self.dtype, self.device = plan, dtype, device
        self._factors = products
        program = plan.program
        # Below one rounding per unit and term of a sum: see scales.py.
        lost = torch.finfo(dtype).tiny * (8 + int(program.units.max()))
        kinds: dict[int, Any] = {
            PRODUCT: ProductLayer,
            MIXING: MixingLayer,
            KRONECKER: KroneckerLayer,
        }
        self.layers = [
            kinds.get(layer.kind, SumLayer)(plan, layer, lost, device) for layer in plan.layers
        ]
        self.leaves: list[Leaves] = [
            make_leaves(plan, layer, i, lost, device) for i, layer in enumerate(plan.inputs)
        ]
        self._space: Workspace | None = None

    #: Takes a fifth less than ``no_grad`` where circuits are small, on a CPU.
    without_grad: ClassVar[Any] = torch.inference_mode

    def score(self, model: Model, X: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        """Log-likelihoods of rows, and bounds on the mass that was lost."""
        with self.without_grad():
            return self.up(self.workspace(len(X)), model, self.cells(model, X))

    def learn(
        self, model: Model, X: np.ndarray, weight: np.ndarray, totals: Totals
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The same, and their flows are added to the totals; damaged rows have none."""
        with self.without_grad():
            space, cells = self.workspace(len(X)), self.cells(model, X)
            row_weight = torch.from_numpy(weight).to(self.device, self.dtype)
            return self.up_and_down(space, model, cells, row_weight, totals, X)

    def workspace(self, n_rows: int) -> Workspace:
        """The memory of a pass, made when it is too small."""
        space = self._space
        if space is None or space.n_rows < n_rows:
            self._space = None
            self._space = space = Workspace(self.plan, n_rows, self.dtype, self.device)
        space.resize(n_rows)
        return space

    def forget(self) -> None:
        """Give the memory of a pass back."""
        self._space = None

    def cells(self, model: Model, X: np.ndarray) -> list[Any]:
        """What every layer of inputs reads of some rows, on the device."""
        codes = self.codes(X)
        pairs = zip(self.leaves, model.leaves, strict=True)
        return [leaf.encode(X, codes, packed) for leaf, packed in pairs]

    def codes(self, X: np.ndarray) -> torch.Tensor | None:
        """The rows on the device, None where no layer reads them there."""
        if not any(leaf.reads_codes for leaf in self.leaves):
            return None
        if X.dtype.kind not in "fiub" or (X.dtype.kind == "u" and X.itemsize > 1):
            X = np.asarray(X, dtype=np.float64)
        if min(X.strides, default=0) < 0 or not X.flags.writeable:
            X = X.copy()
        return torch.from_numpy(X).to(self.device)

    def up(self, space: Workspace, model: Model, cells: list[Any], learns: bool = False):
        """Log-likelihoods and bounds of rows whose cells are on the device."""
        for leaf, packed, cell in zip(self.leaves, model.leaves, cells, strict=True):
            leaf.up(space, packed, cell)
        space.factors = self._factors if learns else None
        for layer in self.layers:
            layer.up(space, model)
        plan = self.plan
        root = space.values[plan.place[plan.root][0]]
        return root_result(root, space.scales[plan.scale[plan.root]])

    def up_and_down(
        self, space: Workspace, model: Model, cells: list[Any], row_weight, totals: Totals, X
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Both ways, on the device but for groups of columns, which read X."""
        log_likelihood, bound = self.up(space, model, cells, learns=True)
        plan = self.plan
        space.values[plan.n_values :].zero_()
        root = plan.flow_place[plan.root][0]
        space.values[root] = torch.where(bound <= LOST_SHARE, row_weight, 0.0)
        for layer in reversed(self.layers):
            layer.down(space, model, totals)
        for leaf, packed, cell, out in zip(
            self.leaves, model.leaves, cells, totals.leaves, strict=True
        ):
            leaf.down(space, packed, cell, out, X)
        return log_likelihood, bound
