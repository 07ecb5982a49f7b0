"""Draws the docs' pictures of the dashboards from a simulated plant: `python tests/support/draw_dashboards.py DIR`."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from simulated_plant import END, free_port_of_loopback, running_victoria_metrics, write_plant

from dashboards.drawing import Drawing, drawn
from dashboards.grafana_units import SIMULATED
from dashboards.interpolation import TimeRange, choosing_device
from dashboards.panels import BOARDS
from dashboards.querying import PrometheusSource

DEVICE = "plant/hall-1/press-01"


def main(out: Path) -> None:
    """Write one SVG for each dashboard into `out`."""
    out.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as folder,
        running_victoria_metrics(Path(folder), free_port_of_loopback()) as database,
        PrometheusSource(database.url) as source,
    ):
        write_plant(database)
        drawing = Drawing(source, choosing_device(DEVICE), TimeRange(END - 1800, END, 10), SIMULATED)
        for board in BOARDS:
            path = out / f"{board.uid.removeprefix('driftline-')}.svg"
            path.write_text(drawn(board, drawing), encoding="utf-8")
            print(path)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
