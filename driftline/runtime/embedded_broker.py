"""The broker for a machine that has none, amqtt in a process of its own.

MQTT 3.1.1 alone, about 1,000 messages a second, nothing kept over a restart: enough to try things out, no more.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
from collections.abc import Sequence

from amqtt.broker import Broker

from driftline.runtime.broker import READY


async def serve(port: int) -> None:
    """Serve MQTT on this port of the loopback interface until SIGTERM or SIGINT. Raises BrokerError if it is taken."""
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    broker = Broker(
        {
            "listeners": {"default": {"type": "tcp", "bind": f"127.0.0.1:{port}"}},
            "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
        }
    )
    await broker.start()
    print(READY, flush=True)
    await ended.wait()
    await broker.shutdown()


def main(arguments: Sequence[str] | None = None) -> None:
    """Run as `python -m driftline.runtime.embedded_broker --port N`."""
    parser = argparse.ArgumentParser(description="MQTT 3.1.1 broker on loopback.")
    parser.add_argument("--port", type=int, required=True, help="TCP port to listen on")
    port = parser.parse_args(arguments).port
    logging.basicConfig(level=logging.ERROR, format="%(asctime)s %(name)s %(message)s")
    asyncio.run(serve(port))


if __name__ == "__main__":
    main()
