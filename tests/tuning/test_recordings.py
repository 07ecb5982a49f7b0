from __future__ import annotations

import gzip
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tuning.recordings import Recording, RecordingChunk, RecordingError, open_recording

SECOND = 1_000_000_000
NOON = int(datetime(2024, 5, 1, 12, tzinfo=UTC).timestamp())


def csv_file(folder: Path, text: str, name: str = "oven.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def whole(recording: Recording) -> RecordingChunk:
    chunks = list(recording.chunks(rows=3))
    return RecordingChunk(
        chunks[0].line,
        np.concatenate([chunk.time for chunk in chunks]),
        [written for chunk in chunks for written in chunk.time_written],
        np.concatenate([chunk.values for chunk in chunks]),
    )


def test_a_csv_file_is_read_in_its_order_with_duplicates_and_rows_out_of_order(tmp_path: Path) -> None:
    rows = ["12:00:00,1.5", "12:05:00,2", "12:05:00,2", "12:04:00,-3e1", "12:10:00,4"]
    path = csv_file(tmp_path, "timestamp,value\n" + "".join(f"2024-05-01 {row}\n" for row in rows))
    recording = open_recording(path)
    assert (recording.time_column, recording.value_columns, recording.rows) == ("timestamp", ("value",), 5)
    assert recording.stem == "oven"
    read = whole(recording)
    assert ((read.time // SECOND - NOON) // 60).tolist() == [0, 5, 5, 4, 10]
    assert read.values.tolist() == [[1.5], [2.0], [2.0], [-30.0], [4.0]]
    assert read.time_written[0] == "2024-05-01 12:00:00"


@pytest.mark.parametrize(
    ("written", "scale"), [(str(NOON), 1), (f"{NOON}000", 1), (f"{NOON}000000", 1), (f"{NOON}000000000", 1)]
)
def test_epoch_times_are_read_in_any_unit(tmp_path: Path, written: str, scale: int) -> None:
    read = whole(open_recording(csv_file(tmp_path, f"time,value\n{written},1\n")))
    assert read.time.tolist() == [NOON * SECOND * scale]
    assert read.time_written == [written]


@pytest.mark.parametrize(
    ("header", "row", "expected"),
    [
        ("value,Time", "1,2024-05-01T12:00:00Z", "Time"),
        ("reading;wann", "1;2024-05-01 12:00", "wann"),
        ("date\ta\ttimestamp", "2024-05-01\t1\t2024-05-01T12:00:00+00:00", "timestamp"),
        ("t,timestamp,a", f"{NOON},none,1", "t"),
    ],
)
def test_the_time_column_is_found_by_name_or_by_what_it_holds(
    tmp_path: Path, header: str, row: str, expected: str
) -> None:
    assert open_recording(csv_file(tmp_path, f"{header}\n{row}\n")).time_column == expected


def test_value_columns_are_those_of_numbers_without_the_ignored(tmp_path: Path) -> None:
    path = csv_file(
        tmp_path,
        "datetime;Volume Flow;state;anomaly;empty;gappy\n"
        "2020-02-08 13:30:47;21,5;ok;0;;1\n"
        "2020-02-08 13:30:48;22,5;ok;1;;n/a\n",
    )
    recording = open_recording(path, ignore=["anomaly", "changepoint"])
    assert recording.value_columns == ("Volume Flow", "gappy")
    read = whole(recording)
    assert read.values[:, 0].tolist() == [21.5, 22.5]
    assert np.isnan(read.values[1, 1])
    assert open_recording(path, value_columns=["gappy"]).value_columns == ("gappy",)


def test_a_value_that_is_no_number_far_down_is_nan(tmp_path: Path) -> None:
    rows = [f"{NOON + i},{i}" for i in range(1500)]
    rows[1200] = f"{NOON + 1200},broken"
    recording = open_recording(csv_file(tmp_path, "ts,v\n" + "\n".join(rows)))
    values = np.concatenate([chunk.values[:, 0] for chunk in recording.chunks()])
    assert np.flatnonzero(np.isnan(values)).tolist() == [1200]
    assert recording.rows == 1500


def test_compressed_files_with_a_byte_order_mark_are_read(tmp_path: Path) -> None:
    path = tmp_path / "oven.csv.gz"
    path.write_bytes(gzip.compress(b"\xef\xbb\xbfts,v\n2024-05-01,1\n"))
    recording = open_recording(path)
    assert (recording.stem, recording.time_column) == ("oven", "ts")
    assert whole(recording).values.tolist() == [[1.0]]


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "UTC", "Europe/Berlin"])
def test_parquet_timestamps_of_every_unit_are_exact(tmp_path: Path, unit: str, zone: str | None) -> None:
    scale = {"s": 1, "ms": 1000, "us": 1_000_000, "ns": SECOND}[unit]
    stamps = pa.array([NOON * scale, (NOON + 1) * scale], pa.timestamp(unit, tz=zone))
    path = tmp_path / "oven.parquet"
    pq.write_table(pa.table({"when": stamps, "v": [1, None], "label": ["a", "b"]}), path)
    recording = open_recording(path)
    assert (recording.time_column, recording.value_columns, recording.rows) == ("when", ("v",), 2)
    read = whole(recording)
    assert read.time.tolist() == [NOON * SECOND, (NOON + 1) * SECOND]
    assert read.values[0, 0] == 1.0
    assert np.isnan(read.values[1, 0])


def test_parquet_epoch_numbers_stay_numbers(tmp_path: Path) -> None:
    path = tmp_path / "oven.parquet"
    pq.write_table(pa.table({"ts": [NOON * 1000], "v": [1.25]}), path)
    read = whole(open_recording(path))
    assert read.time.tolist() == [NOON * SECOND]
    assert read.time_written == [NOON * 1000]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("ts,v\n2024-05-01,1\n\n2024-13-01,2\n", "line 4: column 'ts': '2024-13-01'"),
        ("ts,v\n2024-05-01,1\n2024-05-02\n", "line 3: 1 cells; expected 2"),
        ("ts,v\n", "holds no rows"),
        ("", "line 1: empty"),
        ("ts,v,v\n", "column 'v' is there twice"),
        ("a,v\nx,1\n", "no column of times found"),
        ("ts,v\n2024-05-01,x\n", "no column of numbers"),
    ],
)
def test_what_cannot_be_read_is_named_with_its_place(tmp_path: Path, text: str, complaint: str) -> None:
    path = csv_file(tmp_path, text)
    with pytest.raises(RecordingError) as refused:
        list(open_recording(path).chunks())
    assert str(path) in str(refused.value)
    assert complaint in str(refused.value)


def test_a_wrong_column_name_is_answered_with_the_nearest(tmp_path: Path) -> None:
    path = csv_file(tmp_path, "timestamp,value\n2024-05-01,1\n")
    with pytest.raises(RecordingError, match='did you mean "timestamp"'):
        open_recording(path, time_column="timestmp")
    with pytest.raises(RecordingError, match='did you mean "value"'):
        open_recording(path, value_columns=["values"])


@pytest.mark.parametrize("name", ["oven.xlsx", "oven"])
def test_other_kinds_of_files_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(RecordingError, match="unknown kind of file"):
        open_recording(csv_file(tmp_path, "x", name))


def test_what_only_looks_like_parquet_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="not a Parquet file"):
        open_recording(csv_file(tmp_path, "ts,v\n" * 10, "oven.parquet"))


@given(
    st.lists(st.tuples(st.integers(0, 4_000_000_000), st.floats(allow_nan=False, allow_infinity=False)), min_size=1),
    st.integers(1, 7),
)
@settings(max_examples=50, deadline=None)
def test_numbers_and_times_come_back_exactly_in_chunks_of_any_size(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[int, float]], size: int
) -> None:
    folder = tmp_path_factory.mktemp("recording")
    recording = open_recording(csv_file(folder, "ts,v\n" + "".join(f"{time},{value!r}\n" for time, value in rows)))
    chunks = list(recording.chunks(rows=size))
    assert all(len(chunk) <= size for chunk in chunks)
    assert [int(time) for chunk in chunks for time in chunk.time] == [time * SECOND for time, _ in rows]
    assert [float(value) for chunk in chunks for value in chunk.values[:, 0]] == [value for _, value in rows]
