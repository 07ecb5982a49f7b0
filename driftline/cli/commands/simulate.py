"""`driftline simulate`: a fleet of simulated devices."""

from __future__ import annotations

import typer

from driftline.cli.console import ConfigOption, DataOption, data_folder

PASS_ON = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}
"""The simulator reads its own options, which are made from its settings."""

_NO_BROKER_WANTED = {"--url", "--export", "--help", "-h"}
"""Options that name a broker, or publish nothing."""


def simulate(context: typer.Context, config: ConfigOption = None, data: DataOption = None) -> None:
    """Run a fleet of simulated devices with labelled faults, publishing over MQTT.

    They publish to the broker of the service that runs on the data folder, or to that of --url; without either nothing
    is published. `--world NAME`
    simulates a whole site in place of the mixed fleet, each device with a firmware and a connection of its own; with
    `--export DIR` it is written to a folder. `inject DEVICE FAULT` lets a fault begin on a device of a simulator that
    runs. All other options are the simulator's own: see `--help`, and with `--world NAME --help` a world's.

    Example: driftline simulate --devices 200 --interval 500ms
    """
    from firmware_sim.simulator_cli import main

    from driftline.cli.client import broker_url

    arguments = list(context.args)
    if not any(argument.split("=")[0] in _NO_BROKER_WANTED for argument in arguments):
        arguments.append(f"--url={broker_url(data_folder(config, data))}")
    raise typer.Exit(main(arguments, program="driftline simulate"))
