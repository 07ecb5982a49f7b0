"""Streams that join tables beside their window: a person's own, devices, series, and the rows of other streams."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import duckdb
import orjson
import pytest
from stream_steps import SECOND, START, Message, run, tick

from alerts.actions import encode
from alerts.alarm_settings import AlarmSettings
from devices.device_actions import LabelDevice
from devices.messages import MessageChunk
from driftline.config import Config, parse_config
from driftline.config_errors import ConfigError
from driftline.runtime.recovery import engine_of_settings, new_engine
from ingest.pipeline import Engine
from storage.store import JournalEntry, StepOutput, StreamResult
from streams.reference_tables import ReferenceTableError, read_reference_table

HOT = """
[[streams]]
name = "hot"
from = "readings"
window = { size = "1s" }
lateness = "0s"
sql = '''select device, max(heat) as heat, any_value(high) as high from window join limits using (device)
         where heat > high group by device'''
[streams.tables]
limits = "limits.csv"
"""


def configured(folder: Path, text: str, **files: str) -> Config:
    for name, content in files.items():
        (folder / f"{name}.csv").write_text(content)
    return parse_config(text, profiles=folder / "profiles")


def message(topic: str, seconds: float, **fields: Any) -> Message:
    return topic.encode(), json.dumps(fields).encode(), START + round(seconds * SECOND), 1


def labelled(engine: Engine, device: str, seconds: float, offset: int, **labels: str | None) -> StepOutput:
    at = START + round(seconds * SECOND)
    chunk = MessageChunk.of_actions(encode([LabelDevice(device=device, by="ann", at=at, labels=labels)]), ticked_at=at)
    return engine.step(JournalEntry(engine.position, offset, chunk))


def rows(outputs: Sequence[StepOutput], name: str) -> list[tuple[float, list[tuple[Any, ...]]]]:
    found: list[StreamResult] = [each for output in outputs for each in output.stream_results if each.stream == name]
    return [((each.window_end - START) / SECOND, each.rows) for each in found]


def errors_of(folder: Path, text: str, **files: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        configured(folder, text, **files)
    return caught.value.errors


def test_a_window_joins_a_table_of_ones_own(tmp_path: Path) -> None:
    engine = new_engine(configured(tmp_path, HOT, limits="device,high\noven,80\nkiln,1200.5\n"), [])
    sent = [message("oven", 0.1, heat=70), message("kiln", 0.2, heat=900), message("oven", 0.3, heat=81),
            message("mill", 0.4, heat=5000)]  # fmt: skip
    outputs = [*run(engine, [sent]), tick(engine, 3, 4)]
    assert rows(outputs, "hot") == [(1, [("oven", 81.0, 80.0)])]


def test_a_changed_table_is_another_configuration_and_a_replay_has_the_rows_that_were_in_force(tmp_path: Path) -> None:
    before = new_engine(configured(tmp_path, HOT, limits="device,high\noven,80\n"), [])
    first = run(before, [[message("oven", 0.1, heat=90), message("oven", 1.1, heat=90)]])
    assert rows(first, "hot") == [(1, [("oven", 90.0, 80.0)])]
    after = new_engine(configured(tmp_path, HOT, limits="device,high\noven,89\n"), before.registry.all_known())
    assert after.settings != before.settings
    arrays, rest = before.state()
    saved = orjson.loads(orjson.dumps(rest))
    after.load(before.position, arrays, saved)
    # The window that was open goes on, and is answered with the limits that hold when it ends.
    second = run(after, [[message("oven", 1.2, heat=89.5), message("oven", 2.1, heat=1)]], 2)
    assert rows(second, "hot") == [(2, [("oven", 90.0, 89.0)])]
    # What a restart reads the journal with are the settings of the snapshot, whatever the file holds by now.
    again = engine_of_settings(saved["settings"], before.registry.all_known())
    assert again is not None
    assert again.settings == before.settings
    again.load(before.position, arrays, saved)
    third = run(again, [[message("oven", 1.2, heat=89.5), message("oven", 2.1, heat=1)]], 2)
    assert rows(third, "hot") == [(2, [("oven", 90.0, 80.0)])]


PEERS = """
device_labels = [{ filter = "site/#", name = "site", value = "north" }]

[[streams]]
name = "by_site"
from = "readings"
window = { size = "1s" }
lateness = "0s"
sql = '''select labels ->> 'site' as site, count(*) as n, count(profile) as known
         from window join devices using (device) group by 1'''

[[streams]]
name = "units"
from = "points"
window = { size = "1s" }
lateness = "0s"
sql = '''select s.metric, s.kind as sort, s.unit, count(*) as n from window as w join series as s
         on w.device = s.device and w.metric = s.metric where w.metric like '%temperature%' group by all'''

[[streams]]
name = "seconds"
from = "readings"
window = { size = "1s" }
lateness = "0s"
corrections = "5s"
sql = "select device, count(*) as n from window group by device"

[[streams]]
name = "compared"
from = "readings"
window = { size = "1s" }
lateness = "0s"
history = "3s"
sql = '''select device, count(*) as n, (select sum(n) from seconds where seconds.device = w.device) as lately,
                (select count(*) from devices) as devices
         from window as w group by device'''
"""


def test_devices_are_as_they_were_at_the_end_of_the_window(tmp_path: Path) -> None:
    engine = new_engine(configured(tmp_path, PEERS.split('[[streams]]\nname = "units"', maxsplit=1)[0]), [])
    outputs = run(engine, [[message("site/a", 0.1, heat=1.0), message("site/b", 0.2, heat=1.0)]])
    outputs.append(labelled(engine, "site/b", 0.5, 2, site="south"))
    outputs += run(engine, [[message("site/a", 1.1, heat=1.0), message("site/b", 1.2, heat=1.0)]], 2)
    outputs.append(labelled(engine, "site/b", 1.5, 4, site=None))
    outputs.append(tick(engine, 3, 4))
    assert rows(outputs, "by_site") == [
        (1, [("north", 1, 0), ("south", 1, 0)]),
        (2, [("north", 1, 0), (None, 1, 0)]),
    ]


def test_the_profile_of_a_device_and_the_unit_of_a_series_are_known(tmp_path: Path) -> None:
    engine = new_engine(configured(tmp_path, PEERS), [])
    shelly = {"id": 0, "tC": 21.5, "tF": 70.7}
    params = {"ts": START / SECOND, "temperature:0": shelly}
    event = {"src": "shellyht-1", "dst": "x", "method": "NotifyStatus", "params": params}
    outputs = run(engine, [[message("shellyht-1/events/rpc", 0.1, **event), message("site/a", 0.2, heat=2.0)]])
    outputs.append(tick(engine, 3, 2))
    assert rows(outputs, "by_site") == [(1, [("north", 1, 0), (None, 1, 1)])]
    [(_, [row])] = rows(outputs, "units")
    assert row[1:] == ("measurement", "°C", 1)


def traffic() -> list[Message]:
    sent = []
    for number in range(60):
        at = number * 0.13
        late = 1.5 if number % 7 == 3 else 0.0
        said = round((START / SECOND + max(0.0, at - late)) * 1000)
        topic = f"site/{'abcde'[number * 7 % 5 if number > 20 else number % 2]}"
        sent.append(message(topic, at, ts=said, heat=float(number)))
    return sent


def everything(outputs: Sequence[StepOutput]) -> list[str]:
    return sorted(repr(each) for output in outputs for each in output.stream_results)


def test_rows_of_another_stream_are_those_given_by_the_end_of_the_window_however_the_journal_is_cut(
    tmp_path: Path,
) -> None:
    config, sent = configured(tmp_path, PEERS), traffic()
    whole = new_engine(config, [])
    expected = [*run(whole, [sent]), tick(whole, 30, len(sent))]
    first = dict(rows(expected, "compared")[0][1] and {1.0: rows(expected, "compared")[0][1]})
    # The window of the first second: its own rows are those of "seconds" by then, and two devices have been met.
    assert [row[3] for row in first[1.0]] == [2, 2]
    assert all(lately >= n for _, given in rows(expected, "compared") for _, n, lately, _ in given)
    assert max(row[3] for _, given in rows(expected, "compared") for row in given) == 5
    for bounds in ([0, *range(3, 60, 5), 60], list(range(61))):
        engine = new_engine(config, [])
        outputs = run(engine, [sent[start:end] for start, end in pairwise(bounds)])
        assert everything([*outputs, tick(engine, 30, len(sent))]) == everything(expected)


def test_a_restart_keeps_what_others_join(tmp_path: Path) -> None:
    config, sent = configured(tmp_path, PEERS), traffic()
    whole = new_engine(config, [])
    expected = [*run(whole, [sent]), tick(whole, 30, len(sent))]
    for cut in (1, 17, 40):
        before, after = new_engine(config, []), new_engine(config, [])
        outputs = run(before, [sent[:cut]])
        arrays, rest = before.state()
        # The registry of a database may be ahead of the snapshot.
        run(before, [sent[cut:]], cut)
        after.registry.load(before.registry.all_known())
        after.load(1, arrays, orjson.loads(orjson.dumps(rest)))
        outputs += [*run(after, [sent[cut:]], cut), tick(after, 30, len(sent))]
        assert everything(outputs) == everything(expected)


def test_a_correction_stands_in_place_of_what_it_corrects(tmp_path: Path) -> None:
    engine = new_engine(configured(tmp_path, PEERS), [])
    base = START // 1_000_000

    def at(seconds: float, said: float) -> Message:
        return message("site/a", seconds, ts=base + round(said * 1000), heat=1.0)

    outputs = run(engine, [[at(0.1, 0.1), at(1.1, 1.1), at(1.2, 0.5), at(2.1, 2.1), at(3.1, 3.1)]])
    # The late row is the second one of the first second: at the end of the second window it is not yet told of, and
    # from the third on it is.
    assert rows(outputs, "compared") == [
        (1, [("site/a", 1, 1, 1)]),
        (2, [("site/a", 1, 3, 1)]),
        (3, [("site/a", 1, 4, 1)]),
    ]


WRONG = """
[[streams]]
name = "history"
from = "readings"
window = { size = "1s" }
sql = "select avg(w.heat) from window as w join points using (device)"

[[streams]]
name = "one"
from = "points"
window = { size = "1s" }
sql = "select count(*) as n from window, two"

[[streams]]
name = "two"
from = "points"
window = { size = "1s" }
sql = "select n from window, one"

[[streams]]
name = "three"
from = "points"
window = { size = "1s" }
sql = "select hihg from window join limits using (device)"
tables = { limits = "limits.csv", devices = "limits.csv", gone = "gone.parquet" }

[[streams]]
name = "four"
from = "points"
window = { size = "1s" }
sql = "select high from window join limit_s using (device)"
"""


def test_what_cannot_be_joined_is_refused_with_its_place(tmp_path: Path) -> None:
    found = errors_of(tmp_path, WRONG, limits="device,high\noven,80\n")
    expected = [
        'streams[0].sql: "points" may not be joined: the database is written behind the engine, and its points are '
        "moved into the archive and removed by the clock, so that a replay would find other rows; expected one of "
        "window, devices, series, one, two, three, four, or a file of what is needed, such as `driftline query` "
        "writes, under tables",
        "streams[1].sql: a circle: one reads two reads one",
        "streams[2].sql: a circle: two reads one reads two",
        'streams[3].sql: unknown column "hihg"; did you mean "high"?',
        'streams[3].tables.devices: "devices" is a table already; choose another name',
        f"streams[3].tables.gone: {tmp_path}/gone.parquet: cannot be read: No such file or directory",
        'streams[4].sql: "limit_s" may not be read: expected one of window, devices, series',
    ]
    assert len(found) == len(expected), found
    for line, start in zip(sorted(found), expected, strict=True):
        assert line.removeprefix("driftline.toml: ").startswith(start), line


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "it is empty: expected a first line with the names of the columns"),
        ("device,high\noven\n", "line 2: 1 values, expected 2"),
        ("device,\noven,80\n", "column 2 has no name: expected a first line with all names"),
        ("device,Device\noven,80\n", 'two columns are called "device": expected names that differ'),
        ('device,high\n"oven,80\n', "line 2: unexpected end of data"),
        ("device\n" + "oven\n" * 10_001, "more than 10,000 rows: expected a small table"),
        (",".join(f"c{n}" for n in range(501)) + "\n", "501 columns, expected a small table: at most 500"),
    ],
)
def test_a_file_that_is_no_table_is_refused(tmp_path: Path, content: str, reason: str) -> None:
    path = tmp_path / "limits.csv"
    path.write_text(content)
    with pytest.raises(ReferenceTableError) as caught:
        read_reference_table(path)
    assert str(caught.value) == reason


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "limits.csv")
    for name, reason in (("limits.csv", "is no file"), ("li\0m.csv", "no name of a file: it has a character NUL")):
        with pytest.raises(ReferenceTableError, match=f"^{reason}$"):
            read_reference_table(tmp_path / name)


def test_columns_have_the_kind_of_all_their_values(tmp_path: Path) -> None:
    path = tmp_path / "plant.csv"
    path.write_text(
        "\ufefftag;count;factor;on;since;note\n007;3;1,5;true;2024-05-01;\n012;9007199254740993;2;FALSE;;hot, dry\n",
        encoding="utf-8",
    )
    table = read_reference_table(path)
    assert table.kinds == {
        "tag": "text", "count": "integer", "factor": "number", "on": "truth", "since": "time", "note": "text",
    }  # fmt: skip
    assert table.values == {
        "tag": ["007", "012"],
        "count": [3, 9007199254740993],
        "factor": [1.5, 2.0],
        "on": [True, False],
        "since": [1_714_521_600 * SECOND, None],
        "note": [None, "hot, dry"],
    }


def test_parquet_gives_the_same_rows_and_whole_numbers_stay_whole(tmp_path: Path) -> None:
    with duckdb.connect() as connection:
        connection.execute(
            "COPY (SELECT 'oven' AS device, 9007199254740993 AS serial, 80.5::FLOAT AS high, NULL::DATE AS since, "
            f"true AS used) TO '{tmp_path / 'limits.parquet'}' (FORMAT parquet)"
        )
    text = HOT.replace("limits.csv", "limits.parquet").replace("any_value(high) as high", "any_value(serial) as serial")
    engine = new_engine(configured(tmp_path, text), [])
    outputs = [*run(engine, [[message("oven", 0.1, heat=90)]]), tick(engine, 3, 1)]
    assert rows(outputs, "hot") == [(1, [("oven", 90.0, 9007199254740993)])]
    assert read_reference_table(tmp_path / "limits.parquet").values["since"] == [None]


def test_an_alarm_opens_by_a_limit_of_the_table(tmp_path: Path) -> None:
    alarm = 'to = ["alarm"]\nalarm = { when = "heat > high", sentence = "{heat} over {high}" }\n[streams.tables]'
    config = configured(tmp_path, HOT.replace("[streams.tables]", alarm), limits="device,high\noven,80\n")
    engine = new_engine(config.model_copy(update={"alarm": AlarmSettings()}), [])
    outputs = [*run(engine, [[message("oven", 0.1, heat=90)]]), tick(engine, 1.1, 1), tick(engine, 2.2, 1)]
    [opened] = [alarm for output in outputs for alarm in output.alarms if alarm.cleared is None]
    assert (opened.severity, opened.reason) == ("major", "90 over 80")


def test_a_table_lies_in_the_folder_of_the_configuration(tmp_path: Path) -> None:
    folder = tmp_path / "plant"
    (folder / "tables").mkdir(parents=True)
    (tmp_path / "limits.csv").write_text("device,high\noven,80\n")
    (folder / "link.csv").symlink_to(tmp_path / "limits.csv")
    (folder / "tables" / "own.csv").write_text("device,high\noven,90\n")
    (folder / "near.csv").symlink_to("tables/own.csv")
    for file in ("../limits.csv", str(tmp_path / "limits.csv"), "link.csv"):
        with pytest.raises(
            ReferenceTableError, match=f"^lies elsewhere: expected a file in the folder {folder}, or in"
        ):
            read_reference_table(folder / file, within=folder)
    for file in ("tables/own.csv", "near.csv"):
        assert read_reference_table(folder / file, within=folder).values["high"] == [90]
