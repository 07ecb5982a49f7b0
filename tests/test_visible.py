"""What others name cannot reach a terminal as control sequences, and secrets of addresses are not shown."""

from __future__ import annotations

import io
import logging

import pytest
from rich.console import Console

from common.visible import host_alone, visible, without_secrets
from driftline.cli.commands.up import log_handler
from driftline.runtime.visible_log import VisibleFormatter


def test_control_characters_are_spelled_out() -> None:
    assert visible("pump\x1b[31m\r\x07 ü°C\tok\nnext") == "pump\\x1b[31m\\r\\x07 ü°C\tok\nnext"
    assert visible("a\u202eb\x9bc") == "a\\u202eb\\x9bc"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://h:8086/?token=s3cret&db=a", "http://h:8086/?token=********&db=a"),
        ("http://user:s3cret@h/x?API_KEY=a", "http://user:********@h/x?API_KEY=********"),
        ("http://h/path?db=a", "http://h/path?db=a"),
        ("http://h/write?u=me&p=s3cret&db=a", "http://h/write?u=me&p=********&db=a"),
        ("https://s3cret@h/1", "https://********@h/1"),
        ("mqtt://device@h", "mqtt://device@h"),
    ],
)
def test_secrets_of_an_address_are_hidden(text: str, shown: str) -> None:
    assert without_secrets(text) == shown


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://hooks.example.com/services/T0/B0/s3cret", "https://hooks.example.com/********"),
        ("http://[::1]:8080/?s3cret", "http://[::1]:8080/********"),
        ("https://s3cret@h/", "https://h/********"),
        ("http://h:9/", "http://h:9/"),
        ("s3cret", "********"),
        ("http://[s3cret", "********"),
    ],
)
def test_of_an_address_that_is_a_secret_the_host_alone_is_shown(url: str, shown: str) -> None:
    assert host_alone(url) == shown


def test_a_log_line_shows_neither() -> None:
    record = logging.LogRecord("x", logging.INFO, "", 1, "topic %s at %s", ("a\x1b[2J", "mqtt://u:p@h"), None)
    assert VisibleFormatter("%(message)s").format(record) == "topic a\\x1b[2J at mqtt://u:********@h"


def test_a_message_in_a_log_file_is_one_line_however_long() -> None:
    file = io.StringIO()
    name = "/" + "a" * 300
    record = logging.LogRecord("x", logging.WARNING, "", 1, "%s has lost its newest 20 entries", (name,), None)
    record.created = 1_780_000_000.0
    log_handler(Console(file=file, width=80)).handle(record)
    assert file.getvalue() == f"2026-05-28 20:26:40 UTC WARNING  {name} has lost its newest 20 entries\n"
