"""Counter-based random numbers: the same seed gives the same bits on every device.

The words are those of Philox4x64-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011): block c =
0, 1, … of the stream is Philox of the 256-bit counter c + 1 under the 128-bit key `seed`, so any device can compute any
part of it. NumPy's own Philox, which counts like this, supplies the words on a CPU. A draw always starts at a fresh
block of four 64-bit words; 32-bit draws use the low half of each word, then the high half. Everything after the words
uses only operations that IEEE 754 rounds exactly (+ − × ÷ √), in a fixed order, hence is bit-equal everywhere, the
normal distribution included.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..device import devices, dtypes, ranks
from ..device.numeric import as_dtype, check_holds
from ..device.options import integer
from ..tape import autograd
from ..tape.recording import active, as_one
from ..tape.tensor import DType, Tensor, wrap

__all__ = ["Generator", "default_generator", "manual_seed", "rand", "randint", "randn", "randperm"]

PRECISION = {"float64": 53, "float32": 24, "float16": 11, "bfloat16": 8}  # bits of the significand
BLOCK = 1 << 13  # elements of the normal transform worked on at a time: its dozen float64 temporaries stay in cache


class Generator:
    """A stream of random numbers, determined by `seed` and a counter of the blocks used so far.

    The raw draws (`uniform`, `normal`, …) give arrays of the library that computes on `device`: a GPU makes them itself. The
    same seed gives the same bits everywhere.

    Parameters
    ----------
    seed : int, default 0
        In [0, 2¹²⁸): which stream.

    Attributes
    ----------
    seed : int
        Which stream this is.
    counter : int
        How many blocks, of four 64-bit words, have been used.

    Raises
    ------
    ValueError
        If `seed` is no integer in that range.

    References
    ----------
    .. [1] Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC (2011): Philox4x64-10.

    Examples
    --------
    >>> a, b = weft.Generator(1), weft.Generator(1)
    >>> a.uniform((2,)).tolist() == b.uniform((2,)).tolist()
    True
    >>> weft.rand(3, generator=a).shape
    (3,)
    """

    def __init__(self, seed: int = 0):
        self._bits: Any = None  # made by the first draw on a CPU: importing numpy.random takes 10 ms
        self._position: tuple[int, int] | None = None  # seed and block that `_bits` gives next
        # A CUDA graph replays its kernels with the counter of the capture. Who captures puts a number in device memory
        # here, and before each replay writes to it how many blocks have been used since: kernels add it.
        self.advance: Any = None
        self.manual_seed(seed)

    def manual_seed(self, seed: int) -> Generator:
        """Start again from block 0 of another stream.

        Parameters
        ----------
        seed : int
            In [0, 2¹²⁸): which stream.

        Returns
        -------
        Generator
            Itself.

        Raises
        ------
        ValueError
            If `seed` is no integer in that range.
        """
        if not isinstance(seed, int | np.integer) or isinstance(seed, bool) or not 0 <= seed < 1 << 128:
            raise ValueError(f"`seed` must be an integer in [0, 2**128), got {seed!r}")
        self.set_state({"seed": int(seed), "counter": 0})
        return self

    def get_state(self) -> dict[str, int]:
        """Where the stream stands.

        Returns
        -------
        dict of str to int
            "seed" and "counter", fit for JSON.
        """
        return {"seed": self.seed, "counter": self.counter}

    def set_state(self, state: dict[str, int]) -> None:
        """Continue exactly where `get_state` was called.

        Parameters
        ----------
        state : dict of str to int
            What that returned.
        """
        self.seed, self.counter = int(state["seed"]), int(state["counter"])

    def reserve(self, n: int, dtype: np.dtype) -> BlockRange:
        """The blocks that the next n numbers are made of, for a kernel to draw from.

        Parameters
        ----------
        n : int
            How many numbers.
        dtype : numpy.dtype
            Of what dtype: a block makes four of 8 bytes or eight others.

        Returns
        -------
        BlockRange
            The stream goes on after them.
        """
        if autograd.special and autograd._mode.lanes == "error":
            raise RuntimeError(
                "random numbers are drawn inside `vmap`: draw them outside and map over them, or say randomness='same' for the "
                "same ones in all lanes"
            )
        recording = active()
        advance = self.advance if recording is None else recording.advance_of(self)
        blocks = BlockRange(self, self.seed, self.counter, advance)
        self.counter += -(-n // (4 if dtype.itemsize == 8 else 8))
        return blocks

    def reserve_rows(self, rows: int, each: int, dtype: np.dtype) -> BlockRange:
        """The blocks that the next `rows` · `each` numbers are made of, which belong to the samples of a batch, in order.

        Where this process has a share of the batch (`weft.distributed`), the stream goes on after the numbers of the whole
        batch, and the blocks are those of its samples: what one process would have drawn for them.

        Parameters
        ----------
        rows : int
            As many as samples in this process's share, or a multiple of that: otherwise each process draws alike.
        each : int
            Numbers in a row.
        dtype : numpy.dtype
            Of what dtype.

        Returns
        -------
        BlockRange
            As `reserve` gives it.
        """
        share = ranks.share
        if share is None or rows % max(1, share.count):
            return self.reserve(rows * each, dtype)
        each *= rows // share.count if share.count else 1
        blocks = self.reserve(share.total * each, dtype)
        first, in_block = share.start * each, 4 if dtype.itemsize == 8 else 8
        return blocks._replace(counter=blocks.counter + first // in_block, skip=first % in_block)

    # --- raw draws ----------------------------------------------------------------------------------------------------
    def words(self, n: int, device: str = "cpu") -> Any:
        """The next n 64-bit words.

        Parameters
        ----------
        n : int
            How many.
        device : str, default "cpu"
            Where to.

        Returns
        -------
        array
            (n,) of uint64.
        """
        return self._draw("Words", (n,), dtypes.uint64, device)

    def halves(self, n: int) -> np.ndarray:
        """The next n 32-bit words, on the CPU.

        Parameters
        ----------
        n : int
            How many; the low half of each 64-bit word comes before the high one.

        Returns
        -------
        numpy.ndarray
            (n,) of uint32.
        """
        return self.reserve(n, dtypes.uint32).halves(n)

    def uniform(self, shape: Sequence[int], dtype: DType = None, device: str = "cpu") -> Any:
        """Uniform on [0, 1): 2⁻ᵖ times the highest p bits of a word (of half, if p ≤ 32), p being the dtype's precision.

        Parameters
        ----------
        shape : sequence of int
            Of the result.
        dtype : dtype, optional
            A real floating-point one; the default one if None.
        device : str, default "cpu"
            Where to.

        Returns
        -------
        array
            Of this shape and dtype.

        Raises
        ------
        TypeError
            If the dtype is not real floating-point.
        """
        return self._draw("Uniform", shape, _float_dtype(dtype), device)

    def normal(self, shape: Sequence[int], dtype: DType = None, device: str = "cpu") -> Any:
        """Standard normal: the distribution's quantile at the middle of a cell of width 2⁻³² (float64: 2⁻⁵²).

        Parameters
        ----------
        shape : sequence of int
            Of the result.
        dtype : dtype, optional
            A real floating-point one; the default one if None.
        device : str, default "cpu"
            Where to.

        Returns
        -------
        array
            Of this shape and dtype.

        Raises
        ------
        TypeError
            If the dtype is not real floating-point.
        """
        return self._draw("Normal", shape, _float_dtype(dtype), device)

    def bernoulli(self, shape: Sequence[int], probability: float, device: str = "cpu") -> Any:
        """Booleans that are True with some probability, decided on 32 bits.

        Parameters
        ----------
        shape : sequence of int
            Of the result.
        probability : float
            In [0, 1].
        device : str, default "cpu"
            Where to.

        Returns
        -------
        array
            Booleans of this shape.

        Raises
        ------
        ValueError
            If `probability` is not in [0, 1].
        """
        return self._draw("Bernoulli", shape, dtypes.bool, device, threshold(probability))

    def integers(self, low: int, high: int, shape: Sequence[int], device: str = "cpu") -> Any:
        """Integers in [low, high).

        Parameters
        ----------
        low, high : int
            The bounds; a word modulo high − low is added to `low`.
        shape : sequence of int
            Of the result.
        device : str, default "cpu"
            Where to.

        Returns
        -------
        array
            Of this shape and int64.

        Raises
        ------
        ValueError
            If there are none.
        """
        if high <= low:
            raise ValueError(f"`high` must be greater than `low`, got low={low}, high={high}")
        return self._draw("Integers", shape, dtypes.int64, device, high - low, low)

    def permutation(self, n: int, device: str = "cpu") -> Any:
        """The numbers 0 … n − 1 in random order: the order that sorts n random words.

        Parameters
        ----------
        n : int
            How many.
        device : str, default "cpu"
            Where to.

        Returns
        -------
        array
            (n,) of int64.
        """
        return devices.namespace(device).argsort(self.words(n, device), stable=True)

    def _draw(self, what: str, shape: Sequence[int], dtype: Any, device: str, *numbers: int) -> Any:
        n = math.prod(shape)
        blocks = self.reserve(n, dtype)
        fill = _kernels.get(devices.kind(device))
        if fill is not None and self.counter < 1 << 64:  # kernels count that far
            return fill(what, devices.namespace(device), tuple(shape), dtype, blocks, *numbers)
        try:
            raw = _ON_HOST[what](blocks, n, dtype, *numbers).reshape(shape)
        except MemoryError as error:
            raise MemoryError(f"`size` must fit into the memory that there is, got {tuple(shape)}: {error}") from None
        return raw if device == "cpu" else devices.namespace(device).asarray(raw)


class BlockRange(NamedTuple):
    """Blocks of a generator's stream, from `counter` on, set aside for one draw.

    Whoever needs the numbers makes them: a kernel in its registers, as often as it likes, or a CPU from `words`.
    """

    generator: Generator
    seed: int
    counter: int
    advance: Any  # see Generator
    skip: int = 0  # how many numbers of the first block are another's, see `reserve_rows`

    @property
    def stream(self) -> tuple[int, int, Any]:
        """What a kernel draws from."""
        return self.seed, self.counter, self.advance

    def words(self, n: int) -> np.ndarray:
        """The first n 64-bit words, by NumPy."""
        return self._drawn(n + self.skip)[self.skip :]

    def _drawn(self, n: int) -> np.ndarray:
        recording = active()
        if recording is not None and recording.call is not None:
            return recording.call(_words_from, (self.generator, self.seed, self.counter, self.advance, n), {})
        return self._words(n)

    def _words(self, n: int) -> np.ndarray:
        g, position = self.generator, (self.seed, self.counter)
        if g._position != position:
            g._bits = np.random.Philox(key=self.seed, counter=self.counter)
        blocks = -(-n // 4)
        g._position = (self.seed, self.counter + blocks)
        return g._bits.random_raw(4 * blocks)[:n]

    def halves(self, n: int) -> np.ndarray:
        """The first n 32-bit words, by NumPy."""
        end = n + self.skip
        return self._drawn(-(-end // 2)).astype("<u8", copy=False).view("<u4")[self.skip : end]

    def bernoulli(self, shape: Sequence[int], probability: float) -> np.ndarray:
        """`Generator.bernoulli` of these blocks, by NumPy."""
        return _bernoulli(self, math.prod(shape), dtypes.bool, threshold(probability)).reshape(shape)


def _words_from(generator: Generator, seed: int, counter: int, advance: Any, n: int) -> np.ndarray:
    """The words of a draw that was recorded, `advance` blocks later."""
    if advance is not None:
        counter = (counter + int(advance[0])) % 2**64  # less, where the generator was seeded anew
    return BlockRange(generator, seed, counter, None)._words(n)


def threshold(probability: float) -> int:
    """What a 32-bit word must be less than, to be so with `probability`."""
    if not 0 <= probability <= 1:
        raise ValueError(f"`probability` must be in [0, 1], got {probability}")
    return round(probability * 2**32)


# --- numbers from words, by NumPy -------------------------------------------------------------------------------------
def _uniform(blocks: BlockRange, n: int, dtype: Any) -> np.ndarray:
    p = PRECISION[dtype.name]  # fewer bits than a format can hold would waste it, more could round up to 1
    if p > 32:
        return (blocks.words(n) >> (64 - p)) * 2.0**-p
    return ((blocks.halves(n) >> (32 - p)).astype(np.float32) * np.float32(2.0**-p)).astype(dtype, copy=False)


def _normal(blocks: BlockRange, n: int, dtype: Any) -> np.ndarray:
    wide = dtype == np.float64
    source = blocks.words(n) >> 12 if wide else blocks.halves(n)  # one bit more, and the last cell's middle were 1
    cell = 2.0**-52 if wide else 2.0**-32
    out = np.empty(n, np.float64 if wide else np.float32)
    for i in range(0, n, BLOCK):
        out[i : i + BLOCK] = normal_quantile((source[i : i + BLOCK] + 0.5) * cell)
    return out.astype(dtype, copy=False)  # half precision is rounded from float32, as kernels do it


def _bernoulli(blocks: BlockRange, n: int, dtype: Any, threshold: int) -> np.ndarray:
    bits = blocks.halves(n)
    return bits < threshold if threshold < 1 << 32 else np.ones(bits.shape, bool)


def _integers(blocks: BlockRange, n: int, dtype: Any, width: int, low: int) -> np.ndarray:
    return low + (blocks.words(n) % np.uint64(width)).astype(np.int64)


_ON_HOST: dict[str, Callable] = {
    "Words": lambda blocks, n, dtype: blocks.words(n),
    "Uniform": _uniform,
    "Normal": _normal,
    "Bernoulli": _bernoulli,
    "Integers": _integers,
}
_kernels: dict[str, Callable] = {}  # by kind of device: fill(what, xp, shape, dtype, blocks, *numbers)


def on(device: str) -> Callable:
    """Register a function that draws on one kind of device, as a replacement for NumPy."""

    def register(fill: Callable) -> Callable:
        _kernels[device] = fill
        return fill

    return register


def _float_dtype(dtype: Any) -> np.dtype:
    dtype = dtypes.get_default_dtype() if dtype is None else as_dtype(dtype)
    if not dtypes.is_real_floating(dtype):
        raise TypeError(f"`dtype` must be a real floating-point dtype, got {dtype}")
    return dtype


@as_one(may_fail=False)
def normal_quantile(u: np.ndarray) -> np.ndarray:
    """Φ⁻¹(u) for u in (0, 1), relative error about 10⁻¹⁶.

    Wichura, "Algorithm AS 241: the percentage points of the normal distribution", Applied Statistics 37 (1988): a
    rational function of r = 0.425² − q² where |q| = |u − ½| ≤ 0.425, and of √−ln min(u, 1 − u) in the tails.
    """
    q = u - 0.5
    r = 0.180625 - q * q
    z = q * (_horner(_A, r) / _horner(_B, r))
    tail = np.flatnonzero(np.abs(q) > 0.425)
    r = np.sqrt(-_log(np.minimum(u[tail], 1.0 - u[tail])))
    near = r <= 5.0
    t = np.where(near, r - 1.6, r - 5.0)
    far = np.where(near, _horner(_C, t) / _horner(_D, t), _horner(_E, t) / _horner(_F, t))
    z[tail] = np.where(q[tail] < 0, -far, far)
    return z


def _horner(coefficients: Sequence[float], x: np.ndarray) -> np.ndarray:
    y = coefficients[-1] * x + coefficients[-2]
    for c in coefficients[-3::-1]:
        y *= x
        y += c
    return y


def _log(x: np.ndarray) -> np.ndarray:
    """ln x from exactly rounded operations alone: x = m 2ᵉ with m in [√½, √2), ln m = 2 artanh((m − 1)/(m + 1))."""
    m, e = np.frexp(x)
    low = m < math.sqrt(0.5)
    m = np.where(low, 2.0 * m, m)
    e = e - low
    s = (m - 1.0) / (m + 1.0)
    return e * math.log(2.0) + 2.0 * s * _horner([1.0 / (2 * k + 1) for k in range(12)], s * s)


_A = (
    3.3871328727963666080e0, 1.3314166789178437745e2, 1.9715909503065514427e3, 1.3731693765509461125e4,
    4.5921953931549871457e4, 6.7265770927008700853e4, 3.3430575583588128105e4, 2.5090809287301226727e3,
)  # fmt: skip
_B = (
    1.0, 4.2313330701600911252e1, 6.8718700749205790830e2, 5.3941960214247511077e3,
    2.1213794301586595867e4, 3.9307895800092710610e4, 2.8729085735721942674e4, 5.2264952788528545610e3,
)  # fmt: skip
_C = (
    1.42343711074968357734e0, 4.63033784615654529590e0, 5.76949722146069140550e0, 3.64784832476320460504e0,
    1.27045825245236838258e0, 2.41780725177450611770e-1, 2.27238449892691845833e-2, 7.74545014278341407640e-4,
)  # fmt: skip
_D = (
    1.0, 2.05319162663775882187e0, 1.67638483018380384940e0, 6.89767334985100004550e-1,
    1.48103976427480074590e-1, 1.51986665636164571966e-2, 5.47593808499534494600e-4, 1.05075007164441684324e-9,
)  # fmt: skip
_E = (
    6.65790464350110377720e0, 5.46378491116411436990e0, 1.78482653991729133580e0, 2.96560571828504891230e-1,
    2.65321895265761230930e-2, 1.24266094738807843860e-3, 2.71155556874348757815e-5, 2.01033439929228813265e-7,
)  # fmt: skip
_F = (
    1.0, 5.99832206555887937690e-1, 1.36929880922735805310e-1, 1.48753612908506148525e-2,
    7.86869131145613259100e-4, 1.84631831751005468180e-5, 1.42151175831644588870e-7, 2.04426310338993978564e-15,
)  # fmt: skip

default_generator = Generator(0)


def generator_of(generator: Generator | None) -> Generator:
    """What draws: the generator that was given, or the default one; TypeError for anything else, such as a seed."""
    if generator is None:
        return default_generator
    if not isinstance(generator, Generator):
        raise TypeError(f"`generator` must be a weft.Generator, got {generator!r:.60}; of a seed: weft.Generator(seed)")
    return generator


def manual_seed(seed: int) -> Generator:
    """Seed the default generator, which every layer, dropout and `weft.rand…` draws from.

    Parameters
    ----------
    seed : int
        In [0, 2¹²⁸).

    Returns
    -------
    Generator
        The default one.

    Raises
    ------
    ValueError
        If `seed` is no integer in that range.

    Examples
    --------
    >>> x = weft.manual_seed(1) and weft.rand(2)
    >>> y = weft.manual_seed(1) and weft.rand(2)
    >>> x.tolist() == y.tolist()
    True
    """
    return default_generator.manual_seed(seed)


def _sizes(size: tuple) -> tuple:
    size = tuple(size[0]) if len(size) == 1 and isinstance(size[0], tuple | list) else size
    for length in size:
        integer("size", length, 0)
    return size


def rand(
    *size: int | Sequence[int],
    generator: Generator | None = None,
    dtype: DType = None,
    device: str | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """Uniform random numbers on [0, 1), as `torch.rand`.

    Parameters
    ----------
    *size : int or sequence of int
        The shape: one number for each axis, or all in one sequence.
    generator : Generator, optional
        What to draw from; the default one if None.
    dtype : dtype, optional
        A real floating-point one; the default one if None.
    device : str, optional
        Where to; the default device if None.
    requires_grad : bool, default False
        Whether to record operations on it.

    Returns
    -------
    Tensor
        The same numbers on every device.

    Raises
    ------
    TypeError
        If the dtype is not real floating-point.

    Examples
    --------
    >>> weft.rand(2, 3).shape
    (2, 3)
    """
    device = devices.canonical(device)
    raw = generator_of(generator).uniform(_sizes(size), dtype, device)
    return wrap(raw, device).requires_grad_(requires_grad)


def randn(
    *size: int | Sequence[int],
    generator: Generator | None = None,
    dtype: DType = None,
    device: str | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """Standard normal random numbers, as `torch.randn`.

    Parameters
    ----------
    *size : int or sequence of int
        The shape: one number for each axis, or all in one sequence.
    generator : Generator, optional
        What to draw from; the default one if None.
    dtype : dtype, optional
        A real floating-point one; the default one if None.
    device : str, optional
        Where to; the default device if None.
    requires_grad : bool, default False
        Whether to record operations on it.

    Returns
    -------
    Tensor
        The same numbers on every device.

    Raises
    ------
    TypeError
        If the dtype is not real floating-point.

    Examples
    --------
    >>> weft.randn(2, 3, dtype=weft.float64).dtype
    dtype('float64')
    """
    device = devices.canonical(device)
    raw = generator_of(generator).normal(_sizes(size), dtype, device)
    return wrap(raw, device).requires_grad_(requires_grad)


def randint(
    low: int,
    high: Any,
    size: Sequence[int] | None = None,
    *,
    generator: Generator | None = None,
    dtype: DType = None,
    device: str | None = None,
) -> Tensor:
    """Random integers in [low, high), as `torch.randint`: `randint(low, high, size)` or `randint(high, size)`.

    Parameters
    ----------
    low : int
        The lower bound; left out, it is 0.
    high : int
        The upper bound, which does not occur.
    size : sequence of int
        The shape.
    generator : Generator, optional
        What to draw from; the default one if None.
    dtype : dtype, optional
        Int64 if None.
    device : str, optional
        Where to; the default device if None.

    Returns
    -------
    Tensor
        The same numbers on every device.

    Raises
    ------
    ValueError
        If there are no such integers, or `dtype` does not hold them.
    TypeError
        If `size` is left out, or is a number beside `high` alone.

    Examples
    --------
    >>> x = weft.randint(10, (3,))
    >>> x.shape, weft.all((x >= 0) & (x < 10))
    ((3,), tensor(True))
    """
    if size is None:
        low, high, size = 0, low, high
        if not isinstance(size, list | tuple):
            raise TypeError(f"`size` must be a sequence of int, got {size!r}; write randint(low, high, size)")
    integer("low", low, -(2**63), 2**63 - 1)
    integer("high", high, -(2**63), 2**63 - 1)
    if dtype is not None and low < high:
        dtype = as_dtype(dtype)
        check_holds("low", low, dtype)
        check_holds("high", high - 1, dtype)
    device = devices.canonical(device)
    raw = generator_of(generator).integers(low, high, _sizes((size,)), device)
    xp = devices.namespace(device)
    return wrap(raw if dtype is None else xp.astype(raw, dtypes.native(xp, dtype)), device)


def randperm(n: int, *, generator: Generator | None = None, device: str | None = None) -> Tensor:
    """The numbers 0 … n − 1 in random order, as `torch.randperm`.

    Parameters
    ----------
    n : int
        How many.
    generator : Generator, optional
        What to draw from; the default one if None.
    device : str, optional
        Where to; the default device if None.

    Returns
    -------
    Tensor
        (n,) of int64, the same on every device.

    Examples
    --------
    >>> weft.sort(weft.randperm(4))
    tensor([0, 1, 2, 3])
    """
    integer("n", n, 0)
    device = devices.canonical(device)
    return wrap(generator_of(generator).permutation(n, device), device)
