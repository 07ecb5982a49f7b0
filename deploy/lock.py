"""The lock: each library with its version and the hashes of its files, in `deploy/lock/`, for every Python and machine.

`make lock` brings it in line with pyproject.toml and leaves other versions alone; with ARGS=--upgrade it takes the
newest. `make lock-check` shows what the newest would change, and writes nothing. `run.txt` holds what running needs,
`build.txt` what an editable installation needs, the others what an extra adds to `run.txt`.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "deploy" / "lock"
RUN, BUILD, DEV, FUZZ, SPARK = "run", "build", "dev", "fuzz", "spark"
EXTRAS = (
    "grafana",
    "influx",
    "archive",
    "river",
    "notices",
    "certificates",
    "workflows",
    "assistants",
    "tracing",
    "cluster",
    SPARK,
    FUZZ,
    DEV,
)
_OLDEST_PYTHON = "3.11"
_NAME = re.compile(r"^([a-z0-9][a-z0-9._-]*)==", re.IGNORECASE)

Blocks = dict[str, list[str]]
"""Lines of a lock by library; a library that has several versions, by Python, has several blocks of lines."""


def read_blocks(text: str) -> Blocks:
    """The lines of a lock by library name."""
    blocks: Blocks = {}
    name = ""
    for line in text.splitlines():
        if match := _NAME.match(line):
            name = match[1].lower()
        if name and not line.startswith("#"):
            blocks.setdefault(name, []).append(line)
    return blocks


def versions(blocks: Blocks) -> dict[str, str]:
    """What stands before the hashes, by library."""
    pins = {name: [line for line in lines if _NAME.match(line)] for name, lines in blocks.items()}
    return {name: " | ".join(line.rstrip(" \\").partition("==")[2] for line in found) for name, found in pins.items()}


def _compile(source: str, *options: str) -> str:
    command = [sys.executable, "-m", "uv", "pip", "compile", source, "--universal", "--python-version", _OLDEST_PYTHON]
    plain = ("--no-annotate", "--no-header", "--no-emit-index-url", "--quiet", "--no-emit-package", "driftline")
    ran = subprocess.run(
        [*command, *plain, *options], cwd=ROOT, input=_build_tools(), capture_output=True, text=True, check=False
    )
    if ran.returncode:
        raise SystemExit(f"lock: no set of versions fits pyproject.toml:\n{ran.stderr}")
    return ran.stdout


def _build_tools() -> str:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return "\n".join([*project["build-system"]["requires"], "editables"])


def resolve(*, upgrade: bool) -> dict[str, Blocks]:
    """The lock's files by name, as they should be now."""
    with tempfile.TemporaryDirectory() as folder:
        kept = Path(folder) / "kept.txt"
        kept.write_text("" if upgrade else "\n".join(path.read_text() for path in sorted(FOLDER.glob("*.txt"))))
        every = [option for extra in (DEV, FUZZ, SPARK) for option in ("--extra", extra)]
        _compile("pyproject.toml", *every, "--generate-hashes", "--output-file", str(kept))
        whole = read_blocks(kept.read_text())
        names = {RUN: _names("pyproject.toml", kept), BUILD: _names("-", kept)}
        for extra in EXTRAS:
            names[extra] = _names("pyproject.toml", kept, "--extra", extra) - names[RUN]
    names[BUILD] -= names[RUN]
    return {file: {name: whole[name] for name in sorted(members)} for file, members in names.items()}


def _names(source: str, pins: Path, *options: str) -> set[str]:
    return set(read_blocks(_compile(source, "--constraint", str(pins), *options)))


def _write(files: dict[str, Blocks]) -> None:
    FOLDER.mkdir(exist_ok=True)
    for name, blocks in files.items():
        lines = ["# Written by `make lock`.", *(line for block in blocks.values() for line in block)]
        (FOLDER / f"{name}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _changes(files: dict[str, Blocks]) -> list[str]:
    before, after = ({}, {})
    for name, blocks in files.items():
        path = FOLDER / f"{name}.txt"
        before |= versions(read_blocks(path.read_text(encoding="utf-8") if path.exists() else ""))
        after |= versions(blocks)
    return [
        f"{name}: {before.get(name, 'not there')} -> {after.get(name, 'not needed')}"
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
    ]


def main(arguments: Sequence[str]) -> int:
    """Write the lock, or with --check print what would change."""
    parser = argparse.ArgumentParser(prog="make lock", description="Pin the libraries that `make setup` installs.")
    parser.add_argument("--upgrade", action="store_true", help="take the newest versions that fit")
    parser.add_argument("--check", action="store_true", help="print what the newest would change; write nothing")
    chosen = parser.parse_args(arguments)
    files = resolve(upgrade=chosen.upgrade or chosen.check)
    changes = _changes(files)
    print("\n".join(changes) or "lock: nothing changes")
    if not chosen.check:
        _write(files)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
