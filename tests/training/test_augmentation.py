"""What is done to pictures: looked at pixel by pixel."""

import numpy as np
import pytest
import tensorflow as tf
from numpy.typing import NDArray

from pipeline.study.hyperparameters import Hyperparameters
from pipeline.training.augmentation import augmentation, mix, seed_of_step

N, HEIGHT, WIDTH = 200, 9, 7


def pictures(*channels: int, dtype: str = "uint8") -> NDArray[np.generic]:
    """No two pixels of a picture are equal, and none is 0."""
    shape = (HEIGHT, WIDTH, *channels)
    one = np.arange(1, np.prod(shape) + 1).reshape(shape)
    return np.tile(one, (N, *[1] * len(shape))).astype(dtype)


def changed(images: NDArray[np.generic], seed: int = 3, **options: object) -> NDArray[np.generic]:
    given = Hyperparameters(1, (4,), "adam", 0.001, 32, 1, **options)  # type: ignore[arg-type]
    augment = augmentation(given)
    assert augment
    found: NDArray[np.generic] = augment(tf.constant(images), seed_of_step(seed, 0)).numpy()
    assert found.shape == images.shape
    assert found.dtype == images.dtype
    return found


def moved(image: NDArray[np.generic], down: int, right: int) -> NDArray[np.generic]:
    """By slices, without a single index."""
    padded = np.pad(image, [(HEIGHT, HEIGHT), (WIDTH, WIDTH), *[(0, 0)] * (image.ndim - 2)])
    return padded[HEIGHT + down :, WIDTH + right :][:HEIGHT, :WIDTH]


SHAPES = pytest.mark.parametrize(
    ("channels", "dtype"), [((), "uint8"), ((1,), "uint8"), ((3,), "uint8"), ((2,), "float32")]
)


@SHAPES
def test_pictures_are_moved_each_way_and_edges_are_black(
    channels: tuple[int, ...], dtype: str
) -> None:
    images = pictures(*channels, dtype=dtype)
    offsets = range(-2, 3)
    expected = {moved(images[0], y, x).tobytes(): (y, x) for y in offsets for x in offsets}
    found = [expected[each.tobytes()] for each in changed(images, random_shift=2)]
    for axis in (0, 1):
        assert {each[axis] for each in found} == set(offsets)  # evenly, up to chance
        counts = [sum(each[axis] == offset for each in found) for offset in offsets]
        assert min(counts) > N / 5 / 2


@SHAPES
def test_half_of_the_pictures_are_mirrored(channels: tuple[int, ...], dtype: str) -> None:
    images = pictures(*channels, dtype=dtype)
    found = changed(images, random_flip=True)
    is_mirrored = [np.array_equal(each, images[0][:, ::-1]) for each in found]
    is_same = [np.array_equal(each, images[0]) for each in found]
    assert sum(is_mirrored) + sum(is_same) == N
    assert 0.35 * N < sum(is_mirrored) < 0.65 * N


@SHAPES
@pytest.mark.parametrize("side", [1, 2, 3, 20])
def test_a_square_is_cut_out_that_may_stand_over_the_edge(
    side: int, channels: tuple[int, ...], dtype: str
) -> None:
    images = pictures(*channels, dtype=dtype)
    sizes = set()
    for each in changed(images, cutout=side):
        cut = (each == 0).reshape(HEIGHT, WIDTH, -1)
        assert (cut == cut[..., :1]).all()
        rows, columns = cut.any(axis=(1, 2)), cut.any(axis=(0, 2))
        assert np.array_equal(cut[..., 0], rows[:, None] & columns)
        assert (np.diff(np.flatnonzero(rows)) == 1).all()
        assert np.array_equal(each[~cut[..., 0]], images[0][~cut[..., 0]])
        sizes.add((int(rows.sum()), int(columns.sum())))
    assert max(sizes) == (min(side, HEIGHT), min(side, WIDTH))
    assert min(sizes)[0] >= min((side + 1) // 2, HEIGHT // 2)


def test_everything_at_once_is_a_mirror_and_a_move_with_a_hole() -> None:
    images = pictures()
    found = changed(images, random_flip=True, random_shift=1, cutout=3)
    possible = [
        moved(image, y, x)
        for image in (images[0], images[0][:, ::-1])
        for y in (-1, 0, 1)
        for x in (-1, 0, 1)
    ]
    for each in found:
        assert any(np.array_equal(each[each > 0], one[each > 0]) for one in possible)


def test_the_same_seed_and_step_give_the_same_pictures() -> None:
    images = pictures()
    assert np.array_equal(changed(images, random_shift=2), changed(images, random_shift=2))
    assert not np.array_equal(
        changed(images, random_shift=2), changed(images, seed=4, random_shift=2)
    )


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_examples_are_mixed_with_the_one_before(dtype: str) -> None:
    examples = np.random.default_rng(0).integers(0, 256, (N, 3, 5)).astype(dtype)
    mixed, share = (each.numpy() for each in mix(tf.constant(examples), 0.4, seed_of_step(1, 2)))
    own = share[:, None, None]
    expected = own * examples.astype(float) + (1 - own) * np.roll(examples.astype(float), 1, 0)
    np.testing.assert_allclose(mixed, expected, atol=0.5 if dtype == "uint8" else 1e-3)
    assert mixed.dtype == dtype


def test_shares_are_of_the_beta_distribution() -> None:
    alpha = 0.4
    examples = tf.zeros((20_000, 1))
    _, share = mix(examples, alpha, seed_of_step(1, 2))
    found = share.numpy()
    assert found.mean() == pytest.approx(0.5, abs=0.02)
    assert found.var() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.05)
    assert ((found >= 0) & (found <= 1)).all()


def test_very_small_parameters_mix_nothing_that_is_not_a_number() -> None:
    mixed, share = mix(tf.ones((5_000, 2)), 1e-4, seed_of_step(1, 2))
    assert np.isfinite(share.numpy()).all()
    assert np.isfinite(mixed.numpy()).all()
