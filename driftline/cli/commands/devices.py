"""`driftline devices`: who sends."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

import typer

from driftline.cli.client import broker_url, get, query, running_service
from driftline.cli.console import ConfigOption, DataOption, data_folder
from driftline.cli.tables import Format, FormatOption, Rows, WideOption, print_rows

SQL = "select device, metrics, points, last_seen, open_alarms from devices order by device"
LIMIT = 100_000
NARROW = ["device", "state", "points", "last_seen", "open_alarms", "metrics"]


class DeviceAction(StrEnum):
    """What to do with the devices."""

    LIST = "list"
    IDENTIFY = "identify"


def devices(
    action: Annotated[DeviceAction, typer.Argument(help="What to do.")] = DeviceAction.LIST,
    url: Annotated[
        str, typer.Option("--url", metavar="URL", help="identify: the broker; the running service's if not given.")
    ] = "",
    seconds: Annotated[float, typer.Option("--seconds", min=0.1, help="identify: how long to listen.")] = 10.0,
    write: Annotated[bool, typer.Option("--routes", help="identify: print routes for the configuration.")] = False,
    form: FormatOption = Format.TABLE,
    wide: WideOption = False,
    config: ConfigOption = None,
    data: DataOption = None,
) -> None:
    """List the devices: their metrics, stored points, newest reading (UTC) and open alarms.

    While the service runs, `state` tells which are online, new, silent, or said to be offline, and `trouble` what is
    wrong with a device's clock or messages.

    identify listens to the broker, tells which families of devices speak there, by which topics they are recognised,
    and shows samples of what is not recognised. Nothing need be configured for those that are.

    Example: driftline devices identify --url mqtt://broker.lan:1883
    """
    if action is DeviceAction.IDENTIFY:
        _identify(url or broker_url(data_folder(config, data)), seconds, write=write)
        return
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


def _identify(url: str, seconds: float, *, write: bool) -> None:
    from driftline.runtime.identification import identify
    from driftline.runtime.listening import messages_of

    found = identify(messages_of(url, seconds))
    if write:
        print(found.routes, end="")
        return
    for name, family in sorted(found.families.items()):
        devices_ = ", ".join(sorted(family.devices)[:8]) + (", ..." if len(family.devices) > 8 else "")
        counts = f"{len(family.devices)} devices, {len(family.topics)} topics"
        print(f"{family.profile.title or name} (profile {name}): {counts}")
        print(f'  recognised by {family.pattern}, such as "{family.example}"')
        print(f"  devices: {devices_}" if devices_ else "  no device yet")
    print(f"not recognised: {len(found.others)} topics, read by their looks")
    for topic, sample in list(found.others.items())[:10]:
        print(f'  "{topic}": {sample!r}')


def _state(told: dict[str, Any] | None) -> str:
    return "unknown" if told is None else str(told["life"])


def _trouble(told: dict[str, Any] | None) -> str:
    return "" if told is None else "; ".join(each for each in (told["refusal"], told["clock"]) if each)


def _listed(metrics: list[str]) -> str:
    return ", ".join(metrics)
