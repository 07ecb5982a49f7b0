"""The simulator's command line, made from its settings."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from pydantic import ValidationError

from firmware_sim.load_cli import load_main
from firmware_sim.publisher import UNREACHABLE, BrokerUnreachableError
from firmware_sim.simulation_settings import SimulatorSettings
from firmware_sim.simulator import Simulator
from firmware_sim.stopping import stopped_by_signals


def parser(program: str = "firmware_sim") -> argparse.ArgumentParser:
    """The options: one for each field of SimulatorSettings, and `--parent-pid`."""
    options = argparse.ArgumentParser(
        prog=program,
        description="A fleet of simulated devices with labelled faults, publishing over MQTT.",
        epilog=f"{program} --world NAME simulates a whole site (see --world NAME --help). {program} inject DEVICE "
        f"FAULT lets a fault begin on a simulator that runs. {program} load puts load on a broker, and measures it.",
    )
    for name, field in SimulatorSettings.model_fields.items():
        default = "" if field.default is None else f" (default: {field.default})"
        options.add_argument(
            f"--{name.replace('_', '-')}",
            default=argparse.SUPPRESS,
            metavar=name.upper(),
            help=f"{field.description}{default}".replace("%", "%%"),
        )
    options.add_argument("--parent-pid", type=int, metavar="PID", help="End when this process has ended")
    return options


def main(argv: Sequence[str] | None = None, *, program: str = "firmware_sim") -> int:
    """Run the simulator until SIGINT, SIGTERM or its duration; 0 then, 2 for unusable settings, 3 where the broker is
    away until the duration is over.

    With `--world` a whole world is simulated in place of the mixed fleet; `inject` asks a running one for a fault;
    `load` puts load on a broker.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments[:1] == ["load"]:
        return load_main(arguments[1:], program=program)
    is_world = any(argument.split("=")[0] == "--world" for argument in arguments)
    if is_world or arguments[:1] == ["inject"]:
        # Worlds bring the compiler, which a mixed fleet need not wait for.
        from firmware_sim.world_cli import inject_main, world_main  # noqa: PLC0415

        if is_world:
            return world_main(arguments, program=program)
        return inject_main(arguments[1:], program=program)
    given = vars(parser(program).parse_args(arguments))
    parent = given.pop("parent_pid")
    try:
        simulator = Simulator(SimulatorSettings(**given), say=_say, show_progress=sys.stderr.isatty())
    except ValidationError as error:
        for problem in error.errors():
            option = "--" + str(problem["loc"][0]).replace("_", "-") + ": " if problem["loc"] else ""
            _say(f"{option}{problem['msg'].removeprefix('Value error, ')}")
        return 2
    code = 0
    try:
        with stopped_by_signals(simulator.request_stop, parent):
            simulator.run()
    except BrokerUnreachableError as error:
        _say(str(error))
        code = UNREACHABLE
    except (ValueError, OSError) as error:
        _say(str(error))
        return 2
    counts = simulator.counts
    lost = f", {counts.unacknowledged} not acknowledged by the broker" if counts.unacknowledged else ""
    _say(
        f"simulator stopped: {counts.readings} readings in {counts.messages} messages, "
        f"{counts.faults} faults, {counts.malformed} messages malformed{lost}"
    )
    return code


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
