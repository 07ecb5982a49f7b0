"""`driftline alarms`: what needs a look, and what is done about it."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer

from driftline.cli.client import get, needed_service, query, send
from driftline.cli.console import CommandError, ConfigOption, DataOption, Exit, data_folder
from driftline.cli.tables import Format, FormatOption, WideOption, print_rows


class Which(StrEnum):
    """Which alarms are listed."""

    OPEN = "open"
    CLEARED = "cleared"
    ALL = "all"


class AlarmCommand(StrEnum):
    """What to do."""

    LIST = "list"
    ACK = "ack"
    UNACK = "unack"
    SHELVE = "shelve"
    UNSHELVE = "unshelve"
    CLEAR = "clear"
    COMMENT = "comment"
    FEEDBACK = "feedback"
    UNDO = "undo"
    FORGET = "do-not-learn"
    TEST = "test"


class VerdictChoice(StrEnum):
    """What an alarm was."""

    RIGHT = "right"
    WRONG = "wrong"
    EXPECTED = "expected"


NARROW = ["alarm", "severity", "state", "device", "metric", "opened"]
CONDITION = {Which.OPEN: "state <> 'cleared'", Which.CLEARED: "state = 'cleared'", Which.ALL: "true"}
_ACTION = {
    AlarmCommand.ACK: "acknowledge",
    AlarmCommand.UNACK: "unacknowledge",
    AlarmCommand.FORGET: "do_not_learn",
    AlarmCommand.UNDO: "undo_feedback",
}
_TOLD = ("feedback", "undo_feedback")
"""Actions of which the outcome is told, beside that they were done."""


def alarms(
    action: Annotated[AlarmCommand, typer.Argument(help="What to do.")] = AlarmCommand.LIST,
    targets: Annotated[
        list[str] | None,
        typer.Argument(help="Numbers of alarms; test: notice channels.", metavar="[ALARM]...", show_default=False),
    ] = None,
    which: Annotated[Which, typer.Option("--state", "-s", help="list: open are those not cleared yet.")] = Which.ALL,
    device: Annotated[str | None, typer.Option("--device", help="list: only this device's.", metavar="NAME")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="list: most alarms listed.")] = 200,
    note: Annotated[str, typer.Option("--note", metavar="TEXT", help="What is to be said about it.")] = "",
    lasting: Annotated[str, typer.Option("--for", metavar="DURATION", help="shelve: for how long.")] = "8h",
    verdict: Annotated[VerdictChoice | None, typer.Option("--verdict", help="feedback: what the alarm was.")] = None,
    form: FormatOption = Format.TABLE,
    wide: WideOption = False,
    config: ConfigOption = None,
    data: DataOption = None,
) -> None:
    """List alarms, newest first, or act on them by number.

    ack says that you have taken an alarm on, shelve puts it aside for a time, clear ends it, comment is kept with it.
    feedback changes its series: wrong raises the threshold above the alarm, right keeps it from being raised past it,
    expected takes what the series shows for normal; undo takes that back. do-not-learn keeps the alarm's stretch of
    time from being taken for normal. test sends a test message through notice channels. All but list need a running
    service, which keeps what was done in its journal.

    Example: driftline alarms shelve 12 13 --for 8h --note "bearing is ordered"
    """
    folder = data_folder(config, data)
    if action is AlarmCommand.TEST:
        _test(folder, targets or [])
    elif action is AlarmCommand.LIST:
        chosen = CONDITION[which]
        if device is not None:
            chosen += " and device = '" + device.replace("'", "''") + "'"
        columns = "alarm, device, metric, state, severity, opened, cleared, peak_score, acknowledged_by, note, reason"
        sql = f"select {columns} from alarms where {chosen} order by opened desc, alarm desc"
        found = query(folder, sql, limit=limit)
        print_rows(found, form, wide=wide, narrow=NARROW, below="reason", none=_none(which, device))
    else:
        _act(folder, action, targets or [], _details(action, note, lasting, verdict))


def _none(which: Which, device: str | None) -> str:
    what = "alarms" if which is Which.ALL else f"{which} alarms"
    return f"No {what}" + ("" if device is None else f' of "{device}"')


def _details(action: AlarmCommand, note: str, lasting: str, verdict: VerdictChoice | None) -> dict[str, Any]:
    from common.durations import parse_duration

    details: dict[str, Any] = {"action": _ACTION.get(action, action.value), "note": note}
    if action is AlarmCommand.SHELVE:
        try:
            details["seconds"] = parse_duration(lasting) / 1e9
        except ValueError as error:
            raise CommandError(f"--for: {error}", code=Exit.USAGE) from None
    if action is AlarmCommand.FEEDBACK:
        if verdict is None:
            raise CommandError("--verdict: missing: right, wrong or expected", code=Exit.USAGE)
        details["verdict"] = verdict.value
    if action is AlarmCommand.COMMENT and not note:
        raise CommandError("--note: missing: what is to be said?", code=Exit.USAGE)
    return details


def _act(folder: Path, action: AlarmCommand, targets: list[str], details: dict[str, Any]) -> None:
    wrong = [each for each in targets if not each.isdigit()]
    if wrong or not targets:
        given = f'got "{wrong[0]}"' if wrong else "none is given"
        raise CommandError(f"ALARM: {given}, expected numbers of alarms as `driftline alarms` lists", code=Exit.USAGE)
    reply = send(needed_service(folder), "POST", "alarms/actions", {**details, "alarms": [int(t) for t in targets]})
    for done in reply["done"]:
        told = done["text"] if details["action"] in _TOLD else action.value
        print(f"alarm {done['alarm'] or targets[done['number']]}: {done['refused'] or told}")
    for effect in reply["effects"]:
        print(f"{effect['device']} {effect['metric']}: {effect['sentence']}")


def _test(folder: Path, targets: list[str]) -> None:
    service = needed_service(folder)
    channels = [each["settings"]["name"] for each in get(service, "notices/channels")["channels"]]
    if not channels:
        raise CommandError("no notice channel is set up: add [[notices]] to the configuration (docs/alarms.md)")
    for name in targets or channels:
        send(service, "POST", f"notices/channels/{quote(name, safe='')}/test")
        print(f'channel "{name}" took the test message')
