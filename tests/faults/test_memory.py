"""A hostile publisher against the default settings as they are fitted to 1 GiB: the process stays within it.

The most memory that was resident is measured: a control group would end the process there, but not every machine lets
one be made.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.faults, pytest.mark.timeout(1_800)]

GIBIBYTE = 1 << 30

HOSTILE = """
import json, sys
from pathlib import Path
from devices.messages import MessageChunk
from driftline.config import Config
from driftline.runtime.memory_plan import fitted
from driftline.runtime.recovery import engine_of_settings
from ingest.pipeline import Engine
from storage.embedded.database import EmbeddedStore
from storage.store import JournalEntry

names, start = int(sys.argv[2]), 1_800_000_000 * 10**9
config = Config()
limits = fitted(config.limits, 1 << 30)
offset = 0

def put(store, engine, messages):
    global offset
    rows = [(topic, payload, start + offset + n, 1) for n, (topic, payload) in enumerate(messages)]
    store.commit(engine.step(JournalEntry(engine.position, offset, MessageChunk.of(rows))))
    offset += len(rows)

with EmbeddedStore(Path(sys.argv[1])) as store:
    engine = Engine(config.routes, config.detectors, config.alarm, limits)
    for first in range(0, names, 5_000):
        put(store, engine, [(b"invented/%d" % n, b"1") for n in range(first, first + 5_000)])
    for _ in range(25):
        put(store, engine, [(b"invented/%d" % n, b"2") for n in range(5_000)])
    for payload in (b"," * 65_535, json.dumps([n + 0.5 for n in range(150_000)]).encode(), bytes(1_000_000)):
        put(store, engine, [(b"hostile/%d" % n, payload) for n in range(3)])
    for number in range(names // 1_000):
        put(store, engine, [(b"wide/%d" % number, json.dumps({f"{number}-{n}": n for n in range(1_000)}).encode())])
    arrays, rest = engine.state()
    known = store.series()
    again = engine_of_settings(rest["settings"], known)
    again.load(engine.position, arrays, rest)
    scored = int((engine.learning()[1] > 0).sum())
    print(json.dumps([len(known), scored, again.admission.waiting == engine.admission.waiting, store.counts()]))
# Not by `getrusage`, which counts what the process was before it began to run this.
[peak] = [line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM:")]
print(int(peak) * 1024)
"""


def test_a_hostile_publisher_stays_within_the_memory_that_is_allowed(tmp_path: Path, extent: Any, report: Any) -> None:
    names = extent.of(3_000, 100_000)
    command = [sys.executable, "-c", HOSTILE, str(tmp_path / "points.duckdb"), str(names)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=1_700)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    series, scored, same, counts = json.loads(lines[0])
    assert names < series <= 78_643 or names > 78_643 - 1_000
    assert 0 < scored <= 4_096
    assert same, "what waits to be scored is known after the start too"
    placed = sum(count for name, count in counts.items() if name.startswith(("rejected.", "dropped.")))
    assert counts["received"] == counts["stored"] + counts["late"] + counts["duplicates"] + placed
    assert int(lines[1]) < GIBIBYTE
    report(
        "a hostile publisher within 1 GiB",
        peak_MiB=int(lines[1]) >> 20,
        series=series,
        scored=scored,
        refused=counts.get("rejected.too_many_series", 0),
    )
