import numpy as np
import pytest

from skpc.datasets import (
    assemble_patches,
    bits_per_dimension,
    extract_patches,
    rgb_to_ycocg,
    rgb_to_ycocg_r,
    ycocg_r_to_rgb,
    ycocg_to_rgb,
)


def colours(step):
    """Every `step`-th value of each channel, with 0 and 255, as an image of one row."""
    values = np.unique(np.append(np.arange(0, 256, step), 255)).astype(np.uint8)
    return np.stack(np.meshgrid(values, values, values, indexing="ij"), axis=-1)


def test_ycocg_r_loses_nothing():
    rgb = colours(5)
    found = rgb_to_ycocg_r(rgb)
    assert found.shape == rgb.shape
    assert (found[..., 0].min(), found[..., 0].max()) == (0, 255)
    for channel in (1, 2):
        assert (found[..., channel].min(), found[..., channel].max()) == (1, 511)
    np.testing.assert_array_equal(ycocg_r_to_rgb(found), rgb)
    assert len(np.unique(found.reshape(-1, 3), axis=0)) == rgb.size // 3


def test_ycocg_r_refuses_what_no_colour_has():
    with pytest.raises(ValueError, match="the transform of no colour"):
        ycocg_r_to_rgb([[0, 511, 511]])
    np.testing.assert_array_equal(ycocg_r_to_rgb([[0, 511, 511]], clip=True), [[1, 128, 0]])


def test_ycocg_by_the_formulas():
    rgb = colours(15)
    r, g, b = np.moveaxis(rgb / 255, -1, 0)
    y, co, cg = r / 4 + g / 2 + b / 4, r - b, g - r / 2 - b / 2
    expected = (np.stack([2 * y - 1, co, cg], axis=-1) + 1) / 2 * 255
    assert np.abs(rgb_to_ycocg(rgb) - expected).max() <= 0.5 + 1e-9


def test_ycocg_and_back_is_near():
    rgb = colours(5)
    assert np.abs(ycocg_to_rgb(rgb_to_ycocg(rgb)).astype(int) - rgb).max() == 1


def test_colours_of_samples_are_floats():
    rgb = colours(51)
    for there, back in ((rgb_to_ycocg, ycocg_to_rgb), (rgb_to_ycocg_r, ycocg_r_to_rgb)):
        drawn = there(rgb)
        np.testing.assert_array_equal(back(drawn.astype(float)), back(drawn))


@pytest.mark.parametrize(("back", "images", "message"), [
    (ycocg_r_to_rgb, [[0.5, 256, 256]], "holds 0.5.*whole numbers"),
    (ycocg_r_to_rgb, [[np.nan, 256, 256]], "holds nan.*whole numbers"),
    (ycocg_r_to_rgb, [[1e300, 256, 256]], r"holds 1e\+300.*whole numbers"),
    (ycocg_to_rgb, [[300, 128, 128]], "from 128 to 300.*from 0 to 255"),
    (ycocg_to_rgb, [[-1, 128, 128]], "from -1 to 128.*from 0 to 255"),
    (ycocg_to_rgb, [[np.nan, 128, 128]], "from nan to nan.*fill in"),
    (ycocg_r_to_rgb, [1, 2], r"shape \(2,\)"),
    (ycocg_to_rgb, [["a", "b", "c"]], "dtype <U1"),
])  # fmt: skip
def test_numbers_that_stand_for_no_colours(back, images, message):
    with pytest.raises(ValueError, match=message):
        back(images)


@pytest.mark.parametrize("images", [np.zeros((2, 3)), np.zeros((2, 4), dtype=np.uint8)])
@pytest.mark.parametrize("transform", [rgb_to_ycocg, rgb_to_ycocg_r])
def test_colours_are_bytes_of_three_channels(images, transform):
    with pytest.raises(ValueError, match="uint8 and"):
        transform(images)


def test_patches_are_channels_first():
    images = np.random.default_rng(0).integers(0, 256, (2, 4, 6, 3), dtype=np.uint8)
    patches = extract_patches(images, 2).reshape(2, 2, 3, 3, 2, 2)
    for image in range(2):
        for row in range(2):
            for column in range(3):
                part = images[image, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
                np.testing.assert_array_equal(patches[image, row, column], np.moveaxis(part, -1, 0))
    whole = extract_patches(images[..., 0][:, :, :4], 4)
    np.testing.assert_array_equal(whole, images[:, :, :4, 0].reshape(2, 16))


@pytest.mark.parametrize(("shape", "size"), [((2, 4, 5), 2), ((2, 4, 4), 3), ((4, 4), 2)])
def test_patches_that_do_not_fit(shape, size):
    with pytest.raises(ValueError, match="must divide|is needed"):
        extract_patches(np.zeros(shape), size)


@pytest.mark.parametrize("size", [0, -2, 2.0, True, "2", None])
def test_the_size_of_a_patch_is_a_positive_integer(size):
    with pytest.raises(ValueError, match="size=.* must be an integer of at least 1"):
        extract_patches(np.zeros((1, 4, 4)), size)


@pytest.mark.parametrize("shape", [(4, 6), (4, 6, 1), (4, 6, 3)])
def test_patches_are_put_together_again(shape):
    images = np.random.default_rng(0).integers(0, 256, (5, *shape), dtype=np.uint8)
    found = assemble_patches(extract_patches(images, 2), shape)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, images)
    assert assemble_patches(np.zeros((0, 4)), (4, 6)).shape == (0, 4, 6)


@pytest.mark.parametrize(("patches", "shape", "message"), [
    ((6, 5), (4, 6), "has 5 columns"), ((6, 4), (4, 6, 3), "has 4 columns"),
    ((6, 9), (4, 6), "size divides 4 and 6"), ((7, 4), (4, 6), "has 7 rows.*needs 6"),
    ((24,), (4, 6), "a row a patch"), ((6, 4), 4, "shape=4"), ((6, 4), (4, 0), r"shape=\(4, 0\)"),
])  # fmt: skip
def test_patches_that_make_no_images(patches, shape, message):
    with pytest.raises(ValueError, match=message):
        assemble_patches(np.zeros(patches), shape)


def test_bits_per_dimension():
    assert bits_per_dimension([-np.log(2), -3 * np.log(2)], 2) == pytest.approx(1)
    assert bits_per_dimension(-np.log(2), np.int64(1)) == pytest.approx(1)


@pytest.mark.parametrize("n_dimensions", [0, -3, np.nan, np.inf, True, "64", None])
def test_dimensions_are_a_positive_number(n_dimensions):
    with pytest.raises(ValueError, match="n_dimensions=.*positive number"):
        bits_per_dimension(-3.0, n_dimensions)
