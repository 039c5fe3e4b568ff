"""What of a module is reached, or replaced, by its path; and what a module may add to its state, and be told of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..backend.tape.handle import RemovableHandle
from ..backend.tape.tensor import Parameter, Tensor

__all__: list[str] = []

EXTRA = "_extra_state"  # PyTorch's name in a state_dict for what `get_extra_state` returns


class Addressed:
    """Part of `Module`: its methods that take paths, and those around its `state_dict`."""

    _state_hooks: dict[str, list[tuple[Callable]]] | None = (
        None  # "save before", "save after", "load before", "load after"
    )

    def get_submodule(self, target: str) -> Any:  # defined by Module
        raise NotImplementedError

    def _own_buffers(self) -> list[tuple[str, Tensor]]:
        raise NotImplementedError

    def _found(self, target: str, kind: str) -> tuple[Any, str]:
        if not isinstance(target, str) or not target:
            raise ValueError(f"`target` must be the path of a {kind}, such as 'layer1.0.{kind}', got {target!r}")
        path, _, name = target.rpartition(".")
        return self.get_submodule(path), name

    def get_parameter(self, target: str) -> Parameter:
        """The parameter at a path such as "layer1.0.weight".

        Parameters
        ----------
        target : str
            Names joined by dots, as `named_parameters` gives them.

        Returns
        -------
        Parameter
            The parameter itself, not a copy.

        Raises
        ------
        AttributeError
            If there is none at that path; the message says which there are.
        """
        module, name = self._found(target, "weight")
        found = dict(module._own_parameters())
        if name not in found:
            raise AttributeError(
                f"`target` {target!r}: {type(module).__name__} has no parameter {name!r}, only {[*found]}"
            )
        return found[name]

    def get_buffer(self, target: str) -> Tensor:
        """The buffer at a path such as "layer1.0.running_mean".

        Parameters
        ----------
        target : str
            Names joined by dots, as `named_buffers` gives them.

        Returns
        -------
        Tensor
            The buffer itself, not a copy.

        Raises
        ------
        AttributeError
            If there is none at that path; the message says which there are.
        """
        module, name = self._found(target, "buffer")
        found = dict(module._own_buffers())
        if name not in found:
            raise AttributeError(
                f"`target` {target!r}: {type(module).__name__} has no buffer {name!r}, only {[*found]}"
            )
        return found[name]

    def set_submodule(self, target: str, module: Any, strict: bool = False) -> None:
        """Put a module at a path such as "layer1.0.conv1", in the place of the one there.

        Parameters
        ----------
        target : str
            Names joined by dots, as `named_modules` gives them.
        module : Module
            What is put there.
        strict : bool, default False
            Whether there must be one already.

        Raises
        ------
        AttributeError
            If the path leads through what is no module, or, if `strict`, to none.
        TypeError
            If `module` is not a Module.

        Examples
        --------
        >>> from weft import layers as nn
        >>> net = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
        >>> net.set_submodule("1", nn.Tanh())
        >>> net[1]
        Tanh()
        """
        parent, name = self._found(target, "module")
        if strict or (name in vars(parent) and vars(parent)[name] is not None):
            parent.get_submodule(name)
        if module is None:
            raise TypeError("`module` must be a Module, got None; del takes one away")
        parent.add_module(name, module)

    # --- state --------------------------------------------------------------------------------------------------------
    def get_extra_state(self) -> Any:
        """What a class that defines this adds to the state_dict, under "_extra_state"; `set_extra_state` gets it back.

        Returns
        -------
        Any
            Anything; a Tensor or array where the state is to be saved by `weft.save`.

        Raises
        ------
        NotImplementedError
            In a class that does not define it, which adds nothing.
        """
        raise NotImplementedError(f"`{type(self).__name__}` must define get_extra_state to have an extra state")

    def set_extra_state(self, state: Any) -> None:
        """Take back, while a state_dict is loaded, what `get_extra_state` returned.

        Parameters
        ----------
        state : Any
            What the state_dict has.

        Raises
        ------
        NotImplementedError
            In a class that does not define it.
        """
        raise NotImplementedError(f"`{type(self).__name__}` must define set_extra_state to load an extra state")

    def _has_extra_state(self) -> bool:
        return type(self).get_extra_state is not Addressed.get_extra_state

    def _add_state_hook(self, when: str, hook: Callable) -> RemovableHandle:
        if not callable(hook):
            raise TypeError(f"`hook` must be a function, got {hook!r:.80}")
        if self._state_hooks is None:
            self._state_hooks = {}
        hooks = self._state_hooks.setdefault(when, [])
        entry = (hook,)
        hooks.append(entry)
        return RemovableHandle(hooks, entry)

    def _tell(self, when: str, *args: Any) -> list[Any]:
        """What the hooks of a moment return."""
        return [hook(self, *args) for (hook,) in (self._state_hooks or {}).get(when, ())]

    def register_state_dict_pre_hook(self, hook: Callable[[Any, str, bool], Any]) -> RemovableHandle:
        """Call a function before `state_dict` reads this module.

        Parameters
        ----------
        hook : callable
            `hook(module, prefix, keep_vars)`.

        Returns
        -------
        RemovableHandle
            Its `remove()` takes the hook off.
        """
        return self._add_state_hook("save before", hook)

    def register_state_dict_post_hook(self, hook: Callable[[Any, dict, str, dict], Any]) -> RemovableHandle:
        """Call a function after `state_dict` has read this module and those inside, which may change the dict in place.

        Parameters
        ----------
        hook : callable
            `hook(module, state_dict, prefix, local_metadata)`; the last is empty here.

        Returns
        -------
        RemovableHandle
            Its `remove()` takes the hook off.
        """
        return self._add_state_hook("save after", hook)

    def register_load_state_dict_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call a function before `load_state_dict` looks at what it was given, which may change that in place.

        Parameters
        ----------
        hook : callable
            `hook(module, state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs)`: a copy
            of the dict; the three lists are empty.

        Returns
        -------
        RemovableHandle
            Its `remove()` takes the hook off.
        """
        return self._add_state_hook("load before", hook)

    def register_load_state_dict_post_hook(self, hook: Callable[[Any, Any], Any]) -> RemovableHandle:
        """Call a function after `load_state_dict`.

        Parameters
        ----------
        hook : callable
            `hook(module, incompatible_keys)`.

        Returns
        -------
        RemovableHandle
            Its `remove()` takes the hook off.
        """
        return self._add_state_hook("load after", hook)


def shown_to_hooks(
    modules: Sequence[tuple[str, Addressed]], state: Mapping[str, Any], strict: bool
) -> Mapping[str, Any]:
    """The state that the hooks of `modules` (path, module) make of a copy of the one to load."""
    if not any((module._state_hooks or {}).get("load before") for _, module in modules):
        return state
    copy = dict(state)
    for path, module in modules:
        module._tell("load before", copy, f"{path}." if path else "", {}, strict, [], [], [])
    return copy
