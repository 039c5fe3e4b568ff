"""`torchvision.transforms` that draw, and those between PIL's images and Tensors."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ...backend.array.random import default_generator
from ...backend.tape.tensor import Tensor, wrap

__all__ = [
    "ColorJitter", "ConvertImageDtype", "GaussianBlur", "InterpolationMode", "PILToTensor", "RandomAffine", "RandomApply",
    "RandomChoice", "RandomErasing", "RandomGrayscale", "RandomOrder", "RandomResizedCrop", "RandomRotation",
    "RandomVerticalFlip", "ToPILImage", "pil_to_tensor", "to_pil_image",
]  # fmt: skip


class InterpolationMode:
    """PIL's numbers under torchvision's names."""

    NEAREST, LANCZOS, BILINEAR, BICUBIC, BOX, HAMMING = range(6)


def draw(low: float = 0.0, high: float = 1.0) -> float:
    """A uniform number of the default generator.

    Parameters
    ----------
    low, high : float
        The limits.

    Returns
    -------
    float
        On [low, high).
    """
    return low + (high - low) * float(default_generator.uniform((1,), np.float64)[0])


def _number(low: int, high: int) -> int:
    return int(default_generator.integers(low, high, (1,))[0])


def _pair(value: Any, centre: float | None = None) -> tuple[float, float]:
    if isinstance(value, int | float):
        return (-value, value) if centre is None else (max(centre - value, 0.0), centre + value)
    return tuple(value)  # type: ignore[return-value]


def _mirrored(image: Any, axis: int) -> Any:
    """Turned round along the last axis (-1) or the one before (-2), PIL's or a Tensor."""
    return image.flip(axis) if isinstance(image, Tensor) else image.transpose(-1 - axis)


def pil_to_tensor(image: Any) -> Tensor:
    """(C, H, W) of an image, as its numbers are.

    Parameters
    ----------
    image : PIL.Image.Image
        Which.

    Returns
    -------
    Tensor
        uint8, for one of 8 bits.
    """
    raw = np.asarray(image)
    return wrap(np.ascontiguousarray((raw[:, :, None] if raw.ndim == 2 else raw).transpose(2, 0, 1)), "cpu")


def to_pil_image(pic: Any, mode: str | None = None) -> Any:
    """An image of a Tensor (C, H, W) or an array (H, W, C); floats are in [0, 1].

    Parameters
    ----------
    pic : Tensor or array
        Which.
    mode : str, optional
        PIL's.

    Returns
    -------
    PIL.Image.Image
        Of 8 bits.
    """
    from PIL import Image

    raw = pic.detach().cpu().numpy() if isinstance(pic, Tensor) else np.asarray(pic)
    if isinstance(pic, Tensor) and raw.ndim == 3:
        raw = raw.transpose(1, 2, 0)
    if raw.dtype.kind == "f" and isinstance(pic, Tensor):
        raw = (raw * 255).astype(np.uint8)
    raw = raw[:, :, 0] if raw.ndim == 3 and raw.shape[2] == 1 else raw
    return Image.fromarray(np.ascontiguousarray(raw), mode) if mode else Image.fromarray(np.ascontiguousarray(raw))


class PILToTensor:
    """(C, H, W) of an image, as its numbers are."""

    __call__ = staticmethod(pil_to_tensor)


class ToPILImage:
    """An image of a Tensor or an array.

    Parameters
    ----------
    mode : str, optional
        PIL's.
    """

    def __init__(self, mode: str | None = None):
        self.mode = mode

    def __call__(self, pic: Any) -> Any:
        return to_pil_image(pic, self.mode)


class ConvertImageDtype:
    """Another dtype, scaled: 8 bits are floats in [0, 1].

    Parameters
    ----------
    dtype : dtype
        Which.
    """

    def __init__(self, dtype: Any):
        self.dtype = np.dtype(dtype)

    def __call__(self, x: Tensor) -> Tensor:
        if x.dtype.kind in "ui" and self.dtype.kind == "f":
            return x.to(self.dtype) / np.iinfo(x.dtype).max
        if x.dtype.kind == "f" and self.dtype.kind in "ui":
            return (x * (np.iinfo(self.dtype).max + 1 - 1e-3)).to(self.dtype)
        return x.to(self.dtype)


class RandomVerticalFlip:
    """Upside down with probability p.

    Parameters
    ----------
    p : float, default 0.5
        How probable that is.
    """

    def __init__(self, p: float = 0.5):
        self.p = p

    def __call__(self, image: Any) -> Any:
        return image if draw() >= self.p else _mirrored(image, -2)


class RandomResizedCrop:
    """A part of an image, of random area and proportions, at one size.

    Parameters
    ----------
    size : int or sequence of int
        Height and width.
    scale : tuple of float, default (0.08, 1)
        What part of the area.
    ratio : tuple of float, default (3/4, 4/3)
        Width over height.
    interpolation : int, default 2
        PIL's filter.
    """

    def __init__(
        self, size: Any, scale: Any = (0.08, 1.0), ratio: Any = (3 / 4, 4 / 3), interpolation: int = 2, **_options: Any
    ):
        self.size = (size, size) if isinstance(size, int) else tuple(size)
        self.scale, self.ratio, self.interpolation = scale, ratio, interpolation

    def _part(self, width: int, height: int) -> tuple[int, int, int, int]:
        for _ in range(10):
            area = width * height * draw(*self.scale)
            ratio = math.exp(draw(math.log(self.ratio[0]), math.log(self.ratio[1])))
            w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
            if 0 < w <= width and 0 < h <= height:
                return _number(0, width - w + 1), _number(0, height - h + 1), w, h
        w, h = min(width, round(height * self.ratio[1])), min(height, round(width / self.ratio[0]))
        return (width - w) // 2, (height - h) // 2, w, h

    def __call__(self, image: Any) -> Any:
        given = to_pil_image(image) if isinstance(image, Tensor) else image
        left, top, w, h = self._part(*given.size)
        found = given.crop((left, top, left + w, top + h)).resize(self.size[::-1], self.interpolation)
        if not isinstance(image, Tensor):
            return found
        return pil_to_tensor(found).to(image.dtype) / (255 if image.is_floating_point() else 1)


class _OfImages:
    """What PIL does to an image, and so to a Tensor of 8 bits or of floats in [0, 1]."""

    def __call__(self, image: Any) -> Any:
        if not isinstance(image, Tensor):
            return self.change(image)
        found = pil_to_tensor(self.change(to_pil_image(image)))
        return found.to(image.dtype) / 255 if image.is_floating_point() else found

    def change(self, image: Any) -> Any:
        """The changed image."""
        raise NotImplementedError


class RandomRotation(_OfImages):
    """Turned by a random angle.

    Parameters
    ----------
    degrees : float or tuple of float
        The limits.
    interpolation, expand, center, fill : object
        PIL's.
    """

    def __init__(self, degrees: Any, interpolation: int = 0, expand: bool = False, center: Any = None, fill: Any = 0):
        self.degrees = _pair(degrees)
        self.interpolation, self.expand, self.center, self.fill = interpolation, expand, center, fill

    def change(self, image: Any) -> Any:
        """The turned image."""
        fill = (
            self.fill if image.mode == "L" or not isinstance(self.fill, int) else (self.fill,) * len(image.getbands())
        )
        return image.rotate(draw(*self.degrees), self.interpolation, self.expand, self.center, fillcolor=fill)


class RandomAffine(_OfImages):
    """Turned, moved, scaled and sheared at random.

    Parameters
    ----------
    degrees : float or tuple of float
        Limits of the angle.
    translate : tuple of float, optional
        How far at most, as parts of width and height.
    scale : tuple of float, optional
        Limits of the size.
    shear : float or sequence of float, optional
        Limits of the angle along x (and y).
    interpolation, fill : object
        PIL's.
    """

    def __init__(
        self,
        degrees: Any,
        translate: Any = None,
        scale: Any = None,
        shear: Any = None,
        interpolation: int = 0,
        fill: int = 0,
    ):
        self.degrees, self.translate, self.scale = _pair(degrees), translate, scale
        self.shear = None if shear is None else _pair(shear)
        self.interpolation, self.fill = interpolation, fill

    def change(self, image: Any) -> Any:
        """The changed image."""
        w, h = image.size
        angle = math.radians(draw(*self.degrees))
        dx, dy = (draw(-t * n, t * n) for t, n in zip(self.translate or (0, 0), (w, h)))
        size = draw(*self.scale) if self.scale else 1.0
        limits = self.shear or (0, 0)
        sx = math.tan(math.radians(draw(*limits[:2])))
        sy = math.tan(math.radians(draw(*limits[2:]))) if len(limits) > 2 else 0.0
        c, s = math.cos(angle), math.sin(angle)
        forward = size * np.array([[c, -s], [s, c]]) @ np.array([[1, sx], [sy, 1]])
        back = np.linalg.inv(forward)
        centre = np.array([w / 2, h / 2])
        offset = centre - back @ (centre + (dx, dy))
        (a, b), (d, e) = back
        fill = self.fill if image.mode == "L" else (self.fill,) * len(image.getbands())
        return image.transform((w, h), 0, (a, b, offset[0], d, e, offset[1]), self.interpolation, fillcolor=fill)


class ColorJitter(_OfImages):
    """Brightness, contrast, saturation and hue, changed at random and in random order.

    Parameters
    ----------
    brightness, contrast, saturation : float or tuple of float, default 0
        By how much at most, or the limits of the factor.
    hue : float or tuple of float, default 0
        By which part of the circle at most.
    """

    def __init__(self, brightness: Any = 0, contrast: Any = 0, saturation: Any = 0, hue: Any = 0):
        self.factors = {
            "Brightness": _pair(brightness, 1.0), "Contrast": _pair(contrast, 1.0), "Color": _pair(saturation, 1.0),
        }  # fmt: skip
        self.hue = _pair(hue)

    def change(self, image: Any) -> Any:
        """The changed image."""
        from PIL import Image, ImageEnhance

        for k in default_generator.permutation(4).tolist():
            if k < 3:
                kind, limits = list(self.factors.items())[k]
                image = getattr(ImageEnhance, kind)(image).enhance(draw(*limits)) if limits != (1, 1) else image
            elif self.hue != (0, 0) and image.mode == "RGB":
                h, s, v = image.convert("HSV").split()
                turned = (np.asarray(h).astype(np.int64) + round(draw(*self.hue) * 255)) % 256
                image = Image.merge("HSV", (Image.fromarray(turned.astype(np.uint8)), s, v)).convert("RGB")
        return image


class GaussianBlur(_OfImages):
    """Blurred.

    Parameters
    ----------
    kernel_size : int or sequence of int
        torchvision's; the radius follows from sigma here.
    sigma : float or tuple of float, default (0.1, 2)
        Limits of the standard deviation in pixels.
    """

    def __init__(self, kernel_size: Any, sigma: Any = (0.1, 2.0)):
        self.sigma = (sigma, sigma) if isinstance(sigma, int | float) else tuple(sigma)

    def change(self, image: Any) -> Any:
        """The blurred image."""
        from PIL import ImageFilter

        return image.filter(ImageFilter.GaussianBlur(draw(*self.sigma)))


class RandomGrayscale(_OfImages):
    """Without colour, with probability p.

    Parameters
    ----------
    p : float, default 0.1
        How probable that is.
    """

    def __init__(self, p: float = 0.1):
        self.p = p

    def change(self, image: Any) -> Any:
        """The image, or its luminance."""
        return image.convert("L").convert(image.mode) if draw() < self.p else image


class RandomErasing:
    """A rectangle of a Tensor (C, H, W) overwritten, with probability p.

    Parameters
    ----------
    p : float, default 0.5
        How probable that is.
    scale, ratio : tuple of float
        Limits of its part of the area, and of its proportions.
    value : float or "random", default 0
        With what.
    inplace : bool, default False
        torchvision's; it changes nothing.
    """

    def __init__(
        self, p: float = 0.5, scale: Any = (0.02, 0.33), ratio: Any = (0.3, 3.3), value: Any = 0, inplace: bool = False
    ):
        self.p, self.value, self.part = p, value, RandomResizedCrop(1, scale, ratio)

    def __call__(self, x: Tensor) -> Tensor:
        if draw() >= self.p:
            return x
        left, top, w, h = self.part._part(x.shape[2], x.shape[1])
        x = x.clone()
        part = x[:, top : top + h, left : left + w]
        x[:, top : top + h, left : left + w] = part.clone().normal_() if self.value == "random" else self.value
        return x


class RandomApply:
    """All transforms of a list, with probability p.

    Parameters
    ----------
    transforms : sequence of callable
        Which.
    p : float, default 0.5
        How probable that is.
    """

    def __init__(self, transforms: Sequence[Callable], p: float = 0.5):
        self.transforms, self.p = transforms, p

    def __call__(self, image: Any) -> Any:
        for transform in self.transforms if draw() < self.p else ():
            image = transform(image)
        return image


class RandomChoice:
    """One transform of a list.

    Parameters
    ----------
    transforms : sequence of callable
        Which.
    p : sequence of float, optional
        How probable each is.
    """

    def __init__(self, transforms: Sequence[Callable], p: Sequence[float] | None = None):
        self.transforms, self.p = list(transforms), list(p or [1.0] * len(transforms))

    def __call__(self, image: Any) -> Any:
        ends = np.cumsum(self.p) / sum(self.p)
        return self.transforms[min(int(np.searchsorted(ends, draw(), "right")), len(ends) - 1)](image)


class RandomOrder:
    """All transforms of a list, in random order.

    Parameters
    ----------
    transforms : sequence of callable
        Which.
    """

    def __init__(self, transforms: Sequence[Callable]):
        self.transforms = list(transforms)

    def __call__(self, image: Any) -> Any:
        for k in default_generator.permutation(len(self.transforms)).tolist():
            image = self.transforms[k](image)
        return image
