import numpy as np
import pytest

from skpc.datasets import (
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


@pytest.mark.parametrize("images", [np.zeros((2, 4), dtype=int), np.full((2, 3), 0.5)])
def test_colours_to_be_turned_back_are_triples_of_whole_numbers(images):
    with pytest.raises(ValueError, match="integer and .* are needed: Y, Co, Cg"):
        ycocg_r_to_rgb(images)
    with pytest.raises(ValueError, match="uint8 and .* are needed: Y, Co, Cg"):
        ycocg_to_rgb(images)


def test_ycocg_r_refuses_what_no_colour_has():
    with pytest.raises(ValueError, match="the transform of no colour"):
        ycocg_r_to_rgb([[0, 511, 511]])


def test_ycocg_by_the_formulas():
    rgb = colours(15)
    r, g, b = np.moveaxis(rgb / 255, -1, 0)
    y, co, cg = r / 4 + g / 2 + b / 4, r - b, g - r / 2 - b / 2
    expected = (np.stack([2 * y - 1, co, cg], axis=-1) + 1) / 2 * 255
    assert np.abs(rgb_to_ycocg(rgb) - expected).max() <= 0.5 + 1e-9


def test_ycocg_and_back_is_near():
    rgb = colours(5)
    assert np.abs(ycocg_to_rgb(rgb_to_ycocg(rgb)).astype(int) - rgb).max() == 1


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


@pytest.mark.parametrize(("shape", "size"), [
    ((2, 4, 5), 2), ((2, 4, 4), 3), ((4, 4), 2), ((2, 4, 4), 0), ((2, 4, 4), 2.0), ((2, 4, 4), "2"),
])  # fmt: skip
def test_patches_that_do_not_fit(shape, size):
    with pytest.raises(ValueError, match="must divide|is needed"):
        extract_patches(np.zeros(shape), size)


def test_bits_per_dimension():
    assert bits_per_dimension([-np.log(2), -3 * np.log(2)], 2) == pytest.approx(1)
