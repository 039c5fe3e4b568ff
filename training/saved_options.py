"""What the options of a run have in common: they are saved with it, and stay as they are when it goes on."""

from __future__ import annotations

from dataclasses import Field, asdict, fields, replace
from typing import Any, ClassVar, Self

from .usage import UsageError

__all__ = ["SavedOptions"]

KINDS: dict[str, tuple[type, ...]] = {"str": (str,), "bool": (bool,), "int": (int,), "float": (int, float)}


class SavedOptions:
    """The base of a dataclass of options that decide what the weights will be.

    A subclass names in `MAY_CHANGE` those that another part of the run may have another value of: where the data are; and
    in `MAY_BE_ZERO` the integers that may, beside those that are unless told otherwise.

    Examples
    --------
    >>> from weft.training.text import TextRecipe
    >>> isinstance(TextRecipe(data="input.txt"), SavedOptions)
    True
    """

    MAY_CHANGE: ClassVar[tuple[str, ...]] = ("data",)
    MAY_BE_ZERO: ClassVar[tuple[str, ...]] = ("warmup",)

    def to_json(self) -> dict[str, Any]:
        """The options by name.

        Returns
        -------
        dict
            For `from_json`.
        """
        options: Any = self
        return asdict(options)

    @classmethod
    def from_json(cls, saved: dict[str, Any]) -> Self:
        """The options in a checkpoint.

        Parameters
        ----------
        saved : dict
            As `to_json` gave it, now or in an earlier version: unknown options are left aside.

        Returns
        -------
        SavedOptions
            Options that are missing have their defaults.

        Raises
        ------
        TypeError
            If it is no such dict, or an option is of another kind: it is named.
        """
        kind: Any = cls
        known = {field.name: field for field in fields(kind)}
        for name, value in saved.items():
            if name in known:
                _check_kind(known[name], value, may_be_zero=name in cls.MAY_BE_ZERO)
        return cls(**{name: value for name, value in saved.items() if name in known})

    def resumed_with(self, given: dict[str, Any]) -> Self:
        """These options with others given on resuming.

        Parameters
        ----------
        given : dict
            Options by name.

        Returns
        -------
        SavedOptions
            What is left to do.

        Raises
        ------
        UsageError
            For options that would make another run of it.
        """
        for name, value in given.items():
            if name not in self.MAY_CHANGE and getattr(self, name) != value:
                option = f"--{name.replace('_', '-')}"
                raise UsageError(f"{option} cannot change on resuming: the run was begun with {getattr(self, name)}")
        options: Any = self
        return replace(options, **given)


def _check_kind(field: Field[Any], value: Any, *, may_be_zero: bool) -> None:
    least = 0 if may_be_zero or field.default == 0 else 1
    if type(value) not in KINDS[str(field.type)] or (field.type == "int" and value < least):
        raise TypeError(f"`{field.name}` is {value!r:.60}")
