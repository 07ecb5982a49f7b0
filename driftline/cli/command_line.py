"""The command line: one file a command in `driftline/cli/commands`, put together here.

Nothing heavy is imported before the command that needs it runs, so that `--help` answers at once.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import Annotated, Any

import typer

from common.extras import MissingExtraError
from common.visible import visible
from driftline.cli.commands.alarms import alarms
from driftline.cli.commands.audit import audit
from driftline.cli.commands.backtest import backtest
from driftline.cli.commands.backup import backup
from driftline.cli.commands.check import check
from driftline.cli.commands.confirm import confirm
from driftline.cli.commands.correct import correct
from driftline.cli.commands.dashboards import dashboards
from driftline.cli.commands.devices import devices
from driftline.cli.commands.doctor import doctor
from driftline.cli.commands.exclude import exclude
from driftline.cli.commands.explain import explain
from driftline.cli.commands.forecast import forecast
from driftline.cli.commands.functions import functions
from driftline.cli.commands.mcp import mcp
from driftline.cli.commands.query import query
from driftline.cli.commands.receive import receive
from driftline.cli.commands.record import record
from driftline.cli.commands.replay import replay
from driftline.cli.commands.report import report
from driftline.cli.commands.restore import restore
from driftline.cli.commands.score import score
from driftline.cli.commands.simulate import PASS_ON, simulate
from driftline.cli.commands.spark import spark
from driftline.cli.commands.storage import storage
from driftline.cli.commands.streams import streams
from driftline.cli.commands.tokens import tokens
from driftline.cli.commands.tune import tune
from driftline.cli.commands.up import up
from driftline.cli.commands.users import users
from driftline.cli.commands.version import version
from driftline.cli.commands.workflows import workflows
from driftline.cli.console import CommandError, Exit
from driftline.compile.kernel_cache import drop_stale_kernels
from driftline.runtime.leaving import leave

RUN, UNDERSTAND, LOOK = "Run", "Configure and understand", "Look at the data"

COMMANDS: tuple[tuple[str, Callable[..., None], dict[str, Any]], ...] = (
    (RUN, up, {}),
    (RUN, receive, {}),
    (RUN, simulate, PASS_ON),
    (RUN, record, {}),
    (RUN, replay, {}),
    (RUN, backup, {}),
    (RUN, restore, {}),
    (RUN, confirm, {}),
    (RUN, correct, {}),
    (RUN, spark, {}),
    (UNDERSTAND, check, {}),
    (UNDERSTAND, explain, {}),
    (UNDERSTAND, backtest, {}),
    (UNDERSTAND, tune, {}),
    (UNDERSTAND, score, {}),
    (UNDERSTAND, doctor, {}),
    (UNDERSTAND, version, {}),
    (RUN, users, {}),
    (RUN, tokens, {}),
    (RUN, audit, {}),
    (LOOK, devices, {}),
    (LOOK, alarms, {}),
    (LOOK, report, {}),
    (LOOK, query, {}),
    (LOOK, forecast, {}),
    (LOOK, streams, {}),
    (LOOK, functions, {}),
    (LOOK, workflows, {}),
    (LOOK, mcp, {}),
    (LOOK, exclude, {}),
    (LOOK, storage, {}),
    (LOOK, dashboards, {}),
)
"""Panel of the help, command, and what is special about how its arguments are read."""

app = typer.Typer(
    name="driftline",
    help="MQTT telemetry in, anomalies out.\n\nStart with `driftline up --demo`.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        version()
        raise typer.Exit


@app.callback()
def _options(
    _asked: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the versions that matter in a report.", callback=_print_version, is_eager=True
        ),
    ] = False,
) -> None:
    """MQTT telemetry in, anomalies out.

    Start with `driftline up --demo`.
    """


for panel, command, reading in COMMANDS:
    app.command(rich_help_panel=panel, context_settings=reading)(command)


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns its exit code (see `driftline.cli.console.Exit`).

    Without `arguments` they are the process's own, which ends with the command where threads are left in it.
    """
    code = _run(arguments)
    if arguments is None and threading.active_count() > 1:
        leave(code)
    return code


def _run(arguments: list[str] | None) -> int:
    drop_stale_kernels()
    try:
        app(arguments)
    except CommandError as error:
        for line in error.lines:
            print(f"driftline: {visible(line)}", file=sys.stderr)
        return error.code
    except MissingExtraError as error:
        print(f"driftline: {error}", file=sys.stderr)
        return Exit.USAGE
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else Exit.FAILED
    except KeyboardInterrupt:
        return 130
    return Exit.OK
