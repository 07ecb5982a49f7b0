"""Before everything: how much memory there is, and the limits on series that fit into it.

What a control group allows counts (https://docs.kernel.org/admin-guide/cgroup-v2.html, memory.max), else the machine's
own memory. A limit that the configuration sets is taken as it is set.
"""

from __future__ import annotations

from pathlib import Path

from ingest.ingest_settings import LimitSettings

MEBIBYTE = 1 << 20

_BASE_BYTES = 512 * MEBIBYTE
"""What the service takes without any series: interpreter, compiled kernels, database, buffers."""

_BYTES_A_SCORED_SERIES = 64 * 1024
"""State of the default detectors, its copy while it is saved, and room to grow: measured 29 KiB, 52 KiB at peak."""

_BYTES_A_SERIES = 2_048
"""Names, tables and counters of a series that is stored without being scored."""

_SHARE_OF_SCORED, _SHARE_OF_NAMES = 0.75, 0.15
_FEWEST = 1_000
_HOURS_TO_FILL = 8


def allowed_bytes(root: Path = Path("/")) -> int | None:
    """Memory that this process may take: the tightest of its control groups' limits and the machine's; None unknown."""
    found = [limit for limit in (_machine_bytes(root), *_group_bytes(root)) if limit is not None]
    return min(found, default=None)


def fitted(limits: LimitSettings, allowed: int | None) -> LimitSettings:
    """The limits, those that are not set lowered to what fits into `allowed` bytes."""
    if allowed is None:
        return limits
    scored = int((allowed * _SHARE_OF_SCORED - _BASE_BYTES) / _BYTES_A_SCORED_SERIES)
    scored = max(_FEWEST, min(scored, limits.max_scored_series))
    plan = {
        "max_series": max(2 * _FEWEST, int(allowed * _SHARE_OF_NAMES / _BYTES_A_SERIES)),
        "max_scored_series": scored,
        "max_new_series_an_hour": max(_FEWEST, scored // _HOURS_TO_FILL),
    }
    unset = {name: most for name, most in plan.items() if name not in limits.model_fields_set}
    return limits.model_copy(update={name: min(most, getattr(limits, name)) for name, most in unset.items()})


def _machine_bytes(root: Path) -> int | None:
    try:
        for line in (root / "proc/meminfo").read_text().splitlines():
            if line.startswith("MemTotal:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    return None


def _group_bytes(root: Path) -> list[int]:
    """Limits of this process's control groups and of those around them, of both versions."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return []
    limits = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            top, name = root / "sys/fs/cgroup", "memory.max"
        elif "memory" in controllers.split(","):
            top, name = root / "sys/fs/cgroup/memory", "memory.limit_in_bytes"
        else:
            continue
        group = top / path.lstrip("/")
        for folder in (group, *group.parents):
            if (limit := _limit_in(folder / name)) is not None:
                limits.append(limit)
            if folder == top:
                break
    return limits


def _limit_in(file: Path) -> int | None:
    try:
        text = file.read_text().strip()
    except OSError:
        return None
    # Version 1 writes a huge number, version 2 the word "max", where there is no limit.
    return int(text) if text.isdigit() and int(text) < 1 << 60 else None
