"""Before stage 1: numba's cache of compiled kernels, kept in step with their sources.

Numba looks at a kernel's own file to tell whether what it cached still holds, and misses a change in a kernel that is
called from another file. After an upgrade old code would run unseen, so a change in any kernel's file drops them all.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("devices", "ingest", "detectors", "alerts")
_MARK = b"njit"
_STAMP = ".kernel-sources"


def drop_stale_kernels(root: Path = ROOT) -> int:
    """Remove cached kernels if any kernel's source has changed since the last call; returns how many files went.

    Costs a few milliseconds where nothing has changed. A folder that cannot be written has no cache to go stale.
    """
    sources = [path for room in ROOMS for path in sorted((root / room).rglob("*.py"))]
    digest = hashlib.sha256()
    for path in sources:
        text = path.read_bytes()
        if _MARK in text:
            digest.update(str(path.relative_to(root)).encode() + b"\0" + text + b"\0")
    stamp = root / "driftline" / "__pycache__" / _STAMP
    if stamp.exists() and stamp.read_text() == digest.hexdigest():
        return 0
    stale = [path for room in ROOMS for path in (root / room).rglob("__pycache__/*.nb[ic]")]
    try:
        for path in stale:
            path.unlink(missing_ok=True)
        stamp.parent.mkdir(exist_ok=True)
        stamp.write_text(digest.hexdigest())
    except OSError:
        return 0
    return len(stale)
