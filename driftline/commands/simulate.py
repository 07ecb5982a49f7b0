"""`driftline simulate`: a fleet of simulated devices."""

from __future__ import annotations

import typer

PASS_ON = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}
"""The simulator reads its own options, which are made from its settings."""


def simulate(context: typer.Context) -> None:
    """Run a fleet of simulated devices with labelled faults, publishing over MQTT.

    All options are the simulator's own: see `driftline simulate --help`.

    Example: driftline simulate --devices 200
    """
    from firmware_sim.cli import main

    raise typer.Exit(main(context.args, program="driftline simulate"))
