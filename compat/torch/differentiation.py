"""`torch.autograd`: operations with a backward of one's own, and gradients that go to nobody's `.grad`."""

from __future__ import annotations

from typing import Any

from ...backend.tape.autograd import _record, enable_grad, is_grad_enabled, no_grad
from ...backend.tape.tensor import Tensor, wrap

__all__ = ["Function"]


class Context:
    """What `forward` keeps for `backward`."""

    saved_tensors: tuple[Tensor, ...] = ()
    needs_input_grad: tuple[bool, ...] = ()

    def save_for_backward(self, *tensors: Tensor) -> None:
        """Keep tensors.

        Parameters
        ----------
        *tensors : Tensor
            Which.
        """
        self.saved_tensors = tensors

    def mark_non_differentiable(self, *tensors: Tensor) -> None:
        """PyTorch's; it changes nothing for outputs that are not floating-point.

        Parameters
        ----------
        *tensors : Tensor
            Which.
        """


class Function:
    """An operation with a forward and a backward of its own: `forward(ctx, …)`, `backward(ctx, *grads)`, both static."""

    @classmethod
    def apply(cls, *args: Any) -> Any:
        """Run `forward`, and record `backward` for it.

        Parameters
        ----------
        *args : object
            What `forward` takes after `ctx`; gradients go to the Tensors among them.

        Returns
        -------
        Tensor or tuple of Tensor
            What `forward` gives.
        """
        ctx: Any = Context()
        parents = [(a._node or a) if isinstance(a, Tensor) and a.requires_grad else None for a in args]
        ctx.needs_input_grad = tuple(p is not None for p in parents)
        with no_grad():
            found: Any = cls.forward(ctx, *args)  # type: ignore[attr-defined]
        if not is_grad_enabled() or not any(ctx.needs_input_grad):
            return found
        several = isinstance(found, tuple)
        first = found[0] if several else found

        def pullback(g: Any, need: Any, into: Any) -> list:
            given = [x if x is None else wrap(x, first.device) for x in (g if several else (g,))]
            with no_grad():
                grads = cls.backward(ctx, *given)  # type: ignore[attr-defined]
            grads = grads if isinstance(grads, tuple) else (grads,)
            if len(grads) != len(need):
                raise RuntimeError(
                    f"`{cls.__name__}.backward` must give {len(need)} gradients, one for each argument, got {len(grads)}"
                )
            return [x.data if n and x is not None else None for x, n in zip(grads, need)]

        raw = tuple(f.data for f in found) if several else found.data
        return _record(cls.__name__, raw, pullback, parents, first.device, first._depth)


__all__ += ["enable_grad", "no_grad"]
