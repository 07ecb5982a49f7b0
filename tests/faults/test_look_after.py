"""What goes wrong while a running service looks after itself is said, and ends nothing."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest
from rich.console import Console

from driftline.config import Config
from driftline.runtime.service import Service


@pytest.fixture
def shown() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def service(tmp_path: Path, shown: io.StringIO) -> Service:
    """A service that is not started: it looks after its file all the same."""
    file = tmp_path / "driftline.toml"
    file.write_text("")
    return Service(Config(), var_dir=tmp_path / "var", config_file=file, console=Console(file=shown, width=200))


def test_markup_and_control_characters_in_a_faulty_configuration_are_shown_as_they_are(
    service: Service, shown: io.StringIO, tmp_path: Path
) -> None:
    file = tmp_path / "driftline.toml"
    file.write_text('[[routes]]\nfilter = "a"\ncodec = "[/x]\\u001b[2J"\n')
    os.utime(file, (1, 1))
    service._attempt(service.reload_if_changed)
    assert 'unknown "[/x]\\x1b[2J"' in shown.getvalue()
    assert "the configuration in force stays as it was" in shown.getvalue()
    assert service.config == Config()
    os.utime(file, (2, 2))
    service._attempt(service.reload_if_changed)
    assert shown.getvalue().count("the configuration in force stays as it was") == 1, "saved twice, refused once"
    file.write_text('[[routes]]\nfilter = "a/+b"\n')
    service._attempt(service.reload_if_changed)
    assert shown.getvalue().count("the configuration in force stays as it was") == 2, "another fault is told"


def test_a_full_disk_is_logged_once_and_tried_again(service: Service, caplog: pytest.LogCaptureFixture) -> None:
    tries = []

    def write() -> None:
        tries.append(1)
        raise OSError(28, "No space left on device")

    for _ in range(3):
        service._attempt(write)
    assert len(tries) == 3
    assert [record.getMessage() for record in caplog.records] == [
        "looking after the service: write failed; it is tried again"
    ]
