"""`driftline exclude`: take bad values out, and put them back."""

from __future__ import annotations

import re
from typing import Annotated, Any

import typer

from common.time_units import SECOND
from driftline.cli.client import needed_service, send
from driftline.cli.console import CommandError, ConfigOption, DataOption, Exit, data_folder
from driftline.cli.tables import counted

_FRACTION = re.compile(r":\d\d[.,](\d{1,9})")


def exclude(
    device: Annotated[str, typer.Argument(help="The device.")],
    metric: Annotated[str, typer.Argument(help="Its metric.")],
    begin: Annotated[str, typer.Option("--from", metavar="TIME", help="Time of the first value, in ISO 8601.")],
    end: Annotated[
        str, typer.Option("--to", metavar="TIME", help="Time of the last value; unset: the value at --from alone.")
    ] = "",
    undo: Annotated[bool, typer.Option("--undo", help="Put back what was taken out.")] = False,
    note: Annotated[str, typer.Option("--note", metavar="TEXT", help="What is to be said about it.")] = "",
    config: ConfigOption = None,
    data: DataOption = None,
) -> None:
    """Take bad values of a metric out of charts, aggregates and what is learned again; --undo puts them back.

    They are kept apart, in the SQL view `excluded`, as is what comes later for the stretch. What was learned from them
    as they came, and what external databases have of them, stays as it is. Needs a running service, which keeps it in
    its journal.

    A time without a fraction stands for its whole second, as tables of `driftline query` show times.

    Example: driftline exclude plant/pump-01 temperature --from 2026-03-01T12:00Z --to 2026-03-01T12:05Z
    """
    from devices.times import parse_time

    try:
        first = parse_time(begin)
        last = parse_time(end) if end else first
    except ValueError as error:
        raise CommandError(str(error), code=Exit.USAGE) from None
    if last < first:
        raise CommandError(f"--to: {end}: expected a time after --from {begin}", code=Exit.USAGE)
    asked: dict[str, Any] = {
        "action": "include" if undo else "exclude",
        "device": device,
        "metric": metric,
        "from": str(first),
        "to": str(last + _shown(end or begin, last)),
        "note": note,
    }
    reply = send(needed_service(data_folder(config, data)), "POST", "points/exclusions", asked)
    print(_outcome(reply, undo=undo))


def _shown(text: str, time: int) -> int:
    """How long a time lasts as it is written, ns: a second, or what the last digit of its fraction stands for."""
    if fraction := _FRACTION.search(text):
        return int(10 ** (9 - len(fraction[1])))
    return SECOND if time % SECOND == 0 else 1


def _outcome(reply: dict[str, Any], *, undo: bool) -> str:
    if reply["done"]["waits"]:
        return "it is in the journal; the engine is behind, and does it in its turn"
    changed, out = reply["changed"], reply["excluded"]
    if undo:
        return f"{counted(changed, 'point')} put back" if changed else "no point is excluded there: nothing to put back"
    if not changed and not out:
        return "there is no point at that time; what comes for it later is excluded"
    in_all = f"; {counted(out, 'point')} excluded there in all" if out != changed else ""
    return f"{counted(changed, 'point')} excluded{in_all}"
