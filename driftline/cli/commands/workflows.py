"""`driftline workflows`: workflows and their runs, begun, decided on and taken up again by hand."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from driftline.cli.console import CommandError, ConfigOption, DataOption, Exit, data_folder, json_given, read_config
from driftline.cli.tables import Format, FormatOption, Rows, WideOption, print_rows, time_text


class WorkflowAction(StrEnum):
    """What to do."""

    LIST = "list"
    SHOW = "show"
    START = "start"
    APPROVE = "approve"
    REFUSE = "refuse"
    RESUME = "resume"
    CANCEL = "cancel"


InputOption = Annotated[
    Path | None, typer.Option("--input", "-i", help="start: a file with the input as JSON; null without one.")
]
StateOption = Annotated[
    str | None, typer.Option("--state", help="approve, refuse: the state that waits, where several do.")
]
CommentOption = Annotated[str, typer.Option("--comment", help="approve, refuse: why; kept with the run.")]
LimitOption = Annotated[int, typer.Option("--limit", "-n", min=1, max=1_000, help="list: most runs printed.")]


def workflows(
    action: Annotated[
        WorkflowAction,
        typer.Argument(
            help="list [NAME]: runs; show RUN: where one stands and what it did; start NAME: begin a run; approve RUN, "
            "refuse RUN: decide what it waits for; resume RUN: take up one that failed; cancel RUN: end it."
        ),
    ] = WorkflowAction.LIST,
    name: Annotated[str | None, typer.Argument(help="A workflow, or a run.", show_default=False)] = None,
    given: InputOption = None,
    state: StateOption = None,
    comment: CommentOption = "",
    form: FormatOption = Format.TABLE,
    wide: WideOption = False,
    limit: LimitOption = 20,
    config: ConfigOption = None,
    data: DataOption = None,
) -> None:
    """Show the workflows' runs and where each stands, begin one, decide what it waits for, or take up one that failed.

    All but the list of workflows is asked of the running service.

    Example: driftline workflows start repair --input pump.json
    """
    from driftline.cli.client import running_service

    folder = data_folder(config, data)
    if action is not WorkflowAction.LIST:
        _do(action, name, folder, form, given, {"state": state, "comment": comment})
    elif running_service(folder) is None:
        _declared(config)
    else:
        _list(folder, name, form, limit, wide=wide)


def _do(
    action: WorkflowAction, name: str | None, folder: Path, form: Format, given: Path | None, decision: dict[str, Any]
) -> None:
    from driftline.cli.client import needed_service, send

    if name is None:
        kind = "workflow" if action is WorkflowAction.START else "run"
        raise CommandError(f"{action}: expected the name of a {kind}", code=Exit.USAGE)
    value = json_given("--input", given)
    service = needed_service(folder)
    if action is WorkflowAction.SHOW:
        _show(folder, name, form)
    elif action is WorkflowAction.START:
        print(f"{send(service, 'POST', f'workflows/{name}/runs', value)['run']} begun")
    elif action is WorkflowAction.RESUME:
        print(f"{name} is taken up again as {send(service, 'POST', f'workflows/runs/{name}/resume')['run']}")
    elif action is WorkflowAction.CANCEL:
        send(service, "POST", f"workflows/runs/{name}/cancel")
        print(f"{name} cancelled")
    elif action in (WorkflowAction.APPROVE, WorkflowAction.REFUSE):
        approve = action is WorkflowAction.APPROVE
        wanted = {"approve": approve, **decision}
        place = send(service, "POST", f"workflows/runs/{name}/decision", wanted)["place"]
        print(f"{place} of {name} {'approved' if approve else 'refused'}")


def _declared(config: Path | None) -> None:
    """Where no service runs: the workflows of the configuration. Runs go on only in a service."""
    for each in read_config(config).workflows:
        print(f"{each.name} ({each.file}, {each.trigger.type})")
    print("No service runs here: its runs are seen, and go on, once `driftline up` does")


def _list(folder: Path, name: str | None, form: Format, limit: int, *, wide: bool) -> None:
    from driftline.cli.client import get, running_service

    service = running_service(folder)
    assert service is not None
    path = "workflows/runs" if name is None else f"workflows/{name}"
    runs = get(service, f"{path}?limit={limit}")["runs"]
    rows = [[run["run"], run["state"], time_text(run["started"]), _standing(run)] for run in runs]
    print_rows(Rows(["run", "state", "started", "stands"], rows), form, wide=wide, none="No runs yet")


def _standing(run: dict[str, Any]) -> str:
    if run["state"] in ("failed", "resumed"):
        return f"at {run['failed_at']}: {run['error']}: {run['cause']}"
    return ", ".join(f"{each['place']} ({each['doing']})" for each in run["stands"])


def _show(folder: Path, name: str, form: Format) -> None:
    from driftline.cli.client import get, needed_service

    run = get(needed_service(folder), f"workflows/runs/{name}")
    if form is Format.JSON:
        print(json.dumps(run, indent=2, ensure_ascii=False))
        return
    print(f"{run['run']} of {run['workflow']}: {run['state']}, begun {time_text(run['started'])}")
    for step in run["steps"]:
        what = f"{step['error']}: {step['cause']}" if step["error"] else "done"
        tries = f" (try {step['attempt']})" if step["attempt"] > 1 else ""
        print(f"  {time_text(step['ended'])} {step['place']}{tries} {what}")
    if standing := _standing(run):
        print(f"  now {standing}" if run["state"] == "running" else f"  {run['state']} {standing}")
    for each in run["stands"]:
        if each["doing"] == "waiting for approval":
            print(f"    asked: {json.dumps(each['asked'], ensure_ascii=False)}")
    if run["state"] == "succeeded":
        print(f"  gave {json.dumps(run['output'], ensure_ascii=False)}")
