"""`driftline receive`: a receiver of its own, where one machine is not enough."""

from __future__ import annotations

import logging
import os
import signal
import sys
from threading import Event
from typing import Annotated, Literal

import typer

from driftline.cli.console import CommandError, ConfigOption, Exit, configuration_file, read_config

NameOption = Annotated[
    str,
    typer.Option(
        "--name",
        metavar="NAME",
        help="Tells receivers apart and stays the same over restarts; the machine's name where it is not given.",
        show_default=False,
    ),
]


def receive(
    to: Annotated[Literal["kafka"], typer.Option("--to", help="Where messages go: kafka.topic.")] = "kafka",
    name: NameOption = "",
    config: ConfigOption = None,
) -> None:
    """Take messages from the broker and write them to Kafka, beside any number of other receivers.

    The receivers share the topics of the routes ($share), so that each message goes to one of them. A message is
    acknowledged to the broker when Kafka has it in all its copies. Ctrl-C or SIGTERM ends it in order.

    Example: driftline receive --to kafka --name edge-1 --config plant.toml
    """
    from rich.console import Console

    from driftline.cli.commands.up import log_handler
    from driftline.cluster.receiving import KafkaReceiver
    from driftline.config_errors import ConfigError
    from driftline.config_files import check_files

    settings = read_config(config)
    console = Console(stderr=True, soft_wrap=not sys.stderr.isatty())
    logging.basicConfig(level=logging.WARNING, handlers=[log_handler(console)])
    stop = Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    try:
        check_files(settings)
        receiver = KafkaReceiver(settings, name, environment=os.environ, say=lambda line: typer.echo(line, err=True))
        counts = receiver.run(stop)
    except ConfigError as error:
        raise CommandError(*error.errors, code=Exit.USAGE) from None
    except ValueError as error:
        file = configuration_file(config)
        raise CommandError(f"{file}: {error}" if file else str(error), code=Exit.USAGE) from None
    except OSError as error:
        raise CommandError(str(error)) from None
    typer.echo(f"{to}: {counts}")
