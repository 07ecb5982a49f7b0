"""Backups taken while messages come in, and while the service stands still: what is restored goes on."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from fault_runs import KillableService, NumberedPublisher, assert_each_once
from undisturbed_runs import assert_undisturbed, entries_of

pytestmark = [pytest.mark.faults, pytest.mark.service("mosquitto"), pytest.mark.timeout(900)]


def driftline(*arguments: object) -> str:
    command = [sys.executable, "-m", "driftline", *map(str, arguments)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=240, check=False, env={**os.environ, "COLUMNS": "300"}
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("running", [True, False], ids=["running", "stopped"])
def test_a_restored_service_goes_on(
    service: KillableService,
    mosquitto: Any,
    wait_until: Any,
    tmp_path: Path,
    extent: Any,
    report: Any,
    running: bool,
) -> None:
    messages = extent.of(6_000, 30_000)
    options = ("--config", service.config, "--data", service.data)
    service.configure(mosquitto.url, '[snapshot]\nevery = "500ms"\n')
    service.start()
    before = NumberedPublisher(mosquitto.url, messages=messages, rate=messages / 5).start()
    wait_until(lambda: before.delivered > messages // 2, what="half of the messages")
    if not running:
        before.finish()
        wait_until(lambda: service.settled(messages), what="everything in its place")
        assert service.end() == 0
    driftline("backup", tmp_path / "backup", *options)
    if running:
        before.finish()
        wait_until(lambda: service.settled(messages), what="everything in its place")
        assert service.end() == 0
    restored = KillableService(tmp_path / "restored", wait_until)
    driftline("restore", tmp_path / "backup", "--data", restored.data)
    restored.config.write_text((restored.data / "driftline.toml").read_text())
    restored.start()
    try:
        kept = len([m for e in entries_of(restored.data / "journal.db") for m in range(len(e.chunk))])
        assert kept > messages // 3
        wait_until(lambda: restored.settled(kept), what="the restored messages in their places")
        after = NumberedPublisher(mosquitto.url, messages=messages, start_ms=before.start_ms).start()
        after.finish()
        wait_until(lambda: restored.settled(kept + messages), what="everything in its place")
        assert restored.end() == 0, restored.log
    finally:
        if restored.alive:
            restored.kill()
    assert_each_once(restored.data / "points.duckdb", after, messages)
    assert_undisturbed(restored, entries_of(restored.data / "journal.db"), tmp_path / "undisturbed.duckdb")
    report(f"backup while {'running' if running else 'stopped'}, restored", messages_kept=kept, lost=0, doubled=0)
