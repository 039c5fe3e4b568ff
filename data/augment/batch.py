"""A batch on its way through augmentations: the inputs, what belongs to them, and random numbers for it."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...backend.array.random import Generator
from ...backend.device import dtypes
from ...backend.device.devices import namespace_of, to_numpy
from ...backend.tape.tensor import device_of
from . import affine

__all__: list[str] = []

ROLES = ("inputs", "labels", "masks", "boxes")


class Batch:
    """Inputs (N, …) and, each or None, labels (N, …), masks (N, [C,] H, W), boxes (N, M, 4): raw arrays of one library.

    Images are (N, C, H, W). What moves their pixels is only noted (`move`) and done when somebody looks at them: maps
    that follow each other cost one sampling, and what one of them moves out of the frame another may bring back.

    Random numbers that decide something for each image are drawn on the host, in float64, whatever the device.
    """

    def __init__(self, generator: Generator, inputs: Any, labels: Any = None, masks: Any = None, boxes: Any = None):
        self._inputs, self.labels, self._masks, self._boxes = inputs, labels, masks, boxes
        self.generator, self.xp, self.device = generator, namespace_of(inputs), device_of(inputs)
        self._dtype = dtypes.of(inputs)
        self._white = _white(self._dtype)
        self._moved: np.ndarray | None = None
        self._fill: Any = None
        self._bilinear: bool | None = None
        shape = tuple(inputs.shape)
        self._size: tuple[int, int] | None = shape[-2:] if len(shape) == 4 else None
        for role, array in (("labels", labels), ("masks", masks), ("boxes", boxes)):
            if array is not None and (not array.ndim or array.shape[0] != shape[0]):
                raise ValueError(f"`{role}` must have an entry for each of the {shape[0]} inputs, got {array.shape}")
        if masks is not None and (masks.ndim not in (3, 4) or tuple(masks.shape[-2:]) != self._size):
            raise ValueError(f"`masks` must be (N, [C,] H, W) of the images' {self._size}, got shape {masks.shape}")
        if boxes is not None and (boxes.ndim != 3 or boxes.shape[2] != 4):
            raise ValueError(f"`boxes` must be (N, M, 4), of x₁, y₁, x₂, y₂ each, got shape {boxes.shape}")

    def __len__(self) -> int:
        return self._inputs.shape[0]

    # --- random numbers -------------------------------------------------------------------------------------------------
    def uniform(self, low: Any = 0.0, high: Any = 1.0, *shape: int) -> np.ndarray:
        """Numbers in [low, high), one (or `shape` of them) for each of the batch."""
        return low + (high - low) * self.generator.uniform((len(self), *shape), dtypes.float64)

    def chosen(self, p: float) -> np.ndarray:
        """Booleans that are True with probability p, one for each of the batch."""
        return self.uniform() < p

    def put(self, array: Any) -> Any:
        """An array of the host where the batch lies."""
        return affine.put(array, self.device)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the images; an error if the inputs are no images."""
        if self._size is None:
            raise ValueError(f"`inputs` must be images (N, C, H, W), got shape {tuple(self._inputs.shape)}")
        return self._size

    @size.setter
    def size(self, size: tuple[int, int]) -> None:
        self._size = size

    def of_inputs(self) -> Batch:
        """Another batch of the same inputs, on the same scale and the same random numbers."""
        other = Batch(self.generator, self.inputs)
        other._dtype, other._white = self._dtype, self._white
        return other

    # --- geometry ------------------------------------------------------------------------------------------------------
    def move(self, moved: np.ndarray, size: tuple[int, int], fill: Any = None, bilinear: bool | None = None) -> None:
        """Note a map from pixels of the result, of this size, to the images as they are (see `affine`).

        `fill` is None where nothing comes from outside, `bilinear` where whole pixels go to whole pixels.
        """
        if (fill is not None and self._fill is not None and not np.array_equal(fill, self._fill)) or (
            bilinear is not None and self._bilinear is not None and bilinear != self._bilinear
        ):
            self._settle()
        self._moved = moved if self._moved is None else self._moved @ moved
        self._size = size
        self._fill = self._fill if fill is None else fill
        self._bilinear = self._bilinear if bilinear is None else bilinear

    def _settle(self) -> None:
        if self._moved is None:
            return
        moved, size, fill = self._moved, self.size, 0 if self._fill is None else self._fill
        bilinear, self._moved, self._fill, self._bilinear = bool(self._bilinear), None, None, None
        if np.size(fill) not in (1, self._inputs.shape[1]):
            raise ValueError(
                f"`fill` must be one number, or one for each of {self._inputs.shape[1]} channels, got {fill}"
            )
        self.require_value("fill", fill)
        if size == tuple(self._inputs.shape[-2:]) and (moved == np.eye(3)).all():
            return
        if bilinear and not affine.is_slicing(moved):
            self._widen()
        self._inputs = affine.sample(self.xp, self._inputs, moved, size, fill, bilinear)
        if self._masks is not None:
            masks = self._masks if self._masks.ndim == 4 else self._masks[:, None]
            masks = affine.sample(self.xp, masks, moved, size, 0, False)
            self._masks = masks if self._masks.ndim == 4 else masks[:, 0]
        if self._boxes is not None:
            self._boxes = self.put(affine.move_boxes(to_numpy(self._boxes), moved, size))

    # --- contents -------------------------------------------------------------------------------------------------------
    @property
    def inputs(self) -> Any:
        """As they are now: integers may have become floating-point numbers, on the same scale."""
        self._settle()
        return self._inputs

    @inputs.setter
    def inputs(self, inputs: Any) -> None:
        self._settle()
        self._inputs = inputs

    @property
    def masks(self) -> Any:
        """As they are now."""
        self._settle()
        return self._masks

    @masks.setter
    def masks(self, masks: Any) -> None:
        self._settle()
        self._masks = masks

    @property
    def boxes(self) -> Any:
        """As they are now."""
        self._settle()
        return self._boxes

    @boxes.setter
    def boxes(self, boxes: Any) -> None:
        self._settle()
        self._boxes = boxes

    @property
    def numbers(self) -> Any:
        """The inputs as floating-point numbers, at least float32."""
        self._settle()
        self._widen()
        return self._inputs

    @property
    def images(self) -> Any:
        """`numbers`, of inputs that must be images."""
        assert self.size
        return self.numbers

    def _widen(self) -> None:
        if not (dtypes.is_real_floating(dtype := dtypes.of(self._inputs)) and dtype.itemsize >= 4):
            self._inputs = self.xp.astype(self._inputs, dtypes.native(self.xp, dtypes.float32))

    def replace(self, inputs: Any) -> None:
        """Take other inputs, whose dtype is what they are to have at the end."""
        if inputs.shape[0] != len(self):
            raise ValueError(
                f"a transform must keep the {len(self)} inputs of a batch, got shape {tuple(inputs.shape)}"
            )
        self.inputs = inputs
        if (dtype := dtypes.of(inputs)) != self._dtype:
            self._dtype, self._white = dtype, _white(dtype)
        self._size = tuple(inputs.shape[-2:]) if inputs.ndim == 4 else None

    @property
    def white(self) -> float:
        """The greatest value of a pixel."""
        if self._white is None:
            raise ValueError(
                f"`inputs` must be uint8, uint16 or floating-point images, got {self._dtype}: convert them, or give "
                "Compose(…, white=…), their greatest value"
            )
        return self._white

    @white.setter
    def white(self, white: float) -> None:
        self._white = white

    @property
    def is_floating(self) -> bool:
        """Whether the inputs came as floating-point numbers."""
        return bool(dtypes.is_real_floating(self._dtype))

    def require_value(self, name: str, value: Any) -> None:
        """Raise ValueError unless pixels may have this value, or these: in integers another would be cut without a word."""
        if self._dtype.kind in "iu":
            values, limits = np.asarray(value), np.iinfo(self._dtype)
            if not ((values == np.rint(values)) & (values >= limits.min) & (values <= limits.max)).all():
                raise ValueError(
                    f"`{name}` must be whole and in [{limits.min}, {limits.max}] for {self._dtype}, got {value}"
                )

    def restore(self) -> None:
        """Give the inputs the dtype that they came with, rounded where that has integers."""
        x, dtype, xp = self.inputs, self._dtype, self.xp
        if dtypes.of(x) == dtype:
            return
        if not dtypes.is_real_floating(dtype):
            low, high = (0, 1) if dtype == dtypes.bool else (np.iinfo(dtype).min, np.iinfo(dtype).max)
            x = xp.clip(xp.round(x), float(low), float(high))
        self._inputs = xp.astype(x, dtypes.native(xp, dtype))

    def given(self) -> tuple[Any, ...]:
        """The arrays by `ROLES`; None for those that there are not."""
        return self.inputs, self.labels, self._masks, self._boxes


def _white(dtype: np.dtype) -> float | None:
    if dtype.kind in "iu":
        return float(np.iinfo(dtype).max) if dtype.itemsize <= 2 else None
    return 1.0
