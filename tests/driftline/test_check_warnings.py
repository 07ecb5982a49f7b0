"""`driftline check`: what it warns of, and how it helps with the forms that people get wrong."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from driftline.cli.command_line import main
from driftline.config_warnings import no_longer_heard

pytestmark = pytest.mark.usefixtures("in_an_empty_folder")

Captured = pytest.CaptureFixture[str]

SAMPLE = Path(__file__).resolve().parents[2] / "driftline.sample.toml"
HINT = "write [[routes]], with two brackets, before each of them"
DOUBTFUL = """
[[routes]]
filter = "plant/#"
[[routes]]
filter = "plant/+/telemetry"
[[routes]]
filter = "tanks/+"
device = "{topic[5]}"
[detectors.overflow]
type = "threshold"
upper = 95.0
[alarm]
threshold = 6
budget = "1 per sensor per month"
[[functions]]
name = "told"
action = "http"
with = { url = "https://plant.example", secret = "NOT_THERE_SECRET" }
"""
WARNINGS = [
    'routes[1]: no message reaches it: routes[0] takes all of "plant/+/telemetry" with its filter "plant/#"; '
    "put the narrower route first",
    'detectors.overflow: no route uses it; name it in a route\'s detectors = ["overflow"]',
    'routes[2].device: "{topic[5]}" names a level that topics of "tanks/+" do not have: they have 2, counted from 0; '
    "every message of the route would be rejected",
    "alarm.budget: not used: alarm.threshold = 6 decides; take one of them out",
    "functions[0].with.secret: the environment has no NOT_THERE_SECRET: set it where the service runs",
]


TOLD = "what Driftline itself publishes is no reading: "
OWN = ["driftline/alarms/#", "driftline/notices/#", "driftline/simulator/#", "driftline/truth/#"]
TRUTH = '[[routes]]\nfilter = "driftline/truth/#"\n'
NOTICE = '[[notices]]\nname = "night"\nkind = "mqtt"\ntopic = "shift/told"\n'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", [TOLD + ", ".join(OWN)]),
        ('[[routes]]\nfilter = "plant/#"\n', []),
        (NOTICE, [TOLD + ", ".join([*OWN, "shift/told"])]),
        (
            TRUTH + '[[routes]]\nfilter = "#"\n',
            [
                "routes[0] reads driftline/truth/# as readings, which Driftline itself publishes",
                TOLD + ", ".join(OWN[:3]),
            ],
        ),
    ],
)
def test_check_says_what_of_our_own_topics_is_read(
    text: str, said: list[str], tmp_path: Path, capsys: Captured
) -> None:
    (tmp_path / "driftline.toml").write_text(text)
    assert main(["check"]) == 0
    assert [line for line in capsys.readouterr().out.splitlines() if "itself publishes" in line] == said


def test_what_is_valid_and_hardly_meant_is_warned_of(tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "driftline.toml").write_text(DOUBTFUL)
    assert main(["check"]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("warning")]
    assert lines == [f"warning {warning}" for warning in WARNINGS]


def test_nothing_is_warned_of_in_the_sample_nor_without_a_file(capsys: Captured) -> None:
    assert main(["check", str(SAMPLE)]) == 0
    assert main(["check"]) == 0
    assert "warning" not in capsys.readouterr().out


def test_a_backup_folder_where_none_can_be_made_is_an_error(tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "letter").write_text("dear")
    (tmp_path / "driftline.toml").write_text('data = "var"\n[backup]\nfolder = "./var/"\n')
    assert main(["check"]) == 2
    assert "backup.folder: var is the data folder: expected another folder, best on another disk" in (
        capsys.readouterr().err
    )
    (tmp_path / "driftline.toml").write_text('[backup]\nfolder = "letter/backups"\n')
    assert main(["check"]) == 2
    said = f"backup.folder: letter/backups cannot be made: {tmp_path / 'letter'} is no folder"
    assert capsys.readouterr().err == f"driftline: {said}\n"
    (tmp_path / "driftline.toml").write_text('[backup]\nfolder = "backups/of/plant"\n')
    assert main(["check"]) == 0
    assert not (tmp_path / "backups").exists()


def test_a_list_written_with_one_bracket_is_told_of_the_second(tmp_path: Path, capsys: Captured) -> None:
    file = tmp_path / "driftline.toml"
    file.write_text('[routes]\nfilter = "a"\n')
    assert main(["check"]) == 2
    assert f"routes: got one table, expected a list of tables: {HINT}" in capsys.readouterr().err
    file.write_text('[routes]\nfilter = "a"\n[routes]\nfilter = "b"\n')
    assert main(["check"]) == 2
    assert capsys.readouterr().err.rstrip().endswith(HINT)


def test_a_file_that_begins_with_a_byte_order_mark_is_read(tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "driftline.toml").write_bytes(b'\xef\xbb\xbf[[routes]]\r\nfilter = "plant/#"\r\n')
    assert main(["check"]) == 0
    assert capsys.readouterr().out.startswith("driftline.toml: ok: 1 route")


def test_a_missing_extra_is_an_error_at_its_place(
    tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("driftline.config_checks.is_installed", lambda module: module != "pyarrow")
    (tmp_path / "driftline.toml").write_text('[archive]\nfolder = "old"\nafter = "1d"\n')
    assert main(["check"]) == 2
    assert capsys.readouterr().err == (
        "driftline: driftline.toml: archive.folder: needs the library pyarrow, which is not installed: "
        "make setup EXTRAS=archive, or: pip install 'driftline[archive]'\n"
    )


def test_the_version_is_an_option_too(capsys: Captured) -> None:
    assert main(["--version"]) == 0
    as_option = capsys.readouterr().out
    assert main(["version"]) == 0
    assert capsys.readouterr().out == as_option
    assert re.match(r"driftline \d+\.\d+\.\d+ \(Python ", as_option)


def test_which_topics_are_listened_to_is_told_where_it_is_not_all(tmp_path: Path, capsys: Captured) -> None:
    file = tmp_path / "driftline.toml"
    file.write_text('[[routes]]\nfilter = "tanks/#"\n')
    assert main(["check", str(file)]) == 0
    told = 'only tanks/# is listened to: a last route takes all other topics: [[routes]] filter = "#"'
    assert told in " ".join(capsys.readouterr().out.split())
    file.write_text('[[routes]]\nfilter = "tanks/#"\n[[routes]]\nfilter = "#"\n')
    assert main(["check", str(file)]) == 0
    assert "listened to" not in capsys.readouterr().out


def test_a_reload_that_listens_to_less_says_what_is_heard_no_longer() -> None:
    rest = 'a last route takes all other topics: [[routes]] filter = "#"'
    assert no_longer_heard(["#"], ["tanks/#"]) == f"# is no longer listened to: {rest}"
    assert no_longer_heard(["a/#", "b/+"], ["b/#"]) == f"a/# is no longer listened to: {rest}"
    assert no_longer_heard(["a/#", "b/+"], ["#"]) == ""
