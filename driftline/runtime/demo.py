"""The simulated fleet of `driftline up --demo`: a child process that publishes like any other device."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path

from firmware_sim.memory import FILE_NAME

from driftline.config import Config
from ingest.ingest_settings import DEFAULT_ROUTES, RouteSettings

_STOP_SECONDS = 3.0

TRUTH_ROUTE = RouteSettings(
    name="truth", filter="driftline/truth/#", device="{topic[2:]}", metric="fault.{metric}", detectors=[]
)
"""The simulator's fault labels beside the metric they are of, unscored."""


def with_demo_route(config: Config) -> Config:
    """The configuration with the simulator's profile first, for its units; one that has routes of its own stays.

    Where a sink feeds dashboards, the faults' labels go there too, for the board of what was found and missed.
    """
    if config.routes != DEFAULT_ROUTES:
        return config
    labels = [TRUTH_ROUTE] if config.sinks else []
    return config.model_copy(update={"routes": [RouteSettings(profile="simulator"), *labels, *DEFAULT_ROUTES]})


class DemoFleet:
    """Runs the simulator against a broker, with history so that charts are filled and detectors warm at once."""

    def __init__(self, broker_url: str, state: Path, *, devices: int = 50, history: str = "30m") -> None:
        known = (state / FILE_NAME).exists()
        since = "which go on where they stood" if known else f"{history} of history first"
        self.description = f"{devices} simulated devices with labelled faults, {since}"
        self._state = state
        self._command = [
            sys.executable,
            "-m",
            "firmware_sim",
            f"--url={broker_url}",
            f"--devices={devices}",
            f"--history={history}",
            "--faults=auto",
            f"--state={state}",
            f"--labels={state / 'labels.csv'}",
            f"--parent-pid={os.getpid()}",
        ]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the fleet. Its own words go to a log file in its folder."""
        self._state.mkdir(parents=True, exist_ok=True)
        with (self._state / "simulator.log").open("ab") as log:
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )

    def stop(self) -> None:
        """End the fleet and wait for it."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_STOP_SECONDS)
        self._process = None
