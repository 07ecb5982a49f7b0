"""`driftline record`: real traffic of a broker to a file."""

from __future__ import annotations

import secrets
import signal
from pathlib import Path
from threading import Event
from typing import Annotated

import typer

from driftline.cli.console import CommandError, ConfigOption, DataOption, Exit, data_folder


def record(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A new file: NAME.jsonl or NAME.jsonl.gz.")],
    url: Annotated[
        str | None, typer.Option("--url", metavar="URL", help="Broker; else that of the running service.")
    ] = None,
    topics: Annotated[
        list[str] | None, typer.Option("--topic", "-t", metavar="FILTER", help="Only these topics; repeatable.")
    ] = None,
    duration: Annotated[
        str | None, typer.Option("--duration", metavar="TIME", help="For so long; else until Ctrl-C.")
    ] = None,
    messages: Annotated[
        int | None, typer.Option("--messages", min=1, metavar="N", help="So many messages at most.")
    ] = None,
    anonymise: Annotated[
        bool, typer.Option("--anonymise", help="Replace names in topics and texts, and leave positions out.")
    ] = False,
    config: ConfigOption = None,
    data: DataOption = None,
) -> None:
    """Record the messages that pass a broker, with the time at which each came; `driftline replay FILE` plays them.

    Example: driftline record monday.jsonl.gz --topic "zigbee2mqtt/#" --duration 1h --anonymise
    """
    from firmware_sim.publisher import BrokerAddress, BrokerUnreachableError

    from common.durations import parse_duration
    from driftline.cli.client import broker_url
    from driftline.traffic.anonymising import Anonymiser
    from driftline.traffic.traffic_file import ENDINGS, is_traffic
    from driftline.traffic.traffic_recording import record as keep

    if not is_traffic(file):
        raise CommandError(f"{file}: expected a name that ends in {' or '.join(ENDINGS)}", code=Exit.USAGE)
    stop = Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    try:
        counts = keep(
            file,
            BrokerAddress.parse(url or broker_url(data_folder(config, data))),
            topics or ["#"],
            seconds=None if duration is None else parse_duration(duration) / 1e9,
            most=messages,
            anonymiser=Anonymiser(secrets.token_bytes(32)) if anonymise else None,
            stop=stop,
            say=lambda line: typer.echo(line, err=True),
        )
    except BrokerUnreachableError as error:
        raise CommandError(str(error), code=Exit.UNREACHABLE) from None
    except FileExistsError:
        raise CommandError(f"{file}: there is such a file already: name a new one", code=Exit.USAGE) from None
    except (ValueError, OSError) as error:
        raise CommandError(str(error), code=Exit.USAGE) from None
    left_out = f"; {counts.left_out} left out, whose payload is no text" if counts.left_out else ""
    typer.echo(f"{file}: {counts.written:,} messages{left_out}")
