"""Commands that need no running service: what they make in a data folder, and what they leave alone."""

import stat
from pathlib import Path

import pytest

from driftline.cli.command_line import main

pytestmark = pytest.mark.usefixtures("in_an_empty_folder")

Captured = pytest.CaptureFixture[str]


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("users", "No users, so nobody has to sign in: `driftline users add NAME --role admin` makes the first, "),
        ("tokens", "No tokens: make one with `driftline tokens add NAME`, "),
    ],
)
def test_listing_accounts_makes_nothing(command: str, said: str, tmp_path: Path, capsys: Captured) -> None:
    assert main([command, "list"]) == 0
    assert capsys.readouterr().out == f"{said}see docs/sign-in.md\n"
    assert not (tmp_path / "var").exists()


def test_the_first_user_makes_a_data_folder_that_is_its_owner_s_alone(tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "password").write_text("correct horse battery\n")
    assert main(["users", "add", "maria", "--role", "admin", "--password-file", "password"]) == 0
    assert capsys.readouterr().out == "user added: maria as admin\n"
    assert stat.S_IMODE((tmp_path / "var").stat().st_mode) == 0o700


def test_nothing_is_confirmed_where_there_is_no_data(tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "var").mkdir()
    assert main(["confirm", "clock"]) != 0
    assert 'no data in "var"' in capsys.readouterr().err
    assert list((tmp_path / "var").iterdir()) == []
