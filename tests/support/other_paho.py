"""A session over a paho-mqtt whose internals differ: `python other_paho.py NAME PORT`.

NAME is the private name that the installed paho calls something else here. Prints "subscribed", then each of three
payloads as it comes, then the warnings.
"""

from __future__ import annotations

import importlib.util
import logging
import re
import sys
import types
from pathlib import Path


def install_paho_without(name: str) -> None:
    """Put a paho client in place in which `name` is called otherwise, before anyone imports it."""
    spec = importlib.util.find_spec("paho.mqtt.client")
    if spec is None or spec.origin is None:
        raise ImportError("paho.mqtt.client is not installed")
    source = Path(spec.origin).read_text(encoding="utf-8")
    renamed, count = re.subn(rf"\b{re.escape(name)}\b", f"{name}_of_another_version", source)
    if not count:
        raise ValueError(f"paho.mqtt.client has no {name}: what relies on it is to be looked at")
    module = types.ModuleType(spec.name)
    module.__spec__ = spec
    module.__package__ = "paho.mqtt"
    sys.modules[spec.name] = module
    exec(compile(renamed, spec.origin, "exec"), module.__dict__)


def main(name: str, port: str) -> None:
    """Receive three messages."""
    install_paho_without(name)
    warnings: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: warnings.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger().addHandler(handler)

    from ingest.broker_settings import BrokerSettings  # noqa: PLC0415
    from ingest.session import MqttSession  # noqa: PLC0415  after the other paho

    session = MqttSession(
        BrokerSettings(url=f"mqtt://127.0.0.1:{port}", client_id="driftline"),
        {"plant/#": 2},
        group_bytes=65_536,
        max_payload=100_000,
    )
    session.open()
    said, got = False, 0
    while got < 3:
        if session.wait(0.2, reading=True):
            session.read()
        if session.subscribed and not said:
            said = True
            print("subscribed", flush=True)
        if session.buffer.rows:
            session.buffer.stamp(0, 1)
            group = session.take()
            session.acknowledge(group)
            for i in range(len(group.chunk)):
                print(group.chunk.payload(i).decode(), flush=True)
                got += 1
    session.close()
    for word in warnings:
        print(word)


if __name__ == "__main__":
    main(*sys.argv[1:])
