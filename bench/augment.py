"""`taskset -c 1 python -m weft.bench.augment`: rotate + crop + flip + jitter of 32×32×3 images, a batch at a time, and by Pillow.

Both rotate by up to 15° (bilinear), crop 32×32 of the image with 4 pixels more on each side, flip half of the images, and
change brightness, contrast, saturation and hue; Pillow image by image, with torchvision's calls. By turns in one process, so
that both meet the machine's noise; seconds are the process's own on one core. That both rotate and jitter alike is checked before.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..backend.array.random import Generator
from ..backend.device.parallel import set_num_threads
from ..data.augment import ColorJitter, Compose, RandomCrop, RandomHorizontalFlip, RandomRotation

__all__ = ["main"]

STRENGTH, HUE, DEGREES, PADDING = 0.2, 0.05, 15, 4


def _by_pillow(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    from PIL import Image, ImageOps

    def one(pixels: np.ndarray) -> np.ndarray:
        h, w = pixels.shape[1:]
        image = Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0)))
        image = image.rotate(rng.uniform(-DEGREES, DEGREES), Image.Resampling.BILINEAR)
        x, y = rng.integers(0, 2 * PADDING + 1, 2)
        image = ImageOps.expand(image, PADDING).crop((x, y, x + w, y + h))
        if rng.random() < 0.5:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        return _jittered(image, *rng.uniform(1 - STRENGTH, 1 + STRENGTH, 3), rng.uniform(-HUE, HUE)).transpose(2, 0, 1)

    return np.stack([one(pixels) for pixels in images])


def _jittered(image: Any, brightness: float, contrast: float, saturation: float, hue: float) -> np.ndarray:
    from PIL import Image, ImageEnhance

    image = ImageEnhance.Brightness(image).enhance(brightness)
    image = ImageEnhance.Contrast(image).enhance(contrast)
    image = ImageEnhance.Color(image).enhance(saturation)
    h, s, v = image.convert("HSV").split()
    turned = (np.asarray(h).astype(np.int16) + round(255 * hue)).astype(np.uint8)
    return np.asarray(Image.merge("HSV", (Image.fromarray(turned), s, v)).convert("RGB"))


def _check(images: np.ndarray) -> None:
    """The same angle and the same factors give the same pictures, but for rounding, and for edges, where Pillow's are sharp."""
    from PIL import Image

    x = images[:8]
    turned = RandomRotation((10, 10), "bilinear")(x)[..., 6:-6, 6:-6]
    jittered = ColorJitter((1.1, 1.1), (0.9, 0.9), (1.2, 1.2))(x)
    for image, rotated, coloured in zip(x, turned, jittered):
        there = Image.fromarray(np.ascontiguousarray(image.transpose(1, 2, 0)))
        expected = np.asarray(there.rotate(10, Image.Resampling.BILINEAR)).transpose(2, 0, 1)[..., 6:-6, 6:-6]
        assert np.abs(rotated.astype(int) - expected).max() <= 2
        expected = _jittered(there, 1.1, 0.9, 1.2, 0.0).transpose(2, 0, 1)
        assert np.abs(coloured.astype(int) - expected).mean() <= 3  # HSV has 256 steps of each


def main(argv: Sequence[str] | None = None) -> int:
    """Print images per second of both, and their ratio.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments; by default the program's.

    Returns
    -------
    int
        The exit status.
    """
    parser = argparse.ArgumentParser(prog="python -m weft.bench.augment", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--batch", type=int, default=256, help="images in a batch (256)")
    parser.add_argument("--turns", type=int, default=15, help="how often each is timed (15)")
    given = parser.parse_args(argv)
    if given.batch < 8 or given.turns < 1:
        parser.error(f"--batch must be at least 8 and --turns at least 1, got {given.batch} and {given.turns}")
    set_num_threads(1)
    # Smooth images: in noise, a pixel's rounding would tell nothing.
    steps = np.random.default_rng(0).normal(size=(given.batch, 3, 32, 32))
    images = (128 + 6 * steps.cumsum(2).cumsum(3) / 4).clip(0, 255).astype(np.uint8)
    _check(images)
    ours = Compose(
        [
            RandomRotation(DEGREES, "bilinear"),
            RandomCrop(32, padding=PADDING),
            RandomHorizontalFlip(),
            ColorJitter(STRENGTH, STRENGTH, STRENGTH, HUE),
        ]
    )
    generator, rng = Generator(0), np.random.default_rng(0)
    sides: dict[str, Callable[[], Any]] = {
        "weft": lambda: ours(images, generator=generator),
        "Pillow": lambda: _by_pillow(images, rng),
    }
    seconds = _timed(sides, given.turns)
    for name, times in seconds.items():
        print(f"{name:8}{given.batch / statistics.median(times):10,.0f} images/s")
    ratios = [theirs / mine for mine, theirs in zip(seconds["weft"], seconds["Pillow"])]
    print(f"ratio   {statistics.median(ratios):10.1f}")
    return 0


def _timed(sides: dict[str, Callable[[], Any]], turns: int) -> dict[str, list[float]]:
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(turns):
        for name, side in sides.items():
            start = time.process_time()
            side()
            seconds[name].append(time.process_time() - start)
    return seconds


if __name__ == "__main__":
    raise SystemExit(main())
