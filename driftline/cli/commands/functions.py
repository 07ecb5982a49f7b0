"""`driftline functions`: how functions do, calls by hand, and what they logged."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from driftline.cli.console import CommandError, ConfigOption, DataOption, Exit, data_folder, json_given, read_config
from driftline.cli.tables import Format, FormatOption, Rows, WideOption, print_rows, time_text

if TYPE_CHECKING:
    from driftline.config import Config
    from functions.function_settings import FunctionSettings

_COUNTS = ["events", "waiting", "done", "failed", "calls", "errors", "timeouts"]
_INVOKE_SECONDS = 16 * 60.0


class FunctionAction(StrEnum):
    """What to do."""

    LIST = "list"
    INVOKE = "invoke"
    LOGS = "logs"
    RETRY = "retry"


EventOption = Annotated[
    Path | None, typer.Option("--event", "-e", help="invoke: a file with the event as JSON; null without one.")
]
LimitOption = Annotated[int, typer.Option("--limit", "-n", min=1, max=1_000, help="logs: most calls printed.")]


def functions(
    action: Annotated[
        FunctionAction,
        typer.Argument(
            help="list: all functions; invoke NAME: call one; logs [NAME]: the newest calls; retry NAME: try what was "
            "set aside again."
        ),
    ] = FunctionAction.LIST,
    name: Annotated[str | None, typer.Argument(help="A function.", show_default=False)] = None,
    event: EventOption = None,
    form: FormatOption = Format.TABLE,
    wide: WideOption = False,
    limit: LimitOption = 20,
    config: ConfigOption = None,
    data: DataOption = None,
) -> None:
    """Show the functions of the configuration with their counts, call one, and read what they logged.

    `invoke` asks the running service. Where none runs it calls the function's file here, as a trial: nothing is
    noted, and what needs the service (`context.act`) is refused.

    Example: driftline functions invoke on_alarm --event alarm.json
    """
    from driftline.cli.client import running_service

    declared, folder = read_config(config), data_folder(config, data)
    if name is not None and name not in [each.name for each in declared.called]:
        from common.suggestions import unknown

        raise CommandError(unknown(name, [each.name for each in declared.called], "function"), code=Exit.USAGE)
    if action is FunctionAction.LIST:
        _list(declared, folder, name, form, wide=wide)
    elif action is FunctionAction.LOGS:
        _logs(folder, name, form, limit)
    elif name is None:
        raise CommandError(f"{action}: expected the name of a function", code=Exit.USAGE)
    elif action is FunctionAction.RETRY:
        from driftline.cli.client import needed_service, send

        count = send(needed_service(folder), "POST", f"functions/{name}/retry")["retried"]
        print(f"{count:,} event{'s' if count != 1 else ''} of {name} tried again")
    elif action is FunctionAction.INVOKE and (service := running_service(folder)) is not None:
        from driftline.cli.client import send

        reply = send(service, "POST", f"functions/{name}", json_given("--event", event), seconds=_INVOKE_SECONDS)
        _print_result(reply["result"], reply["logs"])
    else:
        _try(next(each for each in declared.called if each.name == name), json_given("--event", event))


def _list(config: Config, folder: Path, name: str | None, form: Format, *, wide: bool) -> None:
    from driftline.cli.client import get, running_service

    if (service := running_service(folder)) is not None:
        found = list(get(service, "functions")["functions"])
    else:
        found = _stored(config, folder)
    found = [each for each in found if name in (None, each["name"])]
    rows = []
    for each in found:
        call = each["last_call"]
        last = [time_text(call["started"]), call["outcome"]] if call else [None, None]
        counts = [each["counts"].get(count, 0) for count in _COUNTS]
        rows.append([each["name"], each["definition"]["trigger"]["type"], *counts, *last])
    none = "No functions are configured: see docs/functions.md"
    print_rows(Rows(["function", "trigger", *_COUNTS, "last_call", "outcome"], rows), form, wide=wide, none=none)
    for each in found if form is Format.TABLE else ():
        if each["problem"]:
            print(f"{each['name']}: {each['problem']}")


def _stored(config: Config, folder: Path) -> list[dict[str, Any]]:
    """What the queue's file holds of the functions, where no service runs."""
    from dataclasses import asdict

    from driftline.runtime.data_folder import DataFolder
    from functions.function_queue import COUNTS, FunctionQueue
    from functions.triggers import with_stream_targets
    from streams.stream_settings import stream_targets

    declared = with_stream_targets(config.called, stream_targets(config.streams))
    path = DataFolder(folder).functions
    if not path.exists():
        return [_summary(each, dict.fromkeys(COUNTS, 0), None) for each in declared]
    with FunctionQueue(path) as queue:
        found = []
        for each in declared:
            counts = {**queue.counts(each.name), "waiting": queue.waiting(each.name)[0]}
            newest = queue.calls(each.name, 1)
            found.append(_summary(each, counts, asdict(newest[0]) if newest else None))
        return found


def _summary(settings: FunctionSettings, counts: Mapping[str, int], call: dict[str, Any] | None) -> dict[str, Any]:
    definition = {"trigger": {"type": settings.trigger.type}}
    problem = "" if call is None else call["error"]
    return {
        "name": settings.name,
        "definition": definition,
        "counts": counts,
        "last_call": call,
        "problem": problem,
    }


def _logs(folder: Path, name: str | None, form: Format, limit: int) -> None:
    from dataclasses import asdict

    from driftline.cli.client import get, running_service
    from driftline.runtime.data_folder import DataFolder
    from functions.function_queue import FunctionQueue

    if (service := running_service(folder)) is not None:
        path = f"functions/{name}?limit={limit}" if name is not None else f"functions/calls?limit={limit}"
        calls = list(get(service, path)["calls"])
    elif (file := DataFolder(folder).functions).exists():
        with FunctionQueue(file) as queue:
            calls = [asdict(each) for each in queue.calls(name, limit)]
    else:
        calls = []
    if form is not Format.TABLE:
        columns = list(calls[0]) if calls else []
        print_rows(Rows(columns, [list(call.values()) for call in calls]), form, wide=True)
        return
    if not calls:
        print(f"No calls of {name} yet" if name is not None else "No calls yet")
    for call in reversed(calls):
        what = f"{call['events']} events of " if call["events"] > 1 else ""
        print(
            f"{time_text(call['started'])} {call['function']} {call['outcome']} in {call['duration'] / 1e6:,.1f} ms "
            f"({what}{call['trigger']}, try {call['attempt']}, {call['memory'] / 2**20:.0f} MiB"
            f"{', cold start' if call['cold'] else ''})"
        )
        for line in [*call["logs"], *([call["error"]] if call["error"] else [])]:
            print(f"    {line}")


def _try(settings: FunctionSettings, event: Any) -> None:
    """Call a function here, without a service."""
    from functions.runner import Call, FunctionRunner

    runner = FunctionRunner(settings, _NoActions(), clock=time.time_ns)
    try:
        outcome, record = runner.call(Call(event, "trial", {"type": "http"}))
    finally:
        runner.stop()
    if outcome.error:
        for line in record.logs:
            typer.echo(line, err=True)
        raise CommandError(f"{settings.name}: {outcome.error}")
    _print_result(outcome.result, record.logs)


class _NoActions:
    """What is asked of a service that does not run."""

    def act(self, action: str, *_: object, **__: object) -> Any:
        """Refuse it."""
        raise ValueError(f"{action}: no service runs that could do it: start `driftline up` first")


def _print_result(result: Any, logs: list[str]) -> None:
    for line in logs:
        typer.echo(line, err=True)
    print(json.dumps(result, indent=2, ensure_ascii=False))
