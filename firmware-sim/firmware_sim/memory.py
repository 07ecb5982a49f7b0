"""What a simulator keeps on disk: where each device stood."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import orjson

from firmware_sim.simulated_fleet import Carried

VERSION = 1
FILE_NAME = "simulator.json"


@dataclass(frozen=True, slots=True)
class Memory:
    """Time of each device's latest acknowledged reading (ns), and what the models remembered then."""

    seed: int
    newest: dict[str, int] = field(default_factory=dict)
    carried: Carried = field(default_factory=dict)


def load_memory(folder: Path | None, *, seed: int) -> Memory:
    """What the last run left in `folder`; empty where there is none, or it was a fleet of another seed.

    Raises ValueError naming the file where it cannot be read as what `save_memory` wrote.
    """
    if folder is None or not (path := folder / FILE_NAME).exists():
        return Memory(seed)
    try:
        kept = orjson.loads(path.read_bytes())
        if kept["version"] != VERSION:
            raise ValueError(f"version {kept['version']}")
        memory = Memory(kept["seed"], dict(kept["newest"]), dict(kept["carried"]))
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: not a simulator's state of version {VERSION} ({error}); remove it") from error
    return memory if memory.seed == seed else Memory(seed)


def save_memory(folder: Path, memory: Memory) -> None:
    """Replace what `folder` holds, whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    kept = {"version": VERSION, "seed": memory.seed, "newest": memory.newest, "carried": memory.carried}
    new = folder / f"{FILE_NAME}.new"
    new.write_bytes(orjson.dumps(kept))
    new.replace(folder / FILE_NAME)
