"""Backups carry a seal: who puts one back sees whether it is one of their own, and whole.

A backup holds models that are read by running code (pickle), and accounts that may sign in. One that somebody else made
is therefore put back only when a person says so. The key lies with the user, outside of data folders and backups.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path

_BLOCK_BYTES = 1 << 20


def key_path(environment: Mapping[str, str] = os.environ) -> Path:
    """Where this user's key lies (XDG Base Directory Specification)."""
    state = environment.get("XDG_STATE_HOME") or str(Path(environment.get("HOME", "~")).expanduser() / ".local/state")
    return Path(state) / "driftline" / "backup.key"


def seal(folder: Path, names: list[str], key_file: Path) -> str:
    """The seal of these files of a folder; a key is made where there is none. Raises OSError."""
    return hmac.new(_key(key_file), _digest(folder, names), hashlib.sha256).hexdigest()


def is_sealed(folder: Path, names: list[str], given: object, key_file: Path) -> bool:
    """Whether `given` is the seal that this user's key makes of the files."""
    if not isinstance(given, str) or not key_file.exists():
        return False
    return hmac.compare_digest(seal(folder, names, key_file), given)


def _digest(folder: Path, names: list[str]) -> bytes:
    sums = {}
    for name in sorted(names):
        digest = hashlib.sha256()
        with (folder / name).open("rb") as file:
            while block := file.read(_BLOCK_BYTES):
                digest.update(block)
        sums[name] = digest.hexdigest()
    return json.dumps(sums, sort_keys=True).encode()


def _key(path: Path) -> bytes:
    try:
        return bytes.fromhex(path.read_text())
    except FileNotFoundError:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        key = secrets.token_bytes(32)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as made:
            made.write(key.hex())
        return key
