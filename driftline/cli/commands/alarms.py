"""`driftline alarms`: what needs a look."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from driftline.cli.client import query
from driftline.cli.console import ConfigOption, DataOption, data_folder
from driftline.cli.tables import Format, FormatOption, print_rows


class Which(StrEnum):
    """Which alarms are listed."""

    OPEN = "open"
    CLEARED = "cleared"
    ALL = "all"


CONDITION = {Which.OPEN: "state <> 'cleared'", Which.CLEARED: "state = 'cleared'", Which.ALL: "true"}


def alarms(
    which: Annotated[Which, typer.Option("--state", "-s", help="open: those not cleared yet.")] = Which.ALL,
    device: Annotated[str | None, typer.Option("--device", help="Only this device's.", metavar="NAME")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="Most alarms listed.")] = 200,
    form: FormatOption = Format.TABLE,
    config: ConfigOption = None,
    data: DataOption = None,
) -> None:
    """List alarms, newest first: when they opened and cleared (UTC), how odd the readings were, and why.

    Example: driftline alarms --state open --device plant/pump-01
    """
    chosen = CONDITION[which]
    if device is not None:
        chosen += " and device = '" + device.replace("'", "''") + "'"
    columns = "alarm, device, metric, state, severity, opened, cleared, peak_score, reason"
    sql = f"select {columns} from alarms where {chosen} order by opened desc, alarm desc"
    print_rows(query(data_folder(config, data), sql, limit=limit), form)
