"""Builds a release of the commit that is tagged: `make release`. What is in dist/ afterwards was checked and tried.

The version is the tag's, vX.Y.Z; the files that say it must agree. Both distributions are built twice from what the commit
holds, and must come out with the same bytes: times, owners and order in the archives are those of the commit.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TAG = re.compile(r"v(\d+\.\d+\.\d+(?:(?:a|b|rc)\d+)?)")
STATED = {
    "pyproject.toml": r'^version = "(.+)"',
    "__init__.py": r'^__version__ = "(.+)"',
    "CITATION.cff": r"^version: (.+)",
}


def output(*command: str | Path, cwd: Path = ROOT, **environment: str) -> str:
    """What a command prints; SystemExit with its words if it fails."""
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, env={**os.environ, **environment})
    if done.returncode:
        sys.exit(f"release: {' '.join(map(str, command))} failed:\n{done.stdout}{done.stderr}")
    return done.stdout.strip()


def stated(root: Path = ROOT) -> dict[str, str]:
    """The version that each file says."""
    found = {}
    for name, pattern in STATED.items():
        match = re.search(pattern, (root / name).read_text(encoding="utf-8"), re.MULTILINE)
        found[name] = match[1] if match else "none"
    return found


def version_of(tag: str, root: Path = ROOT) -> str:
    """The version of a tag; SystemExit where it is none, or a file says another."""
    match = TAG.fullmatch(tag)
    if not match:
        sys.exit(f"release: the commit must have a tag such as v0.2.0, found {tag or 'none'}; git tag v0.2.0")
    for name, said in stated(root).items():
        if said != match[1]:
            sys.exit(f"release: {name} must say version {match[1]}, as the tag does, found {said}")
    return match[1]


def build(commit: str, epoch: str, to: Path) -> list[Path]:
    """Wheel and source distribution of a commit, in `to`."""
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "weft"
        archive = subprocess.run(("git", "archive", commit), cwd=ROOT, capture_output=True, check=True).stdout
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            tar.extractall(tree, filter="data")
        command = (sys.executable, "-m", "build", "--no-isolation", "--outdir", to)
        output(*command, cwd=tree, SOURCE_DATE_EPOCH=epoch, PYTHONHASHSEED="0")
    (sdist,) = to.glob("*.tar.gz")
    settle(sdist, int(epoch))
    return sorted(to.iterdir())


def settle(sdist: Path, epoch: int) -> None:
    """Write an archive anew, in order, with one time and no owner for all of it."""
    with tarfile.open(sdist) as old:
        members = [(member, old.extractfile(member)) for member in sorted(old.getmembers(), key=lambda m: m.name)]
        inner = io.BytesIO()
        with tarfile.open(fileobj=inner, mode="w", format=tarfile.PAX_FORMAT) as new:
            for member, content in members:
                member.mtime, member.uid, member.gid, member.uname, member.gname = epoch, 0, 0, "", ""
                member.pax_headers = {}
                new.addfile(member, content)
    with sdist.open("wb") as file, gzip.GzipFile("", "wb", 9, file, epoch) as packed:
        packed.write(inner.getvalue())


def digests(paths: list[Path]) -> dict[str, str]:
    """SHA-256 by name."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def try_out(wheel: Path) -> None:
    """Install it into an empty environment, check it there, and train for an epoch."""
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        binaries = Path(folder) / ("Scripts" if os.name == "nt" else "bin")
        output(binaries / "python", "-m", "pip", "install", "--quiet", f"{wheel}[train]", cwd=Path(folder))
        print(output(binaries / "weft", "info", "--check", cwd=Path(folder)))
        print(output(binaries / "weft", "train", "--epochs", "1", "--quiet", cwd=Path(folder)).splitlines()[0])


def main() -> int:
    """Build, compare, check, try; the exit status."""
    if changed := output("git", "status", "--porcelain"):
        sys.exit(f"release: everything must be committed, found\n{changed}")
    version = version_of(output("git", "tag", "--points-at", "HEAD").partition("\n")[0])
    epoch = output("git", "log", "-1", "--format=%ct")
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
        built, again = build("HEAD", epoch, Path(one)), build("HEAD", epoch, Path(two))
        if digests(built) != digests(again):
            sys.exit(f"release: two builds must have the same bytes, got {digests(built)} and {digests(again)}")
        output(sys.executable, "-m", "twine", "check", "--strict", *map(str, built))
        try_out(next(path for path in built if path.suffix == ".whl"))
        shutil.rmtree(ROOT / "dist", ignore_errors=True)
        shutil.copytree(one, ROOT / "dist")
    print(f"weft {version}: dist/")
    for name, digest in digests(sorted((ROOT / "dist").iterdir())).items():
        print(f"{digest}  {name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
