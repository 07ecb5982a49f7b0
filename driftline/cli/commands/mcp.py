"""`driftline mcp`: the door for assistants, over the Model Context Protocol."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from common.addresses import is_web_address
from driftline.cli.console import CommandError, ConfigOption, DataOption, Exit, data_folder

if TYPE_CHECKING:
    from driftline.assistant import Service

TOKEN_VARIABLE = "DRIFTLINE_TOKEN"


def mcp(
    url: Annotated[
        str, typer.Option("--url", help="Address of the service's page; else the one that runs on the data folder.")
    ] = "",
    token_file: Annotated[
        Path | None,
        typer.Option("--token-file", metavar="FILE", help=f"File with the token, in place of {TOKEN_VARIABLE}."),
    ] = None,
    config: ConfigOption = None,
    data: DataOption = None,
) -> None:
    """Let an assistant ask a running service: serves the Model Context Protocol on standard input and output.

    An assistant's program starts this command itself. It has the rights of the token in DRIFTLINE_TOKEN or in a file:
    a viewer's reads, an operator's also acknowledges, shelves and labels. Without a token it only reads, where the
    service asks nobody to sign in. Needs the extra assistants.

    Example: driftline mcp --url http://127.0.0.1:8000 --token-file assistant.token
    """
    from common.extras import require
    from driftline.assistant import ServiceError, assistant_server

    require("mcp", extra="assistants", purpose="driftline mcp")
    service = _service(url, token_file, config, data)
    try:
        server = assistant_server(service)
    except ServiceError as error:
        raise CommandError(str(error), code=Exit.UNREACHABLE) from None
    server.run("stdio")


def _service(url: str, token_file: Path | None, config: Path | None, data: Path | None) -> Service:
    from driftline.assistant import Service
    from driftline.cli.client import needed_service

    token = os.environ.get(TOKEN_VARIABLE, "")
    if token_file is not None:
        try:
            token = token_file.read_text()
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "not UTF-8"
            raise CommandError(f"--token-file: {token_file} cannot be read: {reason}", code=Exit.USAGE) from None
    token = token.strip()
    source = TOKEN_VARIABLE if token_file is None else f"--token-file: {token_file}"
    if (token_file is not None and not token) or not (token.isascii() and token.isprintable() and " " not in token):
        raise CommandError(f"{source}: expected one line with a token", code=Exit.USAGE)
    if url and not is_web_address(url):
        raise CommandError(f'--url: got "{url}", expected an address such as http://127.0.0.1:8000', code=Exit.USAGE)
    if not url:
        running = needed_service(data_folder(config, data))
        url = running.url
        if not url:
            raise CommandError("the service serves no API: http.enabled = false in its configuration")
    return Service(url, token)
