"""`driftline report`: the alarms, the budget of false ones, what is silent and how storage grows, over some days."""

from __future__ import annotations

import json
import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from driftline.cli.console import ConfigOption, DataOption, read_config


class ReportFormat(StrEnum):
    """How the report is printed."""

    TEXT = "text"
    JSON = "json"


def report(
    days: Annotated[float, typer.Option("--days", min=0.01, max=366, help="How many days back.")] = 7,
    form: Annotated[
        ReportFormat, typer.Option("--format", "-f", help="Markdown for people, or JSON.")
    ] = ReportFormat.TEXT,
    out: Annotated[Path | None, typer.Option("--out", "-o", metavar="FILE", help="Write it to a file.")] = None,
    config: ConfigOption = None,
    data: DataOption = None,
) -> None:
    """Tell of the last days: alarms, false ones allowed and seen by site and device, what is silent, how storage grows.

    Works beside a running service and without one. The table `report` of the configuration makes one each day or week,
    by itself, as a file and as a notice.

    Example: driftline report --days 7
    """
    settings = read_config(config)
    found = _found(data if data is not None else Path(settings.data), settings, days)
    text = str(found.pop("text"))
    written = json.dumps(found, indent=2, ensure_ascii=False) + "\n" if form is ReportFormat.JSON else text
    if out is None:
        print(written, end="")
    else:
        out.write_text(written, encoding="utf-8")


def _found(folder: Path, settings: Any, days: float) -> dict[str, Any]:
    from driftline.cli.client import get, running_service

    service = running_service(folder)
    if service is not None and service.url:
        return dict(get(service, f"report?days={days}"))
    from common.time_units import DAY
    from driftline.cli.store_opening import EMBEDDED, open_reader
    from driftline.report.report_making import kept_for, make_report
    from driftline.report.report_text import report_json, report_text
    from storage.embedded.database import EmbeddedStore

    now, kept = time.time_ns(), kept_for(settings.store, settings.archive)
    with open_reader(EMBEDDED, settings, folder) as store:
        assert isinstance(store, EmbeddedStore)
        made = make_report(store, settings.alarm, folder, now - int(days * DAY), now, kept=kept)
    return report_json(made) | {"text": report_text(made, settings.report.time_zone)}
