"""Whether sums that threads could form in any order are formed in a fixed one: the default, for its price."""

from __future__ import annotations

from ...kernels.toolchain.settings import settings

__all__ = ["are_deterministic_algorithms_enabled", "use_deterministic_algorithms"]


def use_deterministic_algorithms(mode: bool) -> None:
    """Demand the same bits from the same program every time (True, the default), or let it be faster (False).

    On a GPU, False lets float sums form in the order in which threads arrive. It changes

    - the gradient of `embedding`: rows are added to the table as they come, instead of being sorted by index first
      (half precision is still summed in float32 and rounded once, which may cost a large table more than the sort);
    - the gradient of attention with respect to the queries (half precision, heads of up to 128, no mask but the causal
      one, no dropout): every block of keys adds its part, so that nothing is computed twice;
    - what cuBLAS does with atomics, should it have such a form of a product.

    On a CPU results are always the same. In the emulator, which runs the same kernels, they may differ from schedule to
    schedule. A captured step is recorded anew when the mode has changed.

    As `torch.use_deterministic_algorithms`, except that there the default is False, and that there is no `warn_only`:
    every operation has a deterministic form, so there is nothing to warn of.

    Parameters
    ----------
    mode : bool
        Whether every sum has a fixed order.

    Raises
    ------
    TypeError
        If `mode` is no bool.

    Examples
    --------
    >>> weft.use_deterministic_algorithms(False)
    >>> weft.are_deterministic_algorithms_enabled()
    False
    >>> weft.use_deterministic_algorithms(True)
    """
    if not isinstance(mode, bool):
        raise TypeError(f"`mode` must be a bool, got {mode!r}")
    settings.deterministic = mode


def are_deterministic_algorithms_enabled() -> bool:
    """Whether results are the same bits every time.

    Returns
    -------
    bool
        True unless `use_deterministic_algorithms` has chosen otherwise.

    Examples
    --------
    >>> weft.are_deterministic_algorithms_enabled()
    True
    """
    return settings.deterministic
