"""`driftline alarms`: what needs a look."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated
from urllib.parse import quote

import typer

from driftline.cli.client import get, needed_service, query, send
from driftline.cli.console import CommandError, ConfigOption, DataOption, data_folder
from driftline.cli.tables import Format, FormatOption, WideOption, print_rows


class Which(StrEnum):
    """Which alarms are listed."""

    OPEN = "open"
    CLEARED = "cleared"
    ALL = "all"


NARROW = ["alarm", "severity", "state", "device", "metric", "opened"]
CONDITION = {Which.OPEN: "state <> 'cleared'", Which.CLEARED: "state = 'cleared'", Which.ALL: "true"}


class AlarmAction(StrEnum):
    """What to do."""

    LIST = "list"
    TEST = "test"


def alarms(
    action: Annotated[AlarmAction, typer.Argument(help="What to do.")] = AlarmAction.LIST,
    target: Annotated[
        str, typer.Argument(help="test: the notice channel.", metavar="[TARGET]", show_default=False)
    ] = "",
    which: Annotated[Which, typer.Option("--state", "-s", help="open: those not cleared yet.")] = Which.ALL,
    device: Annotated[str | None, typer.Option("--device", help="Only this device's.", metavar="NAME")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="Most alarms listed.")] = 200,
    form: FormatOption = Format.TABLE,
    wide: WideOption = False,
    config: ConfigOption = None,
    data: DataOption = None,
) -> None:
    """List alarms, newest first: when they opened and cleared (UTC), how odd the readings were, and why.

    test sends a test message through a notice channel, and says whether the channel took it.

    Example: driftline alarms --state open --device plant/pump-01
    """
    if action is AlarmAction.TEST:
        _test(data_folder(config, data), target)
        return
    chosen = CONDITION[which]
    if device is not None:
        chosen += " and device = '" + device.replace("'", "''") + "'"
    columns = "alarm, device, metric, state, severity, opened, cleared, peak_score, reason"
    sql = f"select {columns} from alarms where {chosen} order by opened desc, alarm desc"
    found = query(data_folder(config, data), sql, limit=limit)
    print_rows(found, form, wide=wide, narrow=NARROW, below="reason")


def _test(folder: Path, channel: str) -> None:
    service = needed_service(folder)
    channels = [each["settings"]["name"] for each in get(service, "notices/channels")["channels"]]
    if not channels:
        raise CommandError("no notice channel is set up: add [[notices]] to the configuration (docs/alarms.md)")
    for name in [channel] if channel else channels:
        send(service, "POST", f"notices/channels/{quote(name, safe='')}/test")
        print(f'channel "{name}" took the test message')
