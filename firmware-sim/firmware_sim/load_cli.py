"""The command line of a load on a broker."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from common.durations import parse_duration
from firmware_sim.load import LoadPattern, LoadRun
from firmware_sim.publisher import BrokerAddress
from firmware_sim.stopping import stopped_by_signals


def load_main(argv: Sequence[str], *, program: str) -> int:
    """Put load on a broker; 0 where all was acknowledged, 1 where not, 2 for unusable settings."""
    options = argparse.ArgumentParser(prog=f"{program} load", description="Put load on a broker, and measure it.")
    options.add_argument("--url", default="mqtt://127.0.0.1:1883", help="Broker: mqtt://[user:password@]host:port")
    options.add_argument("--devices", type=int, default=100, help="Sessions, one for each device (default: 100)")
    options.add_argument("--rate", type=float, default=1000, help="Messages a second of all together (default: 1000)")
    options.add_argument("--duration", default="30s", help="For so long (default: 30s)")
    options.add_argument(
        "--pattern",
        type=LoadPattern,
        choices=list(LoadPattern),
        default=LoadPattern.SOAK,
        help="ramp: from nothing to the rate; burst: ten times the rate for a second in ten; soak (default)",
    )
    options.add_argument("--qos", type=int, choices=(0, 1), default=1, help="MQTT quality of service (default: 1)")
    options.add_argument("--prefix", default="load", help="First level of every topic (default: load)")
    given = options.parse_args(argv)
    try:
        run = LoadRun(
            BrokerAddress.parse(given.url),
            devices=given.devices,
            rate=given.rate,
            duration=parse_duration(given.duration) / 1e9,
            pattern=given.pattern,
            qos=given.qos,
            prefix=given.prefix,
            say=_say,
        )
        with stopped_by_signals(run.request_stop, None):
            report = run.run()
    except (ValueError, OSError) as error:
        _say(str(error))
        return 2
    _say(f"done: {report.sentence()}")
    return 0 if report.acknowledged == report.sent else 1


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
