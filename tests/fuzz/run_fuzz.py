"""`make fuzz TARGET=codecs MINUTES=10`: one target under atheris, which follows what its inputs reach in the code.

    python run_fuzz.py TARGET MINUTES

Inputs that reach something new are added to a copy of the kept corpus, and the least set of them that reaches as much
is written back. An input that fails is written to `crashes/TARGET`, and is a test from then on (`test_corpus.py`).
Kernels run compiled: what is reached within them does not count, and their modules stay as they are, since Numba does
not compile the code that atheris makes of them.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
MOST_KEPT = 200
LONGEST = 4_096


def main(target: str, minutes: float) -> int:
    """Fuzz for so long; returns 0 where nothing failed."""
    corpus, crashes = HERE / "corpus" / target, HERE / "crashes" / target
    corpus.mkdir(parents=True, exist_ok=True)
    crashes.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        program = _program(Path(folder, "fuzz"), target)
        grown, least = Path(folder, "grown"), Path(folder, "least")
        shutil.copytree(corpus, grown)
        least.mkdir()
        limits = (f"-max_total_time={int(60 * minutes)}", f"-max_len={LONGEST}", "-timeout=240", "-rss_limit_mb=4096")
        done = _run(program, str(grown), f"-artifact_prefix={crashes}/", "-print_final_stats=1", *limits)
        _run(program, "-merge=1", str(least), str(grown))
        _keep(least, corpus)
    if not any(crashes.iterdir()):
        crashes.rmdir()
    return done


def _program(path: Path, target: str) -> Path:
    """A program of its own for the target, since the merging of inputs starts it again by its name."""
    this = Path(__file__).resolve()
    path.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{this}" --instrumented {target} "$0" "$@"\n')
    path.chmod(0o700)
    return path


def _run(program: Path, *arguments: str) -> int:
    paths = os.pathsep.join([str(HERE.parents[1]), str(HERE.parent / "support"), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": paths}
    return subprocess.run([program, *arguments], env=environment, check=False).returncode


def _keep(least: Path, corpus: Path) -> None:
    chosen = sorted(least.iterdir(), key=lambda file: file.stat().st_size)[:MOST_KEPT]
    if chosen:
        shutil.rmtree(corpus)
        corpus.mkdir()
        for file in chosen:
            shutil.copy(file, corpus / file.name[:16])


def _with_kernels(rooms: list[str]) -> list[str]:
    files = (file for room in rooms for file in (HERE.parents[1] / room).rglob("*.py"))
    compiled = (file for file in files if re.search(r"^@(njit|subkernel)", file.read_text(encoding="utf-8"), re.M))
    return [".".join(file.relative_to(HERE.parents[1]).with_suffix("").parts) for file in compiled]


def _instrumented(target: str, arguments: list[str]) -> None:
    import atheris  # noqa: PLC0415  an extra

    rooms = ["devices", "ingest", "storage", "driftline", "alerts", "detectors", "common"]
    with atheris.instrument_imports(include=rooms, exclude=_with_kernels(rooms)):
        from fuzz_targets import TARGETS  # noqa: PLC0415
    atheris.Setup(arguments, TARGETS[target])
    atheris.Fuzz()


if __name__ == "__main__":
    if sys.argv[1] == "--instrumented":
        _instrumented(sys.argv[2], sys.argv[3:])
    else:
        sys.exit(main(sys.argv[1], float(sys.argv[2])))
