"""`driftline devices`: who sends."""

from __future__ import annotations

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

    While the service runs, `state` tells which are online and which have fallen silent.

    Example: driftline devices --format csv
    """
    folder = data_folder(config, data)
    found = query(folder, SQL, limit=LIMIT)
    service = running_service(folder)
    states = {each["device"]: each["life"] for each in get(service, "devices")["devices"]} if service else {}
    print_rows(
        Rows(
            ["device", "state", *found.columns[1:]],
            [[row[0], states.get(row[0], "unknown"), _listed(row[1]), *row[2:]] for row in found.rows],
            found.truncated,
        ),
        form,
        wide=wide,
        narrow=NARROW,
    )


def _listed(metrics: list[str]) -> str:
    return ", ".join(metrics)
