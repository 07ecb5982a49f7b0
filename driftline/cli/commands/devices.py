"""`driftline devices`: who sends, and what is done about it."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from driftline.cli.client import all_devices, broker_url, query, running_service
from driftline.cli.console import CommandError, ConfigOption, DataOption, Exit, data_folder, read_config
from driftline.cli.device_changes import change, print_tree, show
from driftline.cli.tables import Format, FormatOption, Rows, WideOption, print_rows

SQL = (
    "select device, metrics, points, last_seen, open_alarms, first_seen, name, labels, retired_at from devices "
    "order by device"
)
LIMIT = 100_000
NONE = "No devices yet: one is listed once it has sent a message, see docs/connect/README.md"
NARROW = ["device", "state", "points", "last_seen", "open_alarms", "metrics"]


class DeviceCommand(StrEnum):
    """What to do with the devices."""

    LIST = "list"
    SHOW = "show"
    TREE = "tree"
    LABEL = "label"
    RENAME = "rename"
    MERGE = "merge"
    RETIRE = "retire"
    RESTORE = "restore"
    MUTE = "mute"
    UNMUTE = "unmute"
    DELETE = "delete"
    IDENTIFY = "identify"
    ADD = "add"
    ROTATE = "rotate"
    REVOKE = "revoke"
    LOGINS = "logins"


TopicsOption = Annotated[
    list[str] | None, typer.Option("--topic", metavar="TOPIC", help="add: its own topics, by default by profile.")
]
CertificateOption = Annotated[
    bool, typer.Option("--certificate", help="add: a client certificate of a local authority, not a password.")
]

_OF_LOGINS = (DeviceCommand.ADD, DeviceCommand.ROTATE, DeviceCommand.REVOKE, DeviceCommand.LOGINS)


def devices(
    action: Annotated[DeviceCommand, typer.Argument(help="What to do.")] = DeviceCommand.LIST,
    targets: Annotated[
        list[str] | None,
        typer.Argument(help="Devices, and what else the action needs.", metavar="[DEVICE]...", show_default=False),
    ] = None,
    retired: Annotated[bool, typer.Option("--retired", help="list: those too that are out of service.")] = False,
    note: Annotated[str, typer.Option("--note", metavar="TEXT", help="What is to be said about it.")] = "",
    yes: Annotated[bool, typer.Option("--yes", help="merge, delete: do not ask.")] = False,
    url: Annotated[
        str,
        typer.Option("--url", metavar="URL", help="identify, add: the broker; the configured one if not given."),
    ] = "",
    seconds: Annotated[float, typer.Option("--seconds", min=0.1, help="identify: how long to listen.")] = 10.0,
    write: Annotated[bool, typer.Option("--routes", help="identify: print routes for the configuration.")] = False,
    profile: Annotated[str, typer.Option("--profile", metavar="NAME", help="add: the device's profile.")] = "",
    topic: TopicsOption = None,
    certificate: CertificateOption = False,
    form: FormatOption = Format.TABLE,
    wide: WideOption = False,
    config: ConfigOption = None,
    data: DataOption = None,
) -> None:
    """List the devices: their metrics, stored points, newest reading (UTC) and open alarms; or act on them.

    While the service runs, `state` tells which are online, new, silent, retired, or said to be offline, and `trouble`
    what is wrong with a device's clock or messages. What is done needs a running service, which journals it.

    show DEVICE; tree LABEL... (by labels, else by the levels of names); label DEVICE site=north owner=ada (NAME= takes
    one away); rename DEVICE "Feed pump" ("" gives its identity back); retire DEVICE... (no alarms, out of the list;
    restore undoes it); mute DEVICE... (alarms are recorded, nobody is told; unmute undoes it); merge NEW OLD (what NEW
    sends, and has sent, is OLD's, with its history); delete DEVICE... (with all its data; it cannot be undone).

    identify listens to the broker, tells which families of devices speak there, by which topics they are recognised,
    and shows samples of what is not recognised. Nothing need be configured for those that are.

    add DEVICE gives a device a password at a mosquitto broker, or with --certificate a client certificate, and lets it
    publish on its own topics alone: it prints what to enter on the device and in the broker's configuration. rotate
    gives another password or certificate, revoke takes the login away, logins lists them.

    Example: driftline devices label plant/pump-01 site=north
    """
    given = targets or []
    if action is DeviceCommand.IDENTIFY:
        _identify(url or broker_url(data_folder(config, data)), seconds, write=write)
        return
    folder = data_folder(config, data)
    if action in _OF_LOGINS:
        broker = _broker_of(url, config, secure=certificate)
        _logins(action, folder, given, broker, profile, topic or [], form, with_certificate=certificate)
    elif action is DeviceCommand.SHOW:
        if len(given) != 1:
            raise CommandError(f"DEVICE: {len(given)} are given, expected one", code=Exit.USAGE)
        show(folder, given[0], form)
    elif action is DeviceCommand.TREE:
        print_tree(folder, given, form)
    elif action is DeviceCommand.LIST:
        print_rows(_listed_devices(folder, retired=retired), form, wide=wide, narrow=NARROW, none=NONE)
    else:
        change(folder, action.value, given, note=note, sure=yes)


def _logins(
    action: DeviceCommand,
    folder: Path,
    given: list[str],
    broker: tuple[str, int],
    profile: str,
    topics: list[str],
    form: Format,
    *,
    with_certificate: bool,
) -> None:
    from devices.profile import find_profile
    from driftline.cli.device_logins import change_login, print_logins

    if profile:
        try:
            find_profile(profile)
        except ValueError as error:
            raise CommandError(f"--profile: {error}", code=Exit.USAGE) from None
    access = folder / "broker-access"
    if action is DeviceCommand.LOGINS:
        print_logins(access, form)
    else:
        change_login(
            access,
            action.value,
            given,
            broker=broker,
            profile=profile,
            topics=topics,
            with_certificate=with_certificate,
        )


def _broker_of(url: str, config: Path | None, *, secure: bool) -> tuple[str, int]:
    """Host and port of the broker, as devices reach it; with `secure` the port of TLS where none is named."""
    from ingest.broker_settings import DEFAULT_PORTS, split_url

    configured = read_config(config).broker.url
    try:
        _, host, port = split_url(url or ("mqtt://BROKER:1883" if configured == "auto" else configured))
    except ValueError as error:
        raise CommandError(f"--url: {error}", code=Exit.USAGE) from None
    if secure and port == DEFAULT_PORTS["mqtt"]:
        port = DEFAULT_PORTS["mqtts"]
    return ("BROKER" if host == "broker" else host), port


def _listed_devices(folder: Path, *, retired: bool) -> Rows:
    found = query(folder, SQL, limit=LIMIT)
    service = running_service(folder)
    told = {each["device"]: each for each in all_devices(service)} if service else {}
    rows = [
        [row[0], _state(told.get(row[0]), row[-1]), _listed(row[1]), *row[2:-1], _trouble(told.get(row[0]))]
        for row in found.rows
        if retired or row[-1] is None
    ]
    stored = {row[0] for row in found.rows}
    rows += [
        [each["device"], each["life"], "", 0, None, each["open_alarms"], None, each["name"], "{}", _trouble(each)]
        for name, each in told.items()
        if name not in stored and (retired or each["life"] != "retired")
    ]
    return Rows(["device", "state", *found.columns[1:-1], "trouble"], rows, found.truncated)


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


def _state(told: dict[str, Any] | None, retired_at: str | None) -> str:
    if told is None:
        return "unknown" if retired_at is None else "retired"
    return f"{told['life']}, muted" if told["muted_at"] else str(told["life"])


def _trouble(told: dict[str, Any] | None) -> str:
    return "" if told is None else "; ".join(each for each in (told["refusal"], told["clock"]) if each)


def _listed(metrics: list[str]) -> str:
    return ", ".join(metrics)
