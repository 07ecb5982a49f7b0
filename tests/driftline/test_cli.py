import csv
import inspect
import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from serving import serving

from devices.batch import Batch, ScoredBatch
from devices.records import AlarmRecord, AlarmState, SeriesRecord
from driftline.cli.command_line import COMMANDS, main
from driftline.runtime.data_folder import DataFolder
from storage.embedded.database import EmbeddedStore
from storage.store import StepOutput

pytestmark = pytest.mark.usefixtures("in_an_empty_folder")

SECOND = 1_000_000_000
START = 1_772_366_400 * SECOND

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder as a service leaves it: two devices, six points, one alarm."""
    folder = DataFolder(tmp_path / "var")
    folder.path.mkdir()
    series = np.array([0, 0, 0, 1, 1, 1], np.int32)
    time = START + np.arange(6, dtype=np.int64) * SECOND
    with EmbeddedStore(folder.database) as store:
        store.commit(
            StepOutput(
                position=0,
                next_position=1,
                points=ScoredBatch.unscored(Batch(series, time, np.arange(6, dtype=np.float64) + 0.5), late=False),
                series=[SeriesRecord(0, "plant/pump-01", "temperature"), SeriesRecord(1, "o'brien", "level")],
                alarms=[
                    AlarmRecord(1, 0, AlarmState.OPEN, START, None, "minor", 6.3, 35.0, 21.5, "temperature is odd", {})
                ],
                counts={"received": 6},
            )
        )
    return folder.path


@pytest.mark.parametrize("name", [command.__name__ for _, command, _ in COMMANDS])
def test_every_command_has_help_with_an_example(name: str, capsys: Captured) -> None:
    assert main([name, "--help"]) == 0
    out = capsys.readouterr().out
    assert "Example: " in out or name == "simulate"


@pytest.mark.parametrize("command", [command for _, command, _ in COMMANDS], ids=lambda command: command.__name__)
def test_no_help_holds_what_a_terminal_takes_for_a_style(command: Callable[..., None]) -> None:
    parameters = inspect.signature(command, eval_str=True).parameters.values()
    helps = [getattr(each, "help", None) for one in parameters for each in getattr(one.annotation, "__metadata__", ())]
    for text in (inspect.getdoc(command), *helps):
        assert re.findall(r"\[[a-z#/@][^\[\]]*\]", text or "") == []


@pytest.mark.parametrize("what", [["--devices=3"], ["--world=cold-chain"], ["inject", "press-01", "stuck"], ["load"]])
def test_without_a_service_and_an_address_nothing_is_published(
    what: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["simulate", *what]) == 3
    assert capsys.readouterr().err == (
        'driftline: no service runs on "var": start `driftline up`, or name the broker with --url mqtt://HOST:PORT\n'
    )


def test_help_lists_every_command_and_imports_nothing_heavy() -> None:
    program = (
        "import sys; from driftline.cli.command_line import main; code = main(['--help']);"
        "heavy = {'numba', 'duckdb', 'numpy', 'fastapi', 'river', 'pyarrow', 'pydantic', 'httpx'} & set(sys.modules);"
        "print('HEAVY', sorted(heavy)); sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=240, check=True)
    assert "HEAVY []" in done.stdout
    for _, command, _ in COMMANDS:
        assert f" {command.__name__} " in done.stdout


def test_no_arguments_print_the_help(capsys: Captured) -> None:
    main([])
    assert "Usage: " in "".join(capsys.readouterr())


@pytest.mark.parametrize(
    "arguments", [["chek"], ["query"], ["query", "select 1", "--format", "xml"], ["up", "--port", "x"]]
)
def test_wrong_usage_exits_2(arguments: list[str], capsys: Captured) -> None:
    assert main(arguments) == 2
    assert capsys.readouterr().err


def test_check_accepts_the_defaults_and_a_file(tmp_path: Path, capsys: Captured) -> None:
    assert main(["check"]) == 0
    assert "ok" in capsys.readouterr().out
    (tmp_path / "driftline.toml").write_text('[[routes]]\nfilter = "a/#"\n')
    assert main(["check"]) == 0
    assert capsys.readouterr().out.splitlines()[0] == "driftline.toml: ok: 1 route, 2 detectors"


def test_check_plans_the_memory_of_each_detector(tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "driftline.toml").write_text('[detectors.slow]\ntype = "threshold"\nupper = 3\n')
    assert main(["check", "--series", "2000"]) == 0
    default, joint, slow = [line for line in capsys.readouterr().out.splitlines() if line.startswith("memory")]
    assert re.fullmatch(r"memory  default  ensemble: [\d,]+ bytes a series, [\d.]+ MiB for 2,000", default)
    devices = "1,000 devices, the most that so many series can be"
    assert re.fullmatch(rf"memory  joint    joint: [\d,]+ bytes a device, [\d.]+ MiB for {devices}", joint)
    assert slow == "memory  slow     threshold: 8 bytes a series, 15.6 KiB for 2,000"


def test_check_says_every_error_without_a_traceback(tmp_path: Path, capsys: Captured) -> None:
    wrong = tmp_path / "wrong.toml"
    wrong.write_text('data = 3\n[[routes]]\nfiltre = "a"\n')
    assert main(["check", str(wrong)]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    lines = said.err.splitlines()
    assert len(lines) == 2
    assert all(line.startswith(f"driftline: {wrong}: ") for line in lines)
    assert 'did you mean "filter"?' in said.err


def test_a_configuration_error_stops_up_before_anything_is_made(tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "driftline.toml").write_text("data = 3\n")
    assert main(["up"]) == 2
    assert "driftline.toml: data: got 3" in capsys.readouterr().err
    assert not (tmp_path / "var").exists()


def test_a_folder_in_use_is_one_line(data: Path, capsys: Captured) -> None:
    folder = DataFolder(data)
    folder.lock()
    try:
        assert main(["up", "--data", str(data)]) == 1
    finally:
        folder.release()
    assert f'data folder "{data}" is used by another driftline (process {os.getpid()})' in capsys.readouterr().err


def test_version_names_the_libraries(capsys: Captured) -> None:
    assert main(["version"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("driftline ")
    assert "numba" in out


def test_query_reads_the_database_while_no_service_runs(data: Path, capsys: Captured) -> None:
    sql = "select device, count(*) as n, max(value) as top from points group by device order by device"
    assert main(["query", sql]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["device", "n", "top"]
    assert lines[1].split() == ["o'brien", "3", "5.5"]
    assert main(["query", sql, "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == [
        {"device": "o'brien", "n": 3, "top": 5.5},
        {"device": "plant/pump-01", "n": 3, "top": 2.5},
    ]
    assert main(["query", sql, "--format", "csv", "--data", str(data)]) == 0
    rows = list(csv.reader(io.StringIO(capsys.readouterr().out)))
    assert rows == [["device", "n", "top"], ["o'brien", "3", "5.5"], ["plant/pump-01", "3", "2.5"]]


def test_a_query_that_is_cut_says_so(data: Path, capsys: Captured) -> None:
    assert main(["query", "select value from points", "--limit", "2", "--format", "csv"]) == 0
    said = capsys.readouterr()
    assert len(said.out.splitlines()) == 3
    assert "only the first 2 rows" in said.err


@pytest.mark.parametrize("sql", ["selec 1", "drop table points", "select 1; select 2", "select nothing from points"])
def test_a_query_that_fails_is_one_line(data: Path, sql: str, capsys: Captured) -> None:
    assert main(["query", sql]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("driftline: ")
    assert len(said.err.splitlines()) == 1


def test_without_data_a_query_is_unreachable(capsys: Captured) -> None:
    assert main(["query", "select 1"]) == 3
    assert 'no data in "var"' in capsys.readouterr().err


def test_devices_are_listed(data: Path, capsys: Captured) -> None:
    assert main(["devices", "--format", "json"]) == 0
    first, second = json.loads(capsys.readouterr().out)
    assert (first["device"], first["metrics"], first["points"], first["open_alarms"]) == ("o'brien", "level", 3, 0)
    assert (second["device"], second["state"], second["open_alarms"]) == ("plant/pump-01", "unknown", 1)


@pytest.mark.parametrize(
    ("options", "count"),
    [([], 1), (["--state", "open"], 1), (["--state", "cleared"], 0), (["--device", "o'brien"], 0)],
)
def test_alarms_are_listed(data: Path, options: list[str], count: int, capsys: Captured) -> None:
    assert main(["alarms", "--format", "json", *options]) == 0
    assert len(json.loads(capsys.readouterr().out)) == count


class _Api(BaseHTTPRequestHandler):
    """Answers every query with its own text, or with an error where it is "wrong"."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        wrong = asked["sql"] == "wrong"
        reply = (
            {"error": {"code": "query_failed", "message": "wrong is wrong"}}
            if wrong
            else {"columns": ["sql", "limit"], "rows": [[asked["sql"], asked["limit"]]], "truncated": False}
        )
        self.send_response(400 if wrong else 200)
        self.end_headers()
        self.wfile.write(json.dumps(reply).encode())

    def log_message(self, format: str, *args: object) -> None:
        """Keep the test's output clean."""


@pytest.fixture
def service(tmp_path: Path) -> Iterator[ThreadingHTTPServer]:
    """Something at the address that a running service would have announced."""
    with serving(ThreadingHTTPServer(("127.0.0.1", 0), _Api)) as server:
        (tmp_path / "var").mkdir()
        url = f"http://127.0.0.1:{server.server_port}"
        DataFolder(tmp_path / "var").announce(url=url, broker="mqtt://127.0.0.1:1")
        yield server


def test_a_query_goes_through_the_running_service(service: ThreadingHTTPServer, capsys: Captured) -> None:
    assert main(["query", "select 1", "--format", "json", "--limit", "7"]) == 0
    assert json.loads(capsys.readouterr().out) == [{"sql": "select 1", "limit": 7}]
    assert main(["query", "wrong"]) == 1
    assert capsys.readouterr().err == "driftline: wrong is wrong\n"


def test_a_service_that_does_not_answer_is_unreachable(tmp_path: Path, free_port: int, capsys: Captured) -> None:
    (tmp_path / "var").mkdir()
    DataFolder(tmp_path / "var").announce(url=f"http://127.0.0.1:{free_port}", broker="mqtt://127.0.0.1:1")
    assert main(["query", "select 1"]) == 3
    assert "does not answer" in capsys.readouterr().err


def test_what_a_dead_service_left_behind_is_not_believed(data: Path, capsys: Captured) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    (data / "service.json").write_text(json.dumps({"pid": ended.pid, "url": "http://127.0.0.1:1", "broker": ""}))
    assert main(["query", "select count(*) as n from points", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == [{"n": 6}]


def test_replay_needs_a_broker(tmp_path: Path, free_port: int, capsys: Captured) -> None:
    (tmp_path / "a.csv").write_text("timestamp,value\n2026-03-01T12:00:00Z,1\n")
    assert main(["replay", "a.csv"]) == 3
    assert "no service runs" in capsys.readouterr().err
    assert main(["replay", "a.csv", "--url", f"mqtt://127.0.0.1:{free_port}"]) == 3
    assert "no broker answers" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["a.csv", "--speed", "-1"], "--speed: got -1.0, expected greater than 0"),
        (["nowhere.csv", "--url", "mqtt://127.0.0.1:1"], "nowhere.csv"),
        (["a.csv", "--url", "http://127.0.0.1:1"], "mqtt://"),
    ],
)
def test_replay_names_what_is_wrong(tmp_path: Path, arguments: list[str], said: str, capsys: Captured) -> None:
    (tmp_path / "a.csv").write_text("timestamp,value\n2026-03-01T12:00:00Z,1\n")
    assert main(["replay", *arguments]) == 2
    assert said in capsys.readouterr().err


def test_doctor_finds_nothing_wrong_with_a_fresh_folder(data: Path, capsys: Captured) -> None:
    assert main(["doctor"]) == 0
    out = capsys.readouterr().out
    assert "fail" not in out
    for check in ("versions", "data folder", "disk", "clock", "broker", "database", "page"):
        assert f" {check} " in out
    assert re.search(r"^ok +clock +it is 2\d{3}-.* by this machine's clock$", out, re.MULTILINE)
    assert re.search(r" opens, [1-9][\d.,]* [KM]iB, at journal position 1$", out, re.MULTILINE)


def test_doctor_names_what_fails(tmp_path: Path, free_port: int, capsys: Captured) -> None:
    (tmp_path / "driftline.toml").write_text(f'[broker]\nurl = "mqtt://127.0.0.1:{free_port}"\n')
    (tmp_path / "var").mkdir()
    DataFolder(tmp_path / "var").database.write_bytes(b"not a database" * 1000)
    assert main(["doctor"]) == 1
    out = capsys.readouterr().out
    assert f"fail broker      mqtt://127.0.0.1:{free_port}: 127.0.0.1 refuses connections at port {free_port}" in out
    assert "fail database" in out


@pytest.mark.service("mosquitto")
def test_doctor_connects_to_the_broker(tmp_path: Path, mosquitto: object, capsys: Captured) -> None:
    url = mosquitto.url  # type: ignore[attr-defined]
    (tmp_path / "driftline.toml").write_text(f'[broker]\nurl = "{url}"\n')
    assert main(["doctor"]) == 0
    assert f"{url}: accepts the connection" in capsys.readouterr().out
