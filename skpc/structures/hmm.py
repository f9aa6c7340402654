"""Hidden Markov models: columns are steps in time."""

from ..circuit import Circuit, Input, Node, Product, Sum
from .base import Structure


class HMM(Structure):
    """Hidden Markov model: a chain of latent states, one a column, each emitting its cell [1]_.

    Columns are steps in time, from left to right. Shorter sequences have missing cells (NaN) at
    their end, and the likelihood is then that of the steps that are there.

    Parameters
    ----------
    n_components : int, optional
        States; None takes the estimator's.
    homogeneous : bool, default=True
        Whether all steps have the same transition probabilities and the same emissions. The
        columns then have one encoding, learnt from all of them, for a state emits the same
        whatever the step. False: every step has its own, and columns may be of any kinds.

    Notes
    -----
    Missing cells make an array one of floats. Where all others are whole and take few different
    values (at most 64) they are taken for categories all the same; more of them, and floats
    without a missing cell, are taken for numbers. Where the cells are categories, such as words by
    their numbers, name all columns in ``categorical_features``: then nothing is guessed.

    References
    ----------
    .. [1] L. R. Rabiner, "A tutorial on hidden Markov models and selected applications in speech
       recognition", Proceedings of the IEEE 77, 1989.

    Examples
    --------
    >>> import numpy as np
    >>> from skpc import PCDensityEstimator
    >>> from skpc.structures import HMM
    >>> X = np.array([[0, 1, 0, 1], [1, 0, 1, np.nan], [0, 1, np.nan, np.nan]] * 20)
    >>> model = PCDensityEstimator(HMM(n_components=2), solver="em", random_state=0).fit(X)
    >>> bool(model.score(np.array([[1, 0, 1, 0]])) > model.score(np.array([[1, 1, 1, 1]])))
    True
    """

    def __init__(self, n_components=None, homogeneous=True):
        self.n_components = n_components
        self.homogeneous = homogeneous

    def check(self):
        super().check()
        if self.homogeneous not in (True, False):
            raise ValueError(f"homogeneous={self.homogeneous!r} must be True or False.")

    @property
    def shares_columns(self):
        return bool(self.homogeneous)

    def build(self, X, distributions, *, n_components, sample_weight=None, random_state=None):
        """Make the circuit; the rows are not looked at.

        Parameters
        ----------
        X : array of shape (n_rows, n_variables)
        distributions : sequence of length n_variables, of Distribution
            The leaf family of each step; the same for all where they share emissions.
        n_components : int
            States, where the structure has no number of its own.
        sample_weight, random_state
            Not used.

        Returns
        -------
        Circuit

        Raises
        ------
        ValueError
            If the steps share emissions, but differ in their families.
        """
        self.check()
        n_components = self.resolve_n_components(n_components)
        if self.homogeneous:
            check_one_family(self, distributions)
        emission: Input | None = None
        later: Node | None = None
        transition: list[Sum] = []
        for step in range(len(distributions) - 1, -1, -1):
            leaf = Input(step, distributions[step], n_components, share=emission)
            if later is None:
                later = leaf
            else:
                moved, sums = self.move(later, n_components, transition)
                later = Product([leaf, moved])
                transition = sums if self.homogeneous else []
            if self.homogeneous:
                emission = leaf
        assert later is not None
        return Circuit(Sum(later), len(distributions))

    def move(self, later, n_states, shared):
        """From the states of a step to those of the one before it.

        Parameters
        ----------
        later : Node
            A unit a state: the density of all later cells.
        n_states : int
        shared : list of Sum
            The sums of another step, whose weights these use; empty for their own.

        Returns
        -------
        node : Node
        sums : list of Sum
            Those that ``shared`` of the next call may be.
        """
        moved = Sum(later, n_states, share=shared[0] if shared else None)
        return moved, [moved]


def check_one_family(structure, distributions):
    """Raise ValueError unless all columns have the same distribution.

    Parameters
    ----------
    structure : Structure
        For the sentence.
    distributions : sequence of Distribution
    """
    for step, family in enumerate(distributions):
        if family != distributions[0]:
            raise ValueError(
                f"homogeneous=True shares one emission among all steps, but column 0 is "
                f"{distributions[0]!r} and column {step} is {family!r}; encode all columns alike, "
                f"or use {type(structure).__name__}(homogeneous=False)."
            )
