"""`driftline explain`: what becomes of one message."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from driftline.cli.console import CommandError, ConfigOption, Exit, read_config


def explain(
    topic: Annotated[str, typer.Argument(metavar="TOPIC", help="The message's topic.", show_default=False)],
    payload: Annotated[
        str, typer.Argument(metavar="PAYLOAD", help="Its payload; @FILE for a file's bytes.", show_default=False)
    ],
    retained: Annotated[bool, typer.Option("--retained", help="As a message that the broker had retained.")] = False,
    properties: Annotated[
        list[str] | None,
        typer.Option("--property", metavar="NAME=VALUE", help="A user property of MQTT 5; as often as needed."),
    ] = None,
    content_type: Annotated[str, typer.Option("--content-type", help="The content type of MQTT 5.")] = "",
    config: ConfigOption = None,
) -> None:
    """Show what each stage makes of one message: route, codec, readings, names, detectors, rejects and their reasons.

    Nothing is sent or stored, and no service need run. Exit code 1 where nothing of the message would be stored.

    Example: driftline explain plant/pump-01 '{"temperature": 21.5, "time": "2026-03-01T12:00:00Z"}'
    """
    import os
    import time

    from rich.console import Console

    from devices.message_properties import MessageProperties
    from driftline.runtime.explanation import explain as explain_message

    settings = read_config(config)
    given = MessageProperties(content_type, dict(_property(each) for each in properties or ()))
    console = Console(highlight=False, soft_wrap=True)
    stage, stored = "", False
    body = _payload(payload)
    lines = explain_message(
        settings, os.fsencode(topic), body, arrival=time.time_ns(), retained=retained, properties=given
    )
    for line in lines:
        console.print(f"[bold]{line.stage if line.stage != stage else '':<9}[/]", end="")
        console.print(line.text, markup=False, style="red" if line.lost else "")
        stage = line.stage
        if stage == "store":
            stored = not line.lost
    if not stored:
        raise typer.Exit(Exit.FAILED)


def _property(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise CommandError(f'--property: got "{text}", expected NAME=VALUE', code=Exit.USAGE)
    return name, value


def _payload(text: str) -> bytes:
    import os

    if not text.startswith("@"):
        return os.fsencode(text)
    try:
        return Path(text[1:]).read_bytes()
    except OSError as error:
        raise CommandError(f"{text[1:]}: cannot be read: {error.strerror}", code=Exit.USAGE) from None
