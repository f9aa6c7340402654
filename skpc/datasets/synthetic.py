"""Two- and three-dimensional shapes with known formulas, for experiments on generalisation.

They are the eight sets on which sharpness-regularised training was studied. The parameter along a
curve is drawn independently for every row (not taken from a grid), so that rows are a sample of
one density and any part of them is too.
"""

from inspect import cleandoc
from numbers import Integral, Real

import numpy as np
from sklearn.utils import Bunch, check_random_state, check_scalar

# Rows of the full training set, and of the validation and of the test set.
N_BASE_ROWS = 1000


def make_two_moons(n_samples: int = 100, *, noise: float = 0.05, random_state=None) -> np.ndarray:
    """Draw from two interleaving half circles in the plane.

    With t uniform on [0, pi]: (cos t, sin t) or (1 - cos t, 1/2 - sin t), each for half of the
    rows on average.

    Parameters
    ----------
    n_samples : int, default=100
        Number of rows.
    noise : float, default=0.05
        Standard deviation of the Gaussian noise added to each coordinate.
    random_state : int, RandomState instance or None, default=None
        Seed; pass an int for the same rows at every call.

    Returns
    -------
    X : ndarray of shape (n_samples, 2)

    Examples
    --------
    >>> from skpc.datasets import make_two_moons
    >>> make_two_moons(500, random_state=0).shape
    (500, 2)
    """
    rng = checked_generator(n_samples, noise, random_state)
    t = rng.uniform(0, np.pi, n_samples)
    upper = np.column_stack([np.cos(t), np.sin(t)])
    lower = np.column_stack([1 - np.cos(t), 0.5 - np.sin(t)])
    return blur(either(upper, lower, rng), noise, rng)


def make_spiral(n_samples: int = 100, *, noise: float = 0.1, random_state=None) -> np.ndarray:
    """Draw from two arms of an Archimedean spiral in the plane.

    With U uniform on [0, 1], theta = 2 pi sqrt(U) and r = 2 theta:
    +-(r cos theta, r sin theta).

    Parameters
    ----------
    n_samples : int, default=100
        Number of rows.
    noise : float, default=0.1
        Standard deviation of the Gaussian noise added to each coordinate.
    random_state : int, RandomState instance or None, default=None
        Seed; pass an int for the same rows at every call.

    Returns
    -------
    X : ndarray of shape (n_samples, 2)

    Examples
    --------
    >>> from skpc.datasets import make_spiral
    >>> make_spiral(500, random_state=0).shape
    (500, 2)
    """
    rng = checked_generator(n_samples, noise, random_state)
    theta = 2 * np.pi * np.sqrt(rng.uniform(size=n_samples))
    arm = 2 * theta[:, None] * np.column_stack([np.cos(theta), np.sin(theta)])
    return blur(either(arm, -arm, rng), noise, rng)


def make_pinwheel(n_samples: int = 100, *, noise: float = 0.2, random_state=None) -> np.ndarray:
    """Draw from five blobs around the origin of the plane.

    In polar coordinates: the radius is normal with mean 1 and standard deviation 0.3, the angle
    is 2 pi k / 5 for a uniform k plus Gaussian noise.

    Parameters
    ----------
    n_samples : int, default=100
        Number of rows.
    noise : float, default=0.2
        Standard deviation of the angle within a blob, in radians.
    random_state : int, RandomState instance or None, default=None
        Seed; pass an int for the same rows at every call.

    Returns
    -------
    X : ndarray of shape (n_samples, 2)

    Examples
    --------
    >>> from skpc.datasets import make_pinwheel
    >>> make_pinwheel(500, random_state=0).shape
    (500, 2)
    """
    rng = checked_generator(n_samples, noise, random_state)
    radius = rng.normal(1, 0.3, n_samples)
    angle = 2 * np.pi / 5 * rng.randint(5, size=n_samples) + noise * rng.normal(size=n_samples)
    return np.column_stack([radius * np.cos(angle), radius * np.sin(angle)])


def make_helix(n_samples: int = 100, *, noise: float = 0.05, random_state=None) -> np.ndarray:
    """Draw from three turns of a helix in space.

    With t uniform on [0, 6 pi]: (t, cos t, sin t).

    Parameters
    ----------
    n_samples : int, default=100
        Number of rows.
    noise : float, default=0.05
        Standard deviation of the Gaussian noise added to each coordinate.
    random_state : int, RandomState instance or None, default=None
        Seed; pass an int for the same rows at every call.

    Returns
    -------
    X : ndarray of shape (n_samples, 3)

    Examples
    --------
    >>> from skpc.datasets import make_helix
    >>> make_helix(500, random_state=0).shape
    (500, 3)
    """
    rng = checked_generator(n_samples, noise, random_state)
    t = rng.uniform(0, 6 * np.pi, n_samples)
    return blur(np.column_stack([t, np.cos(t), np.sin(t)]), noise, rng)


def make_knotted(n_samples: int = 100, *, noise: float = 0.1, random_state=None) -> np.ndarray:
    """Draw from a trefoil knot in space.

    With t uniform on [0, 2 pi]: (sin t + 2 sin 2t, cos t - 2 cos 2t, sin 3t).

    Parameters
    ----------
    n_samples : int, default=100
        Number of rows.
    noise : float, default=0.1
        Standard deviation of the Gaussian noise added to each coordinate.
    random_state : int, RandomState instance or None, default=None
        Seed; pass an int for the same rows at every call.

    Returns
    -------
    X : ndarray of shape (n_samples, 3)

    Examples
    --------
    >>> from skpc.datasets import make_knotted
    >>> make_knotted(500, random_state=0).shape
    (500, 3)
    """
    rng = checked_generator(n_samples, noise, random_state)
    t = rng.uniform(0, 2 * np.pi, n_samples)
    knot = [np.sin(t) + 2 * np.sin(2 * t), np.cos(t) - 2 * np.cos(2 * t), np.sin(3 * t)]
    return blur(np.column_stack(knot), noise, rng)


def make_lissajous(n_samples: int = 100, *, noise: float = 0.1, random_state=None) -> np.ndarray:
    """Draw from a bent Lissajous curve in space.

    With t uniform on [0, 2 pi]: (sin 2t, cos t, cos 2t).

    Parameters
    ----------
    n_samples : int, default=100
        Number of rows.
    noise : float, default=0.1
        Standard deviation of the Gaussian noise added to each coordinate.
    random_state : int, RandomState instance or None, default=None
        Seed; pass an int for the same rows at every call.

    Returns
    -------
    X : ndarray of shape (n_samples, 3)

    Examples
    --------
    >>> from skpc.datasets import make_lissajous
    >>> make_lissajous(500, random_state=0).shape
    (500, 3)
    """
    rng = checked_generator(n_samples, noise, random_state)
    t = rng.uniform(0, 2 * np.pi, n_samples)
    return blur(np.column_stack([np.sin(2 * t), np.cos(t), np.cos(2 * t)]), noise, rng)


def make_twisted_eight(
    n_samples: int = 100, *, noise: float = 0.1, random_state=None
) -> np.ndarray:
    """Draw from a figure eight whose two loops lie in perpendicular planes.

    The loops are unit circles that touch in (1, 0, 0). With t uniform on [0, 2 pi]:
    (sin t, cos t, 0) or (2 + sin t, 0, cos t), each for half of the rows on average.

    Parameters
    ----------
    n_samples : int, default=100
        Number of rows.
    noise : float, default=0.1
        Standard deviation of the Gaussian noise added to each coordinate.
    random_state : int, RandomState instance or None, default=None
        Seed; pass an int for the same rows at every call.

    Returns
    -------
    X : ndarray of shape (n_samples, 3)

    Examples
    --------
    >>> from skpc.datasets import make_twisted_eight
    >>> make_twisted_eight(500, random_state=0).shape
    (500, 3)
    """
    rng = checked_generator(n_samples, noise, random_state)
    return blur(perpendicular_circles(n_samples, 2.0, rng), noise, rng)


def make_interlocked_circles(
    n_samples: int = 100, *, noise: float = 0.1, random_state=None
) -> np.ndarray:
    """Draw from two linked circles in perpendicular planes, like neighbours in a chain.

    Each unit circle passes through the centre of the other. With t uniform on [0, 2 pi]:
    (sin t, cos t, 0) or (1 + sin t, 0, cos t), each for half of the rows on average.

    Parameters
    ----------
    n_samples : int, default=100
        Number of rows.
    noise : float, default=0.1
        Standard deviation of the Gaussian noise added to each coordinate.
    random_state : int, RandomState instance or None, default=None
        Seed; pass an int for the same rows at every call.

    Returns
    -------
    X : ndarray of shape (n_samples, 3)

    Examples
    --------
    >>> from skpc.datasets import make_interlocked_circles
    >>> make_interlocked_circles(500, random_state=0).shape
    (500, 3)
    """
    rng = checked_generator(n_samples, noise, random_state)
    return blur(perpendicular_circles(n_samples, 1.0, rng), noise, rng)


GENERATORS = {
    "two_moons": make_two_moons,
    "spiral": make_spiral,
    "pinwheel": make_pinwheel,
    "helix": make_helix,
    "knotted": make_knotted,
    "lissajous": make_lissajous,
    "twisted_eight": make_twisted_eight,
    "interlocked_circles": make_interlocked_circles,
}
SYNTHETIC_NAMES = tuple(GENERATORS)


def load_synthetic(name: str, train_fraction: float = 1.0, random_state=0) -> Bunch:
    """Draw training, validation and test rows of a synthetic set, standardised.

    3000 rows are drawn with the default noise: 1000 base rows for training, of which the first
    `train_fraction` are kept, 1000 validation rows and 1000 test rows. All are centred and scaled
    by mean and standard deviation of the kept training rows, so no held-out row is looked at.

    For one `random_state` a smaller training set is part of a larger one, and the validation and
    test rows are the same up to that scaling. A log-density in the units of the generator is the
    one in standardised units minus ``log(scale).sum()``.

    Parameters
    ----------
    name : str
        One of ``skpc.datasets.SYNTHETIC_NAMES``.
    train_fraction : float in (0, 1], default=1.0
        Share of the 1000 base rows to train on; at least two rows.
    random_state : int, RandomState instance or None, default=0
        Seed of the draw.

    Returns
    -------
    dataset : :class:`~sklearn.utils.Bunch`
        With the attributes

        train, valid, test : ndarray of shape (n_rows, 2) or (n_rows, 3)
            Standardised rows.
        mean, scale : ndarray of shape (2,) or (3,)
            What was subtracted, and then divided by.
        name : str
            As given.
        DESCR : str
            The generator's formula.

    Raises
    ------
    ValueError
        If `name` is unknown or `train_fraction` leaves fewer than two rows.

    Examples
    --------
    >>> from skpc.datasets import load_synthetic
    >>> helix = load_synthetic("helix", train_fraction=0.05)
    >>> helix.train.shape, helix.valid.shape, helix.test.shape
    ((50, 3), (1000, 3), (1000, 3))
    """
    if name not in GENERATORS:
        raise ValueError(
            f"name={name!r} is not a known set; choose from {', '.join(SYNTHETIC_NAMES)}."
        )
    check_scalar(train_fraction, "train_fraction", Real, max_val=1)
    n_train = round(train_fraction * N_BASE_ROWS)
    if n_train < 2:
        raise ValueError(
            f"train_fraction={train_fraction} leaves {n_train} of {N_BASE_ROWS} rows; "
            f"at least {2 / N_BASE_ROWS} is needed to standardise."
        )

    rows = GENERATORS[name](3 * N_BASE_ROWS, random_state=random_state)
    base, valid, test = rows.reshape(3, N_BASE_ROWS, -1)
    mean, scale = base[:n_train].mean(axis=0), base[:n_train].std(axis=0)
    return Bunch(
        train=(base[:n_train] - mean) / scale,
        valid=(valid - mean) / scale,
        test=(test - mean) / scale,
        mean=mean,
        scale=scale,
        name=name,
        DESCR=cleandoc(GENERATORS[name].__doc__ or "").partition("\n\nParameters\n")[0],
    )


def checked_generator(n_samples, noise=0.0, random_state=None):
    """Check the arguments that generators share; return the RandomState to draw from."""
    check_scalar(n_samples, "n_samples", Integral, min_val=1)
    check_scalar(noise, "noise", Real, min_val=0)
    return check_random_state(random_state)


def blur(points, noise, rng):
    """Add independent Gaussian noise to every coordinate."""
    return points + noise * rng.normal(size=points.shape)


def either(first, second, rng):
    """Take each row from one of two arrays, by the toss of a fair coin."""
    return np.where(rng.randint(2, size=(len(first), 1)) == 0, first, second)


def perpendicular_circles(n_samples, distance, rng):
    """Draw from two unit circles, one upright, with centres `distance` apart on the x axis."""
    t = rng.uniform(0, 2 * np.pi, n_samples)
    flat = np.column_stack([np.sin(t), np.cos(t), np.zeros(n_samples)])
    upright = np.column_stack([distance + np.sin(t), np.zeros(n_samples), np.cos(t)])
    return either(flat, upright, rng)
