"""`driftline exclude`: take bad values out, and put them back."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from driftline.cli.client import needed_service, send
from driftline.cli.console import CommandError, ConfigOption, DataOption, Exit, data_folder

_A_NANOSECOND = 1


def exclude(
    device: Annotated[str, typer.Argument(help="The device.")],
    metric: Annotated[str, typer.Argument(help="Its metric.")],
    begin: Annotated[str, typer.Option("--from", metavar="TIME", help="First time, in ISO 8601.")],
    end: Annotated[str, typer.Option("--to", metavar="TIME", help="First time left out; unset: --from alone.")] = "",
    undo: Annotated[bool, typer.Option("--undo", help="Put back what was taken out.")] = False,
    note: Annotated[str, typer.Option("--note", metavar="TEXT", help="What is to be said about it.")] = "",
    config: ConfigOption = None,
    data: DataOption = None,
) -> None:
    """Take bad values of a metric out of charts, aggregates and what is learned again; --undo puts them back.

    They are kept apart, in the SQL view `excluded`, as is what comes later for the stretch. What was learned from them
    as they came, and what external databases have of them, stays as it is. Needs a running service, which keeps it in
    its journal.

    Example: driftline exclude plant/pump-01 temperature --from 2026-03-01T12:00Z --to 2026-03-01T12:05Z
    """
    from devices.times import parse_time

    try:
        first = parse_time(begin)
        last = parse_time(end) if end else first + _A_NANOSECOND
    except ValueError as error:
        raise CommandError(str(error), code=Exit.USAGE) from None
    if last <= first:
        raise CommandError(f"--to: {end}: expected a time after --from {begin}", code=Exit.USAGE)
    asked: dict[str, Any] = {
        "action": "include" if undo else "exclude",
        "device": device,
        "metric": metric,
        "from": str(first),
        "to": str(last),
        "note": note,
    }
    reply = send(needed_service(data_folder(config, data)), "POST", "points/exclusions", asked)
    count = reply["included"] if undo else reply["excluded"]
    what = "1 point is" if count == 1 else f"{count:,} points are"
    print(f"{what} {'included' if undo else 'excluded'} there now")
