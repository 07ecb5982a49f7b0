"""Numba's cache of compiled kernels, kept in step with their sources.

Numba looks at a kernel's own file to tell whether what it cached still holds, and misses a change in a kernel that is
called from another file. After an upgrade old code would run unseen, so a change in any kernel's file drops them all.
Beside the cache stands a note of what has been compiled ahead, so that a start can tell without loading the kernels.
"""

from __future__ import annotations

import hashlib
import os
import platform
import sys
from collections.abc import Iterable
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

import orjson

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("common", "devices", "ingest", "detectors", "storage", "alerts")
_MARKS = (b"njit", b"subkernel")
_STAMP = ".kernel-sources"
_NOTE = ".kernels-compiled"


def drop_stale_kernels(root: Path = ROOT) -> int:
    """Remove cached kernels if any kernel's source has changed since the last call; returns how many files went.

    Costs a few milliseconds where nothing has changed. A folder that cannot be written has no cache to go stale.
    """
    digest = _digest_of_sources(root)
    stamp = root / "driftline" / "__pycache__" / _STAMP
    if stamp.exists() and stamp.read_text() == digest:
        return 0
    stale = [path for room in ROOMS for path in _folder(root, room).rglob("__pycache__/*.nb[ic]")]
    try:
        for path in stale:
            path.unlink(missing_ok=True)
        stamp.parent.mkdir(exist_ok=True)
        stamp.write_text(digest)
    except OSError:
        return 0
    return len(stale)


class CompiledNote:
    """Which steps of compiling are done for these sources, on this processor, with this Python and numba.

    `folder` is numba's cache where one is set, else the package's own.
    """

    def __init__(self, root: Path = ROOT, folder: Path | None = None) -> None:
        elsewhere = os.environ.get("NUMBA_CACHE_DIR")
        self._root = root
        self._path = (folder or (Path(elsewhere) if elsewhere else root / "driftline" / "__pycache__")) / _NOTE

    @property
    def writable(self) -> bool:
        """Whether a note can be left, and so probably kernels too: without a cache nothing can be compiled ahead."""
        with suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
        return os.access(self._path.parent, os.W_OK)

    def steps(self) -> set[str]:
        """The steps that are done; none where the note is missing, damaged, or of other circumstances."""
        try:
            noted = orjson.loads(self._path.read_bytes())
            return set(noted["steps"]) if noted["of"] == self._circumstances() else set()
        except (OSError, ValueError, KeyError, TypeError):
            return set()

    def add(self, steps: Iterable[str]) -> None:
        """Note that more steps are done."""
        known = {"of": self._circumstances(), "steps": sorted(self.steps() | set(steps))}
        with suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._path.write_bytes(orjson.dumps(known))

    def _circumstances(self) -> list[str]:
        return [_digest_of_sources(self._root), sys.version, version("numba"), _processor()]


def _digest_of_sources(root: Path) -> str:
    digest = hashlib.sha256()
    for path in (path for room in ROOMS for path in sorted(_folder(root, room).rglob("*.py"))):
        text = path.read_bytes()
        if any(mark in text for mark in _MARKS):
            digest.update(str(path.relative_to(root)).encode() + b"\0" + text + b"\0")
    return digest.hexdigest()


def _folder(root: Path, room: str) -> Path:
    """Where a room's modules lie: at the top of a checkout, under `driftline` in an installed package."""
    installed = root / "driftline" / room
    return installed if installed.is_dir() else root / room


def _processor() -> str:
    """Model and abilities of the processor, for which numba compiles."""
    with suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        own = {line.partition("\t")[0].rstrip(): line for line in lines}
        return hashlib.sha256("".join(own.get(key, "") for key in ("model name", "flags")).encode()).hexdigest()
    return platform.processor() or platform.machine()
