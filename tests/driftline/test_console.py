"""What commands share: a JSON file of an option, and the words where arguments do not fit."""

from __future__ import annotations

from pathlib import Path

import pytest

from driftline.cli.command_line import main
from driftline.cli.console import CommandError, json_given

Captured = pytest.CaptureFixture[str]


def test_a_json_file_is_read_with_a_mark_of_byte_order(tmp_path: Path) -> None:
    file = tmp_path / "pump.json"
    file.write_text('\ufeff{"a": [1, null]}')
    assert json_given("--input", file) == {"a": [1, None]}
    assert json_given("--input", None) is None


@pytest.mark.parametrize("text", ["", '{"a": NaN}', '{"a": 1e999}', '"\\ud800"', "[" * 100_000, "\xff"])
def test_what_no_json_can_say_is_refused_with_the_option_and_the_file(tmp_path: Path, text: str) -> None:
    file = tmp_path / "pump.json"
    file.write_bytes(text.encode("latin-1"))
    with pytest.raises(CommandError) as refused:
        json_given("--input", file)
    assert refused.value.lines[0].startswith(f"--input: {file}: expected JSON")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["exclude", "p", "m", "--from", "2026-03-01T12:05Z", "--to", "2026-03-01T12:00Z"],
            "--to: 2026-03-01T12:00Z: expected a time after --from 2026-03-01T12:05Z",
        ),
        (["mcp", "--url", "ftp://127.0.0.1:1"], '--url: got "ftp://127.0.0.1:1", expected an address such as http://'),
        (["mcp", "--url", "127.0.0.1:8080"], '--url: got "127.0.0.1:8080", expected an address such as http://'),
        (["mcp", "--url", "http://127.0.0.1:1", "--token-file", "empty"], "--token-file: empty: expected one line"),
        (["mcp", "--url", "http://127.0.0.1:1", "--token-file", "two"], "--token-file: two: expected one line"),
    ],
)
def test_arguments_that_do_not_fit_are_named_as_they_were_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured, arguments: list[str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "two").write_text("a\nb\n")
    assert main(arguments) == 2
    assert said in " ".join(capsys.readouterr().err.split())
