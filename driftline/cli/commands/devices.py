"""`driftline devices`: who sends."""

from __future__ import annotations

from typing import Any

from driftline.cli.client import get, query, running_service
from driftline.cli.console import ConfigOption, DataOption, data_folder
from driftline.cli.tables import Format, FormatOption, Rows, WideOption, print_rows

SQL = "select device, metrics, points, last_seen, open_alarms from devices order by device"
LIMIT = 100_000
NARROW = ["device", "state", "points", "last_seen", "open_alarms", "metrics"]


def devices(
    form: FormatOption = Format.TABLE,
    wide: WideOption = False,
    config: ConfigOption = None,
    data: DataOption = None,
) -> None:
    """List the devices: their metrics, stored points, newest reading (UTC) and open alarms.

    While the service runs, `state` tells which are online, new, silent, or said to be offline, and `trouble` what is
    wrong with a device's clock or messages.

    Example: driftline devices --format csv
    """
    folder = data_folder(config, data)
    found = query(folder, SQL, limit=LIMIT)
    service = running_service(folder)
    told = {each["device"]: each for each in get(service, "devices")["devices"]} if service else {}
    rows = [
        [row[0], _state(told.get(row[0])), _listed(row[1]), *row[2:], _trouble(told.get(row[0]))] for row in found.rows
    ]
    stored = {row[0] for row in found.rows}
    unstored = [each for name, each in told.items() if name not in stored]
    rows += [[each["device"], _state(each), "", 0, None, each["open_alarms"], _trouble(each)] for each in unstored]
    print_rows(
        Rows(["device", "state", *found.columns[1:], "trouble"], rows, found.truncated),
        form,
        wide=wide,
        narrow=NARROW,
    )


def _state(told: dict[str, Any] | None) -> str:
    return "unknown" if told is None else str(told["life"])


def _trouble(told: dict[str, Any] | None) -> str:
    return "" if told is None else "; ".join(each for each in (told["refusal"], told["clock"]) if each)


def _listed(metrics: list[str]) -> str:
    return ", ".join(metrics)
