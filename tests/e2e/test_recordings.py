"""Recorded data through the broker as devices: no row is lost, and what went wrong is found."""

from __future__ import annotations

import csv
import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

CORPUS = Path(os.environ.get("DRIFTLINE_CORPORA", Path(__file__).parents[3] / "shared" / "corpora")) / "nab"


def write_recording(path: Path, rows: int = 3000) -> tuple[str, str]:
    """A week of a machine's temperature at 200 s with a fault in it, two rows twice and one out of order.

    Returns the fault's start and end as written.
    """
    random = np.random.default_rng(7)
    start = np.datetime64("2026-03-02T00:00:00", "s")
    stamps = start + np.arange(rows) * np.timedelta64(200, "s")
    values = 70 + 5 * np.sin(np.arange(rows) * 200 / 86_400 * 2 * np.pi) + random.normal(0, 0.4, rows)
    values[2400:2430] -= 25
    lines = [(str(t).replace("T", " "), f"{v:.4f}") for t, v in zip(stamps, values, strict=True)]
    lines.insert(100, lines[99])
    lines.insert(2000, lines[1990])
    lines[500], lines[501] = lines[501], lines[500]
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["timestamp", "value"])
        writer.writerows(lines)
    return str(stamps[2400]), str(stamps[2429])


def ns(text: str) -> int:
    moment = datetime.fromisoformat(text)
    return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1e6) * 1000


def rows_by_device(service: Any) -> dict[str, int]:
    rows = service.query("SELECT device, count(*) AS rows FROM points GROUP BY device")
    return {str(row["device"]): int(row["rows"]) for row in rows}


def alarms_by_device(service: Any) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for row in service.query("SELECT device, epoch_ns(opened) AS opened FROM alarms ORDER BY opened"):
        found.setdefault(str(row["device"]), []).append(int(row["opened"]))
    return found


def test_a_recording_is_stored_row_by_row_and_its_fault_raises_an_alarm(service: Any, tmp_path: Path) -> None:
    recording = tmp_path / "machine.csv"
    first, last = write_recording(recording)
    service.start()
    service.cli("replay", str(recording), "--url", service.broker_url)
    counts = service.settle(3002)
    assert rows_by_device(service) == {"replay/machine": 3000}
    assert counts["duplicates"] == 2
    assert counts["late"] == 1
    opened = alarms_by_device(service)["replay/machine"]
    assert any(ns(first) <= time <= ns(last) for time in opened)
    assert sum(not ns(first) <= time <= ns(last) + 3600 * 10**9 for time in opened) <= 3
    assert service.stop() == 0
    assert rows_by_device(service) == {"replay/machine": 3000}


@pytest.mark.service("mosquitto")
@pytest.mark.skipif(not CORPUS.exists(), reason=f"the Numenta corpus is not at {CORPUS} (set DRIFTLINE_CORPORA)")
def test_seven_real_recordings_lose_no_row_and_alarm_where_experts_labelled(service: Any) -> None:
    files = sorted((CORPUS / "data" / "realKnownCause").glob("*.csv"))
    windows = json.loads((CORPUS / "labels" / "combined_windows.json").read_text())
    assert len(files) == 7
    service.start()
    service.cli("replay", *map(str, files), "--url", service.broker_url)
    rows = {f"replay/{file.stem}": sum(1 for _ in file.open()) - 1 for file in files}
    counts = service.settle(sum(rows.values()))
    stored = rows_by_device(service)
    assert sum(rows.values()) == sum(stored.values()) + counts["duplicates"]
    assert all(0 <= rows[device] - stored[device] <= 40 for device in rows)
    opened = alarms_by_device(service)
    hit, outside = 0, 0
    for file in files:
        spans = [(ns(a), ns(b)) for a, b in windows[f"realKnownCause/{file.name}"]]
        inside = [any(a <= time <= b for a, b in spans) for time in opened.get(f"replay/{file.stem}", [])]
        hit += any(inside)
        outside += inside.count(False)
    assert hit >= 5
    assert outside / len(files) <= 5
