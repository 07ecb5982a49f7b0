"""`driftline streams`: standing questions: which there are, what they gave, and what they would give."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from driftline.cli.console import CommandError, ConfigOption, DataOption, Exit, data_folder, read_config
from driftline.cli.tables import Format, FormatOption, Rows, WideOption, counted, print_rows

if TYPE_CHECKING:
    from driftline.config import Config


class StreamAction(StrEnum):
    """What to do."""

    LIST = "list"
    SHOW = "show"
    TEST = "test"


LimitOption = Annotated[int, typer.Option("--limit", "-n", min=1, max=10_000, help="show: most rows printed.")]


def streams(
    action: Annotated[
        StreamAction,
        typer.Argument(help="list: all streams; show NAME: one with its rows; test FILE: run them over a recording."),
    ] = StreamAction.LIST,
    subject: Annotated[
        str | None, typer.Argument(metavar="[NAME|FILE]", help="A stream, or a recording.", show_default=False)
    ] = None,
    form: FormatOption = Format.TABLE,
    wide: WideOption = False,
    limit: LimitOption = 20,
    config: ConfigOption = None,
    data: DataOption = None,
) -> None:
    """Show the streams of the configuration, their counts and rows, while the service runs and while it does not.

    `test` runs them over recorded messages and prints every result that they would have given; nothing is stored. The
    recording is JSON lines with `topic`, `time` (of arrival) and `payload`, or CSV with a column `time`, a column
    `topic` or `device`, and a column for each field.

    Example: driftline streams test crowd.jsonl
    """
    if action is StreamAction.TEST:
        if subject is None:
            raise CommandError("test: expected a file of recorded messages", code=Exit.USAGE)
        _test(read_config(config), Path(subject), form, wide=wide)
        return
    found = _streams(read_config(config), data_folder(config, data), subject, limit)
    if action is StreamAction.SHOW:
        if subject is None:
            raise CommandError("show: expected the name of a stream", code=Exit.USAGE)
        _show(found, subject, form, wide=wide)
    else:
        _list(found["streams"], form, wide=wide)


def _streams(config: Config, data: Path, name: str | None, limit: int) -> dict[str, Any]:
    """What the API says of all streams, or of one with its rows; read from the files where no service runs."""
    from driftline.cli.client import get, running_service
    from driftline.cli.store_opening import open_reader
    from driftline.http.stream_routes import listed_streams, newest_rows
    from storage.embedded.database import EmbeddedStore

    if (service := running_service(data)) is not None:
        return dict(get(service, "streams" if name is None else f"streams/{name}?limit={limit}"))
    with open_reader("embedded", config, data) as store:
        assert isinstance(store, EmbeddedStore)
        listed = listed_streams(config.streams, store.streams(), time.time_ns())
        if name is None:
            return {"streams": listed}
        chosen = [each for each in listed if each["name"] == name]
        if not chosen:
            from common.suggestions import unknown

            raise CommandError(unknown(name, [each["name"] for each in listed], "stream"), code=Exit.USAGE)
        columns, rows = newest_rows(store, name, limit)
        return {**chosen[0], "row_columns": columns, "newest": rows}


def _list(found: list[dict[str, Any]], form: Format, *, wide: bool) -> None:
    from driftline.http.stream_routes import LEFT_OUT, UNDELIVERED

    counted_columns = ["received", "late", "over_limit", "windows", "rows", "failed"]
    columns = ["stream", "from", "window", *counted_columns, "undelivered", "lag_seconds"]
    rows = []
    for each in found:
        definition = each["definition"] or {"from": "", "window": {}}
        counts = [*(each["counts"][name] for name in counted_columns), each["undelivered"]]
        lag = None if each["lag_seconds"] is None else round(each["lag_seconds"], 1)
        rows.append([each["name"], definition["from"], _window(definition["window"]), *counts, lag])
    print_rows(Rows(columns, rows), form, wide=wide, none="No streams are configured: see docs/streams.md")
    for each in found if form is Format.TABLE else ():
        if each["left_out"]:
            print(f"{each['name']} left {counted(each['left_out'], 'row')} out: {_parts(each['counts'], LEFT_OUT)}")
        if each["undelivered"]:
            of = _parts(each["counts"], UNDELIVERED)
            print(f"{each['name']} could not deliver {counted(each['undelivered'], 'answer')}: {of}")
        if each["problem"]:
            print(f"{each['name']} failed: {each['problem']}")


def _parts(counts: Mapping[str, int], words: Mapping[str, str]) -> str:
    return ", ".join(f"{count:,} {said}" for name, said in words.items() if (count := counts[name]))


def _window(window: dict[str, Any]) -> str:
    return " ".join(str(window[key]) for key in ("type", "size", "hop", "gap") if window.get(key))


def _show(found: dict[str, Any], name: str, form: Format, *, wide: bool) -> None:
    if form is Format.TABLE:
        definition = found["definition"]
        print(f"{name}: " + ("no longer declared" if definition is None else json.dumps(definition)))
        counts = [f"{count:,} {key.replace('_', ' ')}" for key, count in found["counts"].items() if count]
        print(", ".join(counts) or "nothing received yet")
        if found["problem"]:
            print(f"failed: {found['problem']}")
    rows = Rows(found["row_columns"], _plain_rows(found["newest"]))
    print_rows(rows, form, wide=wide, none="No rows yet: one comes when a window closes")


def _plain_rows(rows: list[list[Any]]) -> list[list[Any]]:
    from driftline.http.reply import to_json

    return list(json.loads(to_json(rows)))


def _test(config: Config, path: Path, form: Format, *, wide: bool) -> None:
    from driftline.runtime.stream_trial import RecordingError, recorded_messages, results_over

    if not config.streams:
        raise CommandError("the configuration has no streams: declare one under [[streams]]", code=Exit.USAGE)
    try:
        messages = recorded_messages(path)
    except (RecordingError, OSError) as error:
        raise CommandError(str(error), code=Exit.USAGE) from None
    trial = results_over(config, messages)
    rows = [
        {
            "stream": result.stream,
            "window_start": _moment(result.window_start),
            "window_end": _moment(result.window_end),
            "kind": result.kind,
            **dict(zip((name for name, _ in result.columns), row, strict=True)),
        }
        for result in trial.results
        for row in result.rows
    ]
    for problem in trial.problems:
        typer.echo(problem, err=True)
    if form is Format.TABLE:
        for stream in config.streams:
            mine = [row for row in rows if row["stream"] == stream.name]
            if mine:
                print_rows(Rows(list(mine[0]), [list(row.values()) for row in mine]), form, wide=True)
        for line in trial.alarms:
            print(line)
        count = len({row["stream"] for row in rows})
        print(f"{counted(len(messages), 'message')}: {counted(len(rows), 'row')} of {counted(count, 'stream')}")
    else:
        columns = list(dict.fromkeys(name for row in rows for name in row))
        print_rows(Rows(columns, [[row.get(name) for name in columns] for row in rows]), form, wide=wide)


def _moment(nanoseconds: int) -> str:
    import numpy as np

    return f"{np.datetime_as_string(np.datetime64(nanoseconds, 'ns'), unit='ms')}Z"
