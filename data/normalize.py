"""Normalisation: affine maps of the inputs, fitted on the training set alone and stored with the model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Self

import numpy as np

from ..backend.array.creation import asarray
from ..backend.device import dtypes
from ..backend.device.devices import namespace_of, to_numpy
from ..backend.tape.tensor import Tensor, device_of, innermost

__all__ = ["MinMax", "Normalizer", "PerChannel", "Robust", "Standardize"]

_CHUNK = 1 << 21  # elements taken to float64 at a time while fitting: whole, uint8 images would take 8 times their size


class Normalizer:
    """Affine map of the inputs: y = (x − center) · scale, per feature (the axes after the first) or per channel.

    The base class: a kind of normalisation says in `_statistics` what center and spread are. scale = 1/spread, or 1
    where the spread is 0, so that a constant feature becomes 0 instead of a division by zero.

    `fit(x)` measures a training set; `normalizer(x)` maps arrays of NumPy or another library, or Tensors, to float32;
    `inverse(y)` maps back. `state_dict()` holds the arrays, `config()` the rest (JSON); `Normalizer.from_config` and
    `load_state_dict` restore both.

    Attributes
    ----------
    center : numpy.ndarray
        Float64, broadcasts against one sample; None before `fit`.
    scale : numpy.ndarray
        As `center`.

    Notes
    -----
    Data stay as narrow as they are (uint8 for images): give the normaliser to a `DataLoader` as its transform, and each
    batch is converted when it is made. The difference is taken first, in float64 where x is float64 or a wide integer:
    x · scale + shift would lose the digits of features far from 0, such as dates.

    Examples
    --------
    >>> class Centered(Normalizer):
    ...     def _statistics(self, x):
    ...         return x.mean(0), np.ones(x.shape[1:])
    >>> Centered().fit(np.array([[1.0], [3.0]]))(np.array([[5.0]]))
    array([[3.]], dtype=float32)
    """

    center: np.ndarray | None = None  # float64; broadcasts against one sample, as does `scale`
    scale: np.ndarray | None = None

    def fit(self, x: Any) -> Self:
        """Take the statistics of the training inputs.

        Parameters
        ----------
        x : array of shape (N, …)
            The training inputs, of any real dtype.

        Returns
        -------
        Normalizer
            Itself.

        Raises
        ------
        ValueError
            If x is empty or not real, or if a statistic is not finite (NaN or infinity in x).

        Examples
        --------
        >>> Standardize().fit(np.array([[1.0], [3.0]])).center
        array([2.])
        """
        x = to_numpy(innermost(x))
        if not x.ndim or not x.size or x.dtype.kind not in "iufb":
            raise ValueError(f"`x` must be real numbers (N, …) with N ≥ 1, got shape {x.shape}, dtype {x.dtype}")
        with np.errstate(invalid="ignore", over="ignore"):  # reported below, by feature
            center, spread = (np.asarray(s, np.float64) for s in self._statistics(x))
        bad = np.argwhere(~(np.isfinite(center) & np.isfinite(spread)))
        if len(bad):
            place = tuple(bad[0].tolist())
            if np.isfinite(x).all():
                raise ValueError(
                    f"`x` must have a finite spread, got numbers too large for it in feature {place}: scale them down"
                )
            raise ValueError(f"`x` must be finite, got NaN or infinity in feature {place}")
        self._set(center, 1.0 / np.where(spread < np.finfo(np.float32).tiny, 1.0, spread))
        return self

    def _statistics(self, x: np.ndarray) -> tuple[Any, Any]:
        """(center, spread), each broadcastable against a sample."""
        raise NotImplementedError

    def _set(self, center: np.ndarray, scale: np.ndarray) -> None:
        self.center, self.scale = center, scale
        self._placed: dict[tuple, tuple[Any, Any]] = {}  # (type, device, dtype) → center and scale there

    def __call__(self, x: Any) -> Any:
        """(x − center) · scale in float32, in the library of x and on its device. Raises ValueError before `fit`."""
        xp = namespace_of(x)
        center, scale = self._constants(x)
        y = xp.astype(x, center.dtype)
        if xp is np:  # in place, on the copy just made
            y -= center
            y *= scale
        else:
            y = (y - center) * scale
        return xp.astype(y, dtypes.native(xp, dtypes.float32), copy=False)

    def inverse(self, y: Any) -> Any:
        """Map normalised values back: y / scale + center.

        Parameters
        ----------
        y : array of shape (N, …)
            Normalised values, of any library, or a Tensor.

        Returns
        -------
        array of shape (N, …)
            In the units of the data: float32 (float64 for float64 y).

        Raises
        ------
        ValueError
            Before `fit`, or for samples of another shape.

        Examples
        --------
        >>> normalizer = Standardize().fit(np.array([[1.0], [3.0]]))
        >>> normalizer.inverse(normalizer(np.array([[5.0]])))
        array([[5.]], dtype=float32)
        """
        xp = namespace_of(y)
        center, scale = self._constants(y)
        return xp.astype(y, center.dtype) / scale + center

    def _constants(self, x: Any) -> tuple[Any, Any]:
        """`center` and `scale` where x is, in a dtype that holds every value of x: float32 or float64."""
        if self.center is None or self.scale is None:
            raise ValueError(f"`{type(self).__name__}` must be fitted before use; call .fit(x_train)")
        sample, fitted = tuple(x.shape[1:]), self.center.shape
        if len(sample) < len(fitted) or any(f not in (1, s) for f, s in zip(fitted[::-1], sample[::-1])):
            raise ValueError(f"`x` must have samples of the fitted shape {fitted} (1: any), got shape {tuple(x.shape)}")
        device = x.device if isinstance(x, Tensor) else device_of(x)
        key = type(x), device, np.result_type(dtypes.of(x), np.float32)
        if key not in self._placed:
            pair = [asarray(a.astype(key[2]), device=device) for a in (self.center, self.scale)]
            self._placed[key] = tuple(pair if isinstance(x, Tensor) else (t.data for t in pair))
        return self._placed[key]

    def state_dict(self) -> dict[str, np.ndarray]:
        """What `load_state_dict` needs.

        Returns
        -------
        dict of str to numpy.ndarray
            "center" and "scale", float64; empty before `fit`.

        Examples
        --------
        >>> normalizer = Standardize().fit(np.array([[1.0], [3.0]]))
        >>> normalizer.state_dict()
        {'center': array([2.]), 'scale': array([1.])}
        """
        return {} if self.center is None or self.scale is None else {"center": self.center, "scale": self.scale}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take the arrays that `state_dict` gave.

        Parameters
        ----------
        state : dict of str to array
            "center" and "scale".

        Raises
        ------
        ValueError
            If one is missing or their shapes differ.

        Examples
        --------
        >>> normalizer = Standardize().fit(np.array([[1.0], [3.0]]))
        >>> other = Standardize()
        >>> other.load_state_dict(normalizer.state_dict())
        >>> other.center
        array([2.])
        """
        arrays = {name: to_numpy(innermost(array)) for name, array in state.items()}
        shapes = {name: array.shape for name, array in arrays.items()}
        if set(shapes) != {"center", "scale"} or shapes["center"] != shapes["scale"]:
            raise ValueError(f"`state` must hold `center` and `scale` of one shape, got {shapes}")
        self._set(arrays["center"].astype(np.float64), arrays["scale"].astype(np.float64))

    def config(self) -> dict[str, Any]:
        """What makes another one like this, but for the fitted arrays.

        Returns
        -------
        dict
            `{"normalizer": name, argument: value, …}`, fit for JSON.

        Examples
        --------
        >>> MinMax((-1, 1)).config()
        {'normalizer': 'MinMax', 'feature_range': [-1, 1]}
        """
        return {"normalizer": type(self).__name__}

    @staticmethod
    def from_config(config: dict[str, Any]) -> Normalizer:
        """Make the unfitted normaliser that `config()` describes.

        Parameters
        ----------
        config : dict
            What `config` returned.

        Returns
        -------
        Normalizer
            Of the class that it names.

        Raises
        ------
        ValueError
            If it names none.

        Examples
        --------
        >>> Normalizer.from_config({"normalizer": "MinMax", "feature_range": [-1, 1]})
        MinMax(feature_range=[-1, 1])
        """
        kinds = {kind.__name__: kind for kind in Normalizer.__subclasses__()}
        name = config.get("normalizer")
        if name not in kinds:
            raise ValueError(f"`normalizer` must be one of {', '.join(sorted(kinds))}, got {name!r}")
        return kinds[name](**{key: value for key, value in config.items() if key != "normalizer"})

    def __repr__(self) -> str:
        arguments = ", ".join(f"{key}={value!r}" for key, value in self.config().items() if key != "normalizer")
        return f"{type(self).__name__}({arguments})"


class Standardize(Normalizer):
    """The z-score of each feature: (x − mean) / standard deviation (divisor N), as sklearn's StandardScaler.

    Examples
    --------
    >>> normalizer = Standardize().fit(np.array([[1.0, 5.0], [3.0, 5.0]]))
    >>> normalizer(np.array([[1.0, 5.0], [3.0, 6.0]]))
    array([[-1.,  0.],
           [ 1.,  1.]], dtype=float32)
    """

    def _statistics(self, x: np.ndarray) -> tuple[Any, Any]:
        return _moments(x, (0,))


class PerChannel(Normalizer):
    """Image normalisation: (x − mean) / standard deviation of each channel, over N and all positions of x (N, C, …).

    On uint8 images it does what dividing by 255 and then normalising does, in one step.

    Examples
    --------
    >>> images = np.array([[[[0, 255]], [[10, 10]]]], np.uint8)
    >>> PerChannel().fit(images)(images).tolist()
    [[[[-1.0, 1.0]], [[0.0, 0.0]]]]
    """

    def _statistics(self, x: np.ndarray) -> tuple[Any, Any]:
        if x.ndim < 2:
            raise ValueError(f"`x` must be (N, C, …), got shape {x.shape}")
        return _moments(x, (0, *range(2, x.ndim)))


class MinMax(Normalizer):
    """Each feature from its [min, max] to a range, as sklearn's MinMaxScaler: the ends are met up to rounding.

    New data may fall outside the range. A constant feature goes to its lower end.

    Parameters
    ----------
    feature_range : (float, float), default (0.0, 1.0)
        The low and the high end.

    Raises
    ------
    ValueError
        If the low end is not below the high one.

    Examples
    --------
    >>> MinMax((-1, 1)).fit(np.array([[0.0], [10.0]]))(np.array([[0.0], [5.0], [10.0]])).ravel()
    array([-1.,  0.,  1.], dtype=float32)
    """

    def __init__(self, feature_range: tuple[float, float] = (0.0, 1.0)):
        if not isinstance(feature_range, tuple | list):
            raise TypeError(f"`feature_range` must be (low, high) with low < high, got {feature_range!r}")
        self.feature_range = list(feature_range)
        if len(self.feature_range) != 2 or not self.feature_range[0] < self.feature_range[1]:
            raise ValueError(f"`feature_range` must be (low, high) with low < high, got {feature_range}")

    def _statistics(self, x: np.ndarray) -> tuple[Any, Any]:
        least, greatest = (np.asarray(s, np.float64) for s in (x.min(axis=0), x.max(axis=0)))
        low, high = self.feature_range
        spread = np.where(greatest == least, 1.0, greatest - least) / (high - low)
        return least - low * spread, spread

    def config(self) -> dict[str, Any]:
        return {**super().config(), "feature_range": self.feature_range}


class Robust(Normalizer):
    """Scaling that outliers hardly move: (x − median) / interquartile range of each feature, as sklearn's RobustScaler.

    Examples
    --------
    >>> Robust().fit(np.array([[0.0], [1.0], [2.0], [3.0], [1000.0]]))(np.array([[2.0], [4.0]])).ravel()
    array([0., 1.], dtype=float32)
    """

    def _statistics(self, x: np.ndarray) -> tuple[Any, Any]:
        flat = x.reshape(len(x), -1)
        step = max(1, _CHUNK // len(x))
        blocks = [flat[:, i : i + step].astype(np.float64) for i in range(0, flat.shape[1], step)]
        quartiles = np.concatenate([np.quantile(block, (0.25, 0.5, 0.75), axis=0) for block in blocks], axis=1)
        first, median, third = quartiles.reshape(3, *x.shape[1:])
        return median, third - first


def _moments(x: np.ndarray, axes: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation over `axes`, in two passes of float64 sums."""
    count = np.prod([x.shape[axis] for axis in axes])
    mean = sum(chunk.sum(axes, keepdims=True) for chunk in _chunks(x)) / count
    variance = sum(((chunk - mean) ** 2).sum(axes, keepdims=True) for chunk in _chunks(x)) / count
    # The mean of a constant feature is rounded, so its variance need not be 0: scikit-learn's bound on that.
    variance[variance <= (count * np.finfo(np.float64).eps * mean) ** 2] = 0.0
    return mean[0], np.sqrt(variance)[0]


def _chunks(x: np.ndarray) -> Iterator[np.ndarray]:
    step = max(1, _CHUNK // x[0].size)
    for start in range(0, len(x), step):
        yield x[start : start + step].astype(np.float64)
