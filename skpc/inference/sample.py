"""Ancestral sampling: from the root down, every sum draws one of its children."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..circuit import Parameters
from ..utils.arrays import by_numpy, full, namespace, repeated, sent, to_numpy
from ..utils.random_generator import random_generator
from .branches import EVERY, LEAF, ONE, Branches, branches_of

#: Cells of the rows that descend at once: some 200 bytes each.
CELLS = 1 << 19
#: Numbers in the parameters of leaves that are drawn from at once.
PIECE = 1 << 20


def sample(parameters: Parameters, n_samples: int, random_state: Any = None) -> np.ndarray:
    """Draw rows from a normalised circuit.

    Parameters
    ----------
    parameters : Parameters
        Of arrays, or of tensors on any device.
    n_samples : int
    random_state : int, RandomState, Generator or None, default=None

    Returns
    -------
    ndarray of shape (n_samples, n_variables), float64
        Codes for finite families; NaN for variables that the circuit does not speak of.

    Examples
    --------
    >>> from skpc.circuit import Circuit, Input, Parameters, Product, Program
    >>> coins = [Input(i, "bernoulli", mean=[0.5]) for i in range(2)]
    >>> sample(Parameters.uniform(Program(Circuit(Product(coins)))), 3, random_state=0).shape
    (3, 2)
    """
    return Sampler(parameters).draw(n_samples, random_generator(random_state))


class Steps(NamedTuple):
    """Probabilities that rise from choice to choice up to one, for many draws behind each other.

    Attributes
    ----------
    shares : array of shape (choices of all,)
    first, last : array of shape (n,)
        Places of the first and the last choice.
    most : int
        Most choices that one of them has.
    """

    shares: Any
    first: Any
    last: Any
    most: int

    def draw(self, index: Any, rng: np.random.Generator) -> Any:
        """A choice each, counted from its first one, for the entries ``index``."""
        start = at = self.first[index]
        if self.most == 1:
            return at - start
        xp, last = namespace(at), self.last[index]
        height = sent(rng.random(len(at)), at)
        # A binary search of all at once. Choices of probability zero rise by nothing.
        step = 1 << ((self.most - 1).bit_length() - 1)
        while step:
            further = at + step
            passed = self.shares[xp.minimum(further, last) - 1] <= height
            at = xp.where(passed & (further <= last), further, at)
            step //= 2
        return at - start

    @classmethod
    def of_table(cls, table: Any) -> Steps:
        """Of the rows of a table (n, choices), which need not sum to one."""
        n, width = table.shape
        first = sent(np.arange(n) * width, table)
        return cls(_shares(table), first, first + (width - 1), width)


class Sampler:
    """Draws from a normalised circuit, where its parameters lie.

    All rows descend together, a step of the circuit at a time, so the cost is some array
    operations a level, and one binary search a (row, sum) pair. Random numbers are those of a
    generator of numpy everywhere: a seed means the same rows on every device, up to roundings.

    Parameters
    ----------
    parameters : Parameters
        Of arrays, or of tensors on any device.
    """

    def __init__(self, parameters: Parameters) -> None:
        self._parameters = parameters
        self._program = program = parameters.program
        self._like = weights = parameters.weights
        self._branches = branches = branches_of(program, weights)
        shares, masses, most = full(weights, len(weights), 0.0), [np.zeros(0)], 1
        for group in program.groups:
            table = group.view(weights).reshape(-1, group.cols)
            group.view(shares).reshape(-1)[:] = _shares(table)
            masses.append(to_numpy(table.sum(-1)))
            most = max(most, group.cols)
        self._columns = Steps(shares, branches.block_first, branches.block_last, most)
        self._choices = _choices(branches, np.concatenate(masses), weights)
        self._states = [self._states_of(f) for f in range(len(program.families))]

    def _states_of(self, f: int) -> Steps | None:
        """Of all units of a finite family, None for others."""
        family, mean = self._program.families[f], self._parameters.leaves[f]
        if family.n_states is None:
            return None
        if family.takes_tensors:
            return Steps.of_table(family.probabilities(mean))
        return Steps.of_table(by_numpy(family.probabilities, mean))

    def draw(self, n_samples: int, rng: np.random.Generator) -> np.ndarray:
        """Rows (n_samples, n_variables), as :func:`sample` returns them."""
        X = np.empty((n_samples, self._program.n_variables))
        at_once = max(1, CELLS // max(1, self._program.n_variables))
        for start in range(0, n_samples, at_once):
            part = X[start : start + at_once]
            part[...] = to_numpy(self._drawn(len(part), rng))
        return X

    def _drawn(self, n_samples: int, rng: np.random.Generator) -> Any:
        """Some rows, where the parameters lie."""
        program, branches, xp = self._program, self._branches, namespace(self._like)
        rows = sent(np.arange(n_samples), self._like)
        units = sent(np.full(n_samples, branches.root), self._like)
        leaves = []
        while True:
            kind = branches.kind[units]
            found = []
            for what in (LEAF, EVERY, ONE):
                mine = _taken(kind == what, rows, units)
                if not len(mine[0]):
                    continue
                if what == LEAF:
                    leaves.append(mine)
                elif what == EVERY:
                    found.append(self._every(*mine))
                else:
                    found += self._one(*mine, rng)
            if not found:
                break
            rows, units = (xp.concatenate(parts) for parts in zip(*found, strict=True))
        rows, units = (xp.concatenate(parts) for parts in zip(*leaves, strict=True))
        X = full(self._like, n_samples * program.n_variables, np.nan)
        X = X.reshape(n_samples, program.n_variables)
        family = branches.family[units]
        for f in range(len(program.families)):
            self._fill(f, X, *_taken(family == f, rows, units), rng)
        return X

    def _every(self, rows: Any, units: Any) -> tuple[Any, Any]:
        """Rows and units below products."""
        branches = self._branches
        counts = branches.count[units]
        # The first branch of a unit, less the number of branches of the units before.
        from_first = repeated(branches.first[units] - (counts.cumsum(0) - counts), counts)
        chosen = from_first + sent(np.arange(len(from_first)), self._like)
        return repeated(rows, counts), branches.target[chosen]

    def _one(self, rows: Any, units: Any, rng: np.random.Generator) -> list[tuple[Any, Any]]:
        """Rows and units below sums: a branch is drawn, then a column."""
        branches = self._branches
        chosen = branches.first[units]
        if self._choices.most > 1:
            chosen = chosen + self._choices.draw(units, rng)
        column = self._columns.draw(branches.block_row[chosen], rng)
        found = [(rows, branches.target[chosen] + column)]
        if branches.has_pairs:
            other = branches.other[chosen]
            pairs = other >= 0
            found.append((rows[pairs], other[pairs]))
        return found

    def _fill(self, f: int, X: Any, rows: Any, units: Any, rng: np.random.Generator) -> None:
        """Draw the values of leaves of a family; but for finite ones numpy does."""
        columns, place = self._branches.columns[f], self._branches.place[units]
        member, steps = self._branches.member[units], self._states[f]
        if steps is not None:
            codes = sent(np.arange(float(steps.most)), X)
            X[rows, columns[:, 0][place]] = codes[steps.draw(member, rng)]
            return
        family, mean = self._program.families[f], self._parameters.leaves[f]
        piece = max(1, PIECE // mean.shape[1])
        for start in range(0, len(rows), piece):
            part = slice(start, start + piece)
            drawn = by_numpy(lambda m: family.sample(m, rng), mean[member[part]])
            X[rows[part, None], columns[place[part]]] = drawn.reshape(-1, columns.shape[1])


def _taken(here: Any, rows: Any, units: Any) -> tuple[Any, Any]:
    """Those rows and units, without copies where it is all of them."""
    return (rows, units) if here.all() else (rows[here], units[here])


def _shares(table: Any) -> Any:
    """Of the rows of a table, added up and flattened."""
    shares = table.cumsum(-1)
    total = shares[:, -1:]
    shares /= namespace(table).where(total > 0, total, 1.0)
    return shares.reshape(-1)


def _choices(branches: Branches, mass: np.ndarray, like: Any) -> Steps:
    """Among the branches of every unit, by the masses of the rows of blocks that they are.

    On the CPU, where what adds nothing changes nothing.
    """
    owner, block_row, first, count = (
        to_numpy(a) for a in (branches.owner, branches.block_row, branches.first, branches.count)
    )
    is_sum = to_numpy(branches.kind) == ONE
    mass = np.append(mass, 0.0)[block_row]
    height = np.append(0.0, mass.cumsum())
    low, total = height[first], height[first + count] - height[first]
    share = (height[1:] - low[owner]) / np.where(total > 0, total, 1.0)[owner]
    most = int(count[is_sum].max(initial=1))
    return Steps(sent(share, like), branches.first, branches.first + branches.count - 1, most)
