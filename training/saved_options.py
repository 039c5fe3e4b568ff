"""What the options of a run have in common: they are saved with it, and stay as they are when it goes on."""

from __future__ import annotations

from dataclasses import asdict, fields, replace
from typing import Any, ClassVar, Self

from .usage import UsageError

__all__ = ["SavedOptions"]


class SavedOptions:
    """The base of a dataclass of options that decide what the weights will be.

    A subclass names in `MAY_CHANGE` those that another part of the run may have another value of: where the data are.

    Examples
    --------
    >>> from weft.training.text import TextRecipe
    >>> isinstance(TextRecipe(data="input.txt"), SavedOptions)
    True
    """

    MAY_CHANGE: ClassVar[tuple[str, ...]] = ("data",)

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
            If it is no such dict.
        """
        kind: Any = cls
        known = {field.name for field in fields(kind)}
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
