"""Make a small data folder as an earlier commit of this repository left it, for the test that opens it today.

`python tests/support/older/make_older_folder.py COMMIT` writes `COMMIT.tar.gz` beside this file: a journal, a database
and a snapshot of a pump with two metrics under the detectors "default" and "joint", all made by that commit's code. A
commit that has no "joint" yet makes it under "default" alone.
"""

from __future__ import annotations

import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]

PROGRAM = """
import json, random, sys
from pathlib import Path
from devices.messages import MessageChunk
from driftline.config import parse_config
from storage.snapshots import SnapshotStore
try:
    from driftline.runtime.recovery import new_engine
    from driftline.runtime.store_worker import flattened
    from storage.embedded.database import EmbeddedStore
    from storage.journal.sqlite_journal import SqliteJournal
except ModuleNotFoundError:  # before rooms had rooms within
    from driftline.recovery import new_engine
    from driftline.store_worker import flattened
    from storage.embedded import EmbeddedStore
    from storage.journal import SqliteJournal

folder, text = Path(sys.argv[1]), sys.argv[2]
config = parse_config(text)
engine = new_engine(config, [])
random.seed(7)
start = 1_750_000_000 * 10**9
with (
    EmbeddedStore(folder / "points.duckdb") as store,
    SqliteJournal(folder / "journal.db") as journal,
    SnapshotStore(folder / "snapshots.db") as snapshots,
):
    for group in range(8):
        rows = []
        for i in range(group * 50, group * 50 + 50):
            flow = 20 + random.random() + (30 if 395 <= i else 0)
            body = b'{"flow": %f, "power": %f}' % (flow, 2 * flow + random.random())
            rows.append((b"pump", body, start + i * 10**9, 0))
        journal.append(MessageChunk.of(rows))
    for entry in journal.read(0):
        store.commit(engine.step(entry))
        if entry.position == 0:
            # As after a restart: some versions could not store a device's alarm in the run that met the device.
            arrays, rest = engine.state()
            engine = new_engine(config, store.series())
            engine.load(1, arrays, json.loads(json.dumps(rest)))
        if entry.position == 6:
            arrays, rest = engine.state()
            snapshots.save(engine.position, "", flattened(arrays), rest)
"""

CONFIG = """
[alarm]
threshold = 4.0
[detectors.default]
type = "ensemble"
shape = false
[[routes]]
filter = "#"
detectors = ["default"]
"""
WITH_JOINT = (
    CONFIG.replace('["default"]', '["default", "joint"]')
    + """
[detectors.joint]
type = "joint"
warmup = 60
"""
)
"""What the folder was made under; today's code must still read it."""


def main(commit: str) -> None:
    """Check the commit out beside, run its code, and pack what it made."""
    with tempfile.TemporaryDirectory() as scratch:
        tree, folder = Path(scratch) / "tree", Path(scratch) / "data"
        folder.mkdir()
        subprocess.run(["git", "-C", str(ROOT), "worktree", "add", "--detach", str(tree), commit], check=True)
        try:
            config = WITH_JOINT if (tree / "detectors" / "multivariate").is_dir() else CONFIG
            subprocess.run(
                [sys.executable, "-c", PROGRAM, str(folder), config],
                check=True,
                cwd=tree,
                env={"PYTHONPATH": str(tree), "PATH": "/usr/bin:/bin"},
            )
        finally:
            subprocess.run(["git", "-C", str(ROOT), "worktree", "remove", "--force", str(tree)], check=True)
        with tarfile.open(HERE / f"{commit}.tar.gz", "w:gz") as packed:
            for path in sorted(folder.iterdir()):
                packed.add(path, path.name)


if __name__ == "__main__":
    main(sys.argv[1])
