"""The folder of a run: one process has it at a time, and no other run begins in it by accident."""

from __future__ import annotations

import itertools
import os
import platform
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from shlex import quote
from typing import BinaryIO, TypeVar, cast

from ...data.files import expanded, writable
from ...data.locking import open_locked
from ...data.writing import make_folder, reason
from ..processes import by_first, is_first
from ..usage import UsageError

__all__ = [
    "CHECKPOINTS",
    "FILES",
    "FolderInUse",
    "by_first_in",
    "folder_of",
    "held",
    "hold_unused",
    "model_in",
    "path_of",
    "remover",
]

P = TypeVar("P", Path, Path | None)

LOCK = ".lock"
CHECKPOINTS = ("last.safetensors", "best.safetensors")
MODEL = "model.safetensors"
PICTURES = ("curves", "confusion", "attention", "forecast")
FILES = (*CHECKPOINTS, MODEL, "model.json", "log.csv", *(f"{name}.png" for name in PICTURES))


def model_in(path: Path) -> Path:
    """The model that a run has left in a folder: the finished one, or else the best, or else the last; `path` if there is none."""
    names = (MODEL, *reversed(CHECKPOINTS))
    return next((path / name for name in names if (path / name).is_file()), path)


class FolderInUse(UsageError):
    """Another process is training into the folder, or a run is in it already.

    Examples
    --------
    >>> raise FolderInUse("--out runs/a: process 12 is training into it")
    Traceback (most recent call last):
        ...
    weft.training.cli.folder.FolderInUse: --out runs/a: process 12 is training into it
    """


@contextmanager
def held(folder: Path, *, is_new: bool = True) -> Iterator[Path]:
    """Hold a folder within the block, made if it is missing; afterwards an empty one that was made is gone again.

    The lock is the system's, on a file `.lock` that names the process: it goes with the process, however that ends.

    Parameters
    ----------
    folder : path
        Of the run.
    is_new : bool, default True
        Whether there must be no run in it.

    Yields
    ------
    path
        The folder.

    Raises
    ------
    FolderInUse
        If another process holds it, or it has a run.
    UsageError
        If it cannot be written to.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as parent:
    ...     with held(Path(parent, "run")) as folder, held(folder):
    ...         pass
    Traceback (most recent call last):
        ...
    weft.training.cli.folder.FolderInUse: --out ...run: process ... is training into it; ...
    """
    made: list[Path] = []
    with ExitStack() as stack:
        try:
            made += make_folder(folder)
            stack.callback(_remove_empty, made)
            lock = open_locked(folder / LOCK)
            if lock is None:
                who = _holder(folder / LOCK)
                raise FolderInUse(
                    f"--out {folder}: {who} is training into it; wait for its end or choose another folder"
                )
            stack.callback(_let_go, folder / LOCK, lock)
            _sign(lock)
        except (OSError, ValueError) as error:
            if isinstance(error, UsageError):
                raise
            raise UsageError(
                f"--out {folder}: could not be written: {reason(error)}; choose a folder that can be"
            ) from error
        _check(folder, is_new)
        yield folder


def folder_of(out: str | None, source: Path | None, overwrite: bool, stack: ExitStack) -> Path | None:
    """The folder that the options name, held.

    Parameters
    ----------
    out : str or None
        `--out`.
    source : path or None
        What `--resume` goes on from.
    overwrite : bool
        `--overwrite`.
    stack : ExitStack
        Lets it go.

    Returns
    -------
    path or None
        None: they name none.
    """
    if out == "":
        raise UsageError("--out must name a folder, got ''")
    if overwrite and out is None:
        raise UsageError("--overwrite goes with --out")
    if out is None and source is None:
        return None
    folder = source.parent if out is None and source is not None else path_of("--out", out or "")
    goes_on = source is not None and os.path.exists(folder) and folder.samefile(source.parent)
    if overwrite and goes_on:
        raise UsageError("--overwrite is for a new run, --resume goes on with the one that is there")
    return stack.enter_context(held(folder, is_new=not (overwrite or goes_on)))


def hold_unused(base: Path, stack: ExitStack) -> Path:
    """Hold the folder `base`, or the first of `base-2`, `base-3` … that has no files and no process.

    Parameters
    ----------
    base : path
        The name.
    stack : ExitStack
        Lets it go.

    Returns
    -------
    path
        The folder.
    """
    for n in itertools.count(1):
        folder = base if n == 1 else base.with_name(f"{base.name}-{n}")
        if _has_files(folder):
            continue
        with suppress(FolderInUse):
            stack.enter_context(held(folder))
            if not _has_files(folder):  # those of a run that has ended just now
                return folder
    raise AssertionError


def by_first_in(hold: Callable[[], P], stack: ExitStack) -> P:
    """The folder that process 0 holds; of several processes the others write into folders of their own, which nobody sees.

    Parameters
    ----------
    hold : callable
        Gives the folder, or None.
    stack : ExitStack
        Lets it go.

    Returns
    -------
    path or None
        The folder.
    """
    folder = by_first(hold)
    if folder is None or is_first():
        return folder
    return cast(P, Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="weft-"))))


def path_of(option: str, path: str) -> Path:
    """The path that an option names.

    Parameters
    ----------
    option : str
        What it is called.
    path : str
        Its value; ~ is the home folder.

    Returns
    -------
    path
        With the home folder written out.

    Raises
    ------
    UsageError
        If there is no such home folder.

    Examples
    --------
    >>> path_of("--out", "runs/a").name
    'a'
    """
    try:
        return Path(expanded(path))
    except OSError as error:
        raise UsageError(f"{option} {path}: must be a path, got {reason(error)}") from None


def remover(folder: Path) -> Callable[[], None]:
    """What removes the run that is there now, but for the files that have been replaced by then."""
    old = {path.resolve(): path.stat().st_ino for path in map(folder.joinpath, FILES) if path.exists()}

    def remove() -> None:
        while old:
            path, number = old.popitem()
            with suppress(OSError):
                if path.stat().st_ino == number:
                    path.unlink()

    return remove


def _has_files(folder: Path) -> bool:
    return folder.exists() and any(path.name != LOCK for path in folder.iterdir())


def _check(folder: Path, is_new: bool) -> None:
    for name in FILES:
        try:
            writable(folder / name)
        except OSError as error:
            what = "a folder" if isinstance(error, IsADirectoryError) else reason(error)
            raise UsageError(
                f"--out {folder}: `{name}` must be a file to be written, found {what}; choose another --out"
            ) from error
    found = [name for name in (*CHECKPOINTS, MODEL) if os.path.lexists(folder / name)]
    if is_new and found:
        fix = f"go on with it (weft train --resume {quote(str(folder))}), replace it (--overwrite), or choose another folder"
        raise FolderInUse(f"--out {folder}: expected no run in it, found {', '.join(found)}; {fix}")


def _sign(lock: BinaryIO) -> None:
    since = time.strftime("%Y-%m-%d %H:%M:%S")
    lock.truncate()
    lock.write(f"process {os.getpid()} on {platform.node()} (since {since})".encode())
    lock.flush()


def _holder(path: Path) -> str:
    """Who has signed a lock."""
    with suppress(OSError), open(path, "rb") as file:
        text = file.read(200).decode(errors="replace").strip()
        if text.isprintable() and text:
            return text
    return "another process"


def _let_go(path: Path, lock: BinaryIO) -> None:
    with suppress(OSError):
        path.unlink()
    with suppress(OSError):
        lock.close()


def _remove_empty(folders: list[Path]) -> None:
    for folder in folders:
        with suppress(OSError):
            folder.rmdir()
