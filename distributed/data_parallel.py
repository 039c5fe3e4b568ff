"""DistributedDataParallel: the same model in every process, each with its share of the batch."""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from ..backend.device import devices, ranks
from ..backend.tape import autograd
from ..backend.tape.autograd import is_grad_enabled
from ..backend.tape.sharing import changed
from ..backend.tape.tensor import Parameter, Tensor
from ..layers.module import Module
from .buckets import Reducer, Reducers

__all__ = ["DistributedDataParallel"]


class DistributedDataParallel(Module):
    """A model whose gradients are the means over all processes, as `torch.nn.parallel.DistributedDataParallel`.

    With the same number of samples in each of N processes, and a loss that is a mean over samples, a step is that of one
    process with all of them: g = 1/N Σᵣ gᵣ. Parameters and buffers start as those of process 0.

    Parameters
    ----------
    module : Module
        The same in all processes.
    device_ids : optional
        PyTorch's argument; the module is where it is.
    output_device : optional
        PyTorch's argument, too.
    dim : int, default 0
        The axis of samples, and 0 the only choice.
    broadcast_buffers : bool, default True
        Whether buffers are those of process 0 at each call in training.
    init_sync : bool, default True
        Whether parameters and buffers are made those of process 0 now.
    process_group : optional
        PyTorch's argument: which processes take part. None is all of them, and the only choice.
    bucket_cap_mb : float, optional
        Mebibytes of gradients that are reduced together, 25 unless given.
    find_unused_parameters : bool, default False
        PyTorch's argument. Here they are always found.
    **others : object
        PyTorch's other arguments, which change no result: `gradient_as_bucket_view`, `static_graph`.

    Attributes
    ----------
    module : Module
        The model itself.

    Raises
    ------
    TypeError
        If `module` is no Module.
    RuntimeError
        If a launcher has started several processes, and `init` was not called.
    ValueError
        If it has nothing to learn, an argument is one that there is no choice for, or, in all processes, if they have
        different models.

    Notes
    -----
    Gradients are added up in the order of ranks while `backward` goes on, each bucket as soon as it is complete. A sum does
    not depend on timing: runs repeat bit for bit, and all processes have the same bits.

    Dropout masks are those that one process would have drawn for the whole batch, of which process r has part r: a model
    that draws otherwise (`weft.randn` in its forward) draws the same in all processes, if they are seeded alike.

    Alone, in one process, it is the module and nothing more.

    Examples
    --------
    >>> model = weft.distributed.DistributedDataParallel(nn.Linear(2, 1))
    >>> list(model.state_dict())
    ['module.weight', 'module.bias']
    >>> model(weft.ones((4, 2))).shape
    (4, 1)
    """

    def __init__(
        self,
        module: Module,
        device_ids: Any = None,
        output_device: Any = None,
        dim: int = 0,
        broadcast_buffers: bool = True,
        init_sync: bool = True,
        process_group: None = None,
        bucket_cap_mb: float | None = None,
        find_unused_parameters: bool = False,
        **others: Any,
    ):
        if not isinstance(module, Module):
            raise TypeError(f"`module` must be a Module, got {module!r:.80}")
        if process_group is not None:
            raise ValueError(f"`process_group` must be None, all processes, got {process_group!r:.80}")
        if dim != 0:
            raise ValueError(f"`dim` must be 0, the axis of samples, got {dim!r}")
        if unknown := set(others) - {"gradient_as_bucket_view", "static_graph", "check_reduction"}:
            raise TypeError(f"DistributedDataParallel has no argument `{min(unknown)}`")
        if bucket_cap_mb is not None and not (isinstance(bucket_cap_mb, int | float) and bucket_cap_mb > 0):
            raise ValueError(f"`bucket_cap_mb` must be positive, got {bucket_cap_mb!r}")
        ranks.require_met()
        learned = _learned(module)
        if not learned:
            raise ValueError(
                "`module` must have a parameter that requires a gradient, got none: there is nothing to reduce"
            )
        self.module, self.broadcast_buffers = module, broadcast_buffers
        self._reducer: Reducer | None = None
        if ranks.group is None:
            return
        check_alike(module)
        if init_sync:
            broadcast_state(module)
        self._cap = int((25 if bucket_cap_mb is None else bucket_cap_mb) * (1 << 20))
        self._is_synchronized = True
        self._reduce(learned)

    def _reduce(self, learned: list[tuple[str, Parameter]]) -> None:
        """Let backward tell of these parameters."""
        self._reducer = Reducer(learned, self._cap)
        if autograd.reducing is None:
            autograd.reducing = Reducers()
        autograd.reducing.add(self._reducer)

    def __getstate__(self) -> dict[str, Any]:
        """For `copy` and `pickle`: a copy has parameters of its own, and what reduces them."""
        return vars(self) | {"_reducer": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        if ranks.group is not None and "_cap" in state:
            self._reduce(_learned(self.module))

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The module's output for this process's share of the batch.

        Parameters
        ----------
        *args, **kwargs : object
            As the module takes them; the first Tensor among the positional ones has the samples along its first axis.

        Returns
        -------
        object
            What the module returns.
        """
        if self._reducer is None:
            return self.module(*args, **kwargs)
        if is_grad_enabled():
            self._reducer.is_on = self._is_synchronized
            autograd.reducing.due.add(self._reducer)
            if self.broadcast_buffers and self.training:
                broadcast_arrays(list(self.module.buffers()))
        with ranks.sharing(ranks.share or _even_share(args)):
            return self.module(*args, **kwargs)

    def reduce_gradients(self) -> None:
        """Reduce what has been added up inside `no_sync`, without another backward pass.

        Notes
        -----
        Not in PyTorch.

        Examples
        --------
        >>> model = weft.distributed.DistributedDataParallel(nn.Linear(2, 1))
        >>> with model.no_sync():
        ...     model(weft.ones((4, 2))).sum().backward()
        >>> model.reduce_gradients()
        """
        if self._reducer is not None:
            self._reducer.reduce()

    @contextlib.contextmanager
    def no_sync(self) -> Iterator[None]:
        """Within the block, calls and their backward passes add gradients up in this process alone.

        The next backward pass outside reduces what has been added up.

        Yields
        ------
        None
            Nothing.

        Examples
        --------
        >>> model = weft.distributed.DistributedDataParallel(nn.Linear(2, 1))
        >>> with model.no_sync():
        ...     model(weft.ones((4, 2))).sum().backward()
        """
        before = getattr(self, "_is_synchronized", True)
        self._is_synchronized = False
        try:
            yield
        finally:
            self._is_synchronized = before


def _learned(module: Module) -> list[tuple[str, Parameter]]:
    return [(n, p) for n, p in module.named_parameters() if p.requires_grad and isinstance(p, Parameter)]


def _even_share(args: tuple) -> ranks.Share | None:
    for a in args:
        if isinstance(a, Tensor) and a.ndim:
            n, group = a.shape[0], ranks.group
            return ranks.Share(group.rank * n, n, group.size * n)
    return None


def check_alike(module: Module) -> None:
    """Raise ValueError, in all processes, unless all have a model of the same layers, shapes and dtypes."""
    rows = [f"{name} {type(m).__name__} {m.extra_repr()}" for name, m in module.named_modules()]
    rows += [
        f"{name} {tuple(t.shape)} {t.dtype} {t.requires_grad}"
        for named in (module.named_parameters(), module.named_buffers())
        for name, t in named
    ]
    found = ranks.group.objects([zlib.crc32(row.encode()) for row in rows])
    for rank, theirs in enumerate(found):
        if theirs != found[0]:
            mine = found[ranks.group.rank]
            other = found[0] if mine != found[0] else theirs
            at = next((i for i, (a, b) in enumerate(zip(mine, other)) if a != b), min(len(mine), len(other)))
            where = repr(rows[at]) if at < len(rows) else "that it ends earlier"
            raise ValueError(
                f"`module` must be the same in all processes, but those of processes 0 and {rank} differ; "
                f"first, in process {ranks.group.rank}, in {where:.120}"
            )


def broadcast_state(module: Module) -> None:
    """Give all processes the parameters and buffers of process 0."""
    broadcast_arrays([*module.parameters(), *module.buffers()])


def broadcast_arrays(tensors: list[Tensor]) -> None:
    """Give all processes the values of process 0, in one message."""
    if not tensors:
        return
    hosts = [np.ascontiguousarray(devices.to_numpy(t.data)) for t in tensors]
    message = np.concatenate([host.reshape(-1).view(np.uint8) for host in hosts])
    ranks.group.broadcast(message)
    if ranks.group.rank == 0:
        return
    at = 0
    for t, host in zip(tensors, hosts):
        new = message[at : at + host.nbytes].view(host.dtype).reshape(host.shape)
        at += host.nbytes
        t.data[...] = devices.namespace_of(t.data).asarray(new)
        changed(t.data)
