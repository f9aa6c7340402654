import numpy as np
import pytest

from skpc import datasets
from skpc.datasets import SYNTHETIC_NAMES, load_synthetic, synthetic

GENERATORS = synthetic.GENERATORS
PLANE = ("two_moons", "spiral", "pinwheel")


def draw(name, n_samples=400, **options):
    return GENERATORS[name](n_samples, **options)


@pytest.mark.parametrize("name", SYNTHETIC_NAMES)
def test_shape_and_seed(name):
    X = draw(name, random_state=3)
    assert X.shape == (400, 2 if name in PLANE else 3)
    assert X.dtype == np.float64 and np.isfinite(X).all()
    np.testing.assert_array_equal(X, draw(name, random_state=np.random.RandomState(3)))
    assert not np.array_equal(X, draw(name, random_state=4))
    assert getattr(datasets, f"make_{name}") is GENERATORS[name]


@pytest.mark.parametrize("name", SYNTHETIC_NAMES)
def test_noise_has_the_given_size(name):
    # The same seed draws the same places on the shape, so that the difference is the noise.
    exact, noisy = (draw(name, 4000, noise=s, random_state=0) for s in (0.0, 0.05))
    if name == "pinwheel":
        turn = (noisy @ [1, 1j]) / (exact @ [1, 1j])
        np.testing.assert_allclose(np.abs(turn), 1)
        difference = np.angle(turn)
    else:
        difference = noisy - exact
    assert abs(difference.mean()) < 0.004
    assert abs(difference.std() - 0.05) < 0.003


def test_default_noise():
    expected = {
        "two_moons": 0.05,
        "spiral": 0.1,
        "pinwheel": 0.2,
        "helix": 0.05,
        "knotted": 0.1,
        "lissajous": 0.1,
        "twisted_eight": 0.1,
        "interlocked_circles": 0.1,
    }
    assert set(expected) == set(SYNTHETIC_NAMES)
    for name, noise in expected.items():
        np.testing.assert_array_equal(
            draw(name, random_state=0), draw(name, noise=noise, random_state=0)
        )


# Without noise every row lies on the shape; each test states the shape by an equation that the
# generator does not use.


def test_two_moons():
    x, y = draw("two_moons", noise=0, random_state=0).T
    upper = np.isclose(np.hypot(x, y), 1) & (y >= 0)
    lower = np.isclose(np.hypot(x - 1, y - 0.5), 1) & (y <= 0.5)
    assert (upper | lower).all()
    assert 150 < upper.sum() < 250
    assert x[upper].min() < -0.98 and x[lower].max() > 1.98


def test_spiral():
    x, y = draw("spiral", 4000, noise=0, random_state=0).T
    theta = np.hypot(x, y) / 2
    arm = np.where(np.isclose(x, 2 * theta * np.cos(theta)), 1, -1)
    np.testing.assert_allclose(x, arm * 2 * theta * np.cos(theta), atol=1e-12)
    np.testing.assert_allclose(y, arm * 2 * theta * np.sin(theta), atol=1e-12)
    assert abs(arm.mean()) < 0.05
    # (theta / 2 pi)^2 is uniform.
    u = (theta / (2 * np.pi)) ** 2
    np.testing.assert_allclose(np.quantile(u, [0.1, 0.5, 0.9]), [0.1, 0.5, 0.9], atol=0.03)


def test_pinwheel():
    z = draw("pinwheel", 4000, noise=0, random_state=0) @ [1, 1j]
    # Turning by a fifth maps the arms onto each other: z^5 is real.
    np.testing.assert_allclose((z**5).imag, 0, atol=1e-10)
    radius = np.abs(z)
    assert abs(radius.mean() - 1) < 0.02 and abs(radius.std() - 0.3) < 0.02
    arms = np.round(np.angle(z) / (2 * np.pi / 5)).astype(int) % 5
    assert np.bincount(arms, minlength=5).min() > 700


def test_helix():
    x, y, z = draw("helix", noise=0, random_state=0).T
    np.testing.assert_allclose(y + 1j * z, np.exp(1j * x), atol=1e-12)
    assert x.min() > 0 and x.min() < 0.5 and x.max() < 6 * np.pi and x.max() > 6 * np.pi - 0.5


def test_knotted():
    x, y, z = draw("knotted", noise=0, random_state=0).T
    # y + ix = e^{it} - 2 e^{-2it}, so |y + ix|^2 = 5 - 4 cos 3t; and z = sin 3t.
    np.testing.assert_allclose(((5 - x**2 - y**2) / 4) ** 2 + z**2, 1, atol=1e-12)
    assert np.hypot(x, y).max() > 2.99 and np.hypot(x, y).min() < 1.01


def test_lissajous():
    x, y, z = draw("lissajous", noise=0, random_state=0).T
    np.testing.assert_allclose(x**2 + z**2, 1)
    np.testing.assert_allclose(z, 2 * y**2 - 1, atol=1e-12)
    assert x.min() < -0.99 and y.min() < -0.99


@pytest.mark.parametrize(("name", "distance"), [("twisted_eight", 2), ("interlocked_circles", 1)])
def test_perpendicular_circles(name, distance):
    x, y, z = draw(name, noise=0, random_state=0).T
    flat = z == 0
    assert 150 < flat.sum() < 250
    np.testing.assert_allclose(np.hypot(x[flat], y[flat]), 1)
    np.testing.assert_array_equal(y[~flat], 0)
    np.testing.assert_allclose(np.hypot(x[~flat] - distance, z[~flat]), 1)
    for coordinate in (x[flat], y[flat], x[~flat] - distance, z[~flat]):
        assert coordinate.min() < -0.99 and coordinate.max() > 0.99


@pytest.mark.parametrize("name", SYNTHETIC_NAMES)
def test_arguments_are_checked(name):
    with pytest.raises(ValueError, match="n_samples == 0"):
        draw(name, 0)
    with pytest.raises(TypeError, match="n_samples"):
        draw(name, 10.0)
    with pytest.raises(ValueError, match="noise == -0.1"):
        draw(name, noise=-0.1)


# The standardised splits -----------------------------------------------------------------------


@pytest.mark.parametrize("name", SYNTHETIC_NAMES)
def test_load_standardises_by_the_training_rows(name):
    dataset = load_synthetic(name, train_fraction=0.1)
    assert [len(dataset[split]) for split in ("train", "valid", "test")] == [100, 1000, 1000]
    np.testing.assert_allclose(dataset.train.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(dataset.train.std(axis=0), 1)
    # Were the held-out rows used, they would be standardised (nearly) too.
    assert np.abs(dataset.test.mean(axis=0)).max() > 1e-3

    rows = GENERATORS[name](3000, random_state=0)
    for split, expected in [
        ("train", rows[:100]),
        ("valid", rows[1000:2000]),
        ("test", rows[2000:]),
    ]:
        np.testing.assert_allclose(dataset[split] * dataset.scale + dataset.mean, expected)
    assert dataset.name == name
    assert dataset.DESCR.startswith("Draw from") and "Parameters" not in dataset.DESCR


def test_smaller_training_sets_are_parts_of_larger_ones():
    small, large = (load_synthetic("spiral", train_fraction=f, random_state=7) for f in (0.01, 1.0))
    assert len(small.train) == 10 and len(large.train) == 1000
    for split in ("train", "valid", "test"):
        a, b = (d[split] * d.scale + d.mean for d in (small, large))
        np.testing.assert_allclose(a, b[: len(a)])


def test_load_seed():
    first, again, other = (load_synthetic("helix", random_state=s).test for s in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, other)


def test_load_checks_its_arguments():
    with pytest.raises(ValueError, match="name='moons' is not a known set; choose from two_moons"):
        load_synthetic("moons")
    with pytest.raises(ValueError, match="train_fraction == 1.5"):
        load_synthetic("helix", train_fraction=1.5)
    for fraction in (0.001, 0.0, -0.5):
        with pytest.raises(ValueError, match=rf"train_fraction={fraction} leaves .* of 1000 rows"):
            load_synthetic("helix", train_fraction=fraction)
