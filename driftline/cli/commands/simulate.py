"""`driftline simulate`: a fleet of simulated devices."""

from __future__ import annotations

import typer

from driftline.cli.console import ConfigOption, DataOption, data_folder

PASS_ON = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}
"""The simulator reads its own options, which are made from its settings."""


def simulate(context: typer.Context, config: ConfigOption = None, data: DataOption = None) -> None:
    """Run a fleet of simulated devices with labelled faults, publishing over MQTT.

    They publish to the broker of the service that runs on the data folder, or to that of --url. `--world NAME`
    simulates a whole site in place of the mixed fleet, each device with a firmware and a connection of its own; with
    `--export DIR` it is written to a folder. `inject DEVICE FAULT` lets a fault begin on a device of a simulator that
    runs. All other options are the simulator's own: see `--help`, and with `--world NAME --help` a world's.

    Example: driftline simulate --devices 200 --interval 500ms
    """
    from firmware_sim.simulator_cli import main

    from driftline.cli.client import running_service

    arguments = list(context.args)
    if not any(argument.split("=")[0] in {"--url", "--help", "-h"} for argument in arguments):
        service = running_service(data_folder(config, data))
        if service is not None:
            arguments.append(f"--url={service.broker}")
    raise typer.Exit(main(arguments, program="driftline simulate"))
