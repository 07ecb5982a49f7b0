"""`driftline exclude`: what a person reads, and which points it takes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from demo_service import SECOND, DemoService, scored

from devices.records import SeriesRecord
from driftline.access.accounts import AccountBook
from driftline.access.gate import Gate
from driftline.cli.command_line import main
from driftline.http.app import create_app
from driftline.http.http_settings import HttpSettings
from driftline.http.server import HttpServer
from driftline.runtime.data_folder import DataFolder

NOON = 1_772_366_400 * SECOND
MOMENTS = [NOON + 250_000_000, NOON + 750_000_000, NOON + SECOND + 5, NOON + 2 * SECOND]
Captured = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def served(tmp_path: Path, accounts: AccountBook, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    folder = DataFolder(tmp_path / "var")
    folder.path.mkdir()
    service = DemoService(folder.database, clock=lambda: NOON)
    service.step(scored([0] * 4, MOMENTS, [1.0, 2.0, 3.0, 4.0]), series=[SeriesRecord(0, "pump", "heat")])
    settings = HttpSettings(port=0)
    server = HttpServer(create_app(service, settings, Gate(settings, accounts)), settings)
    server.start()
    folder.announce(url=server.url, broker="")
    yield
    server.stop()
    service.close()


def test_a_time_as_tables_show_it_takes_its_whole_second(capsys: Captured) -> None:
    said = []
    for times in (
        ["--from", "2026-03-01T12:00:00Z"],
        ["--from", "2026-03-01T12:00:00.2Z"],
        ["--from", "2026-03-01T12:00:01.000000005Z"],
        ["--from", "2026-03-01T12:00:00Z", "--to", "2026-03-01T12:00:01Z"],
        ["--from", "2026-03-01T12:00Z", "--to", "2026-03-01T12:00:02.000Z"],
    ):
        assert main(["exclude", "pump", "heat", *times]) == 0
        said.append(capsys.readouterr().out.split()[0])
        assert main(["exclude", "pump", "heat", *times, "--undo"]) == 0
        assert capsys.readouterr().out.startswith(f"{said[-1]} point")
    assert said == ["2", "1", "1", "3", "4"]


def test_what_was_done_is_told_each_time(capsys: Captured) -> None:
    first = ["exclude", "pump", "heat", "--from", "2026-03-01T12:00:00Z"]
    whole = [*first, "--to", "2026-03-01T12:00:02Z"]
    said = []
    for command in (first, first, whole, [*first, "--undo"], [*first, "--undo"]):
        assert main(command) == 0
        said.append(capsys.readouterr().out.strip())
    assert said == [
        "2 points excluded",
        "0 points excluded; 2 points excluded there in all",
        "2 points excluded; 4 points excluded there in all",
        "2 points put back",
        "no point is excluded there: nothing to put back",
    ]
    assert main(["exclude", "pump", "heat", "--from", "2027-01-01T00:00:00Z"]) == 0
    assert capsys.readouterr().out == "there is no point at that time; what comes for it later is excluded\n"


def test_an_error_names_no_place_in_a_request(capsys: Captured) -> None:
    assert main(["query", "select nothing from points"]) == 1
    assert capsys.readouterr().err.startswith('driftline: Binder Error: Referenced column "nothing" not found')
    assert main(["exclude", "", "heat", "--from", "2026-03-01T12:00Z"]) == 1
    assert capsys.readouterr().err.startswith("driftline: device: ")
