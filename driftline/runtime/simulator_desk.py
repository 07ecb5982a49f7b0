"""The simulated devices on the service's broker: which there are, what is wrong with them, and a fault asked for."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

from firmware_sim.fleet_description import FleetDescription, describe
from firmware_sim.injection import ANSWER_SECONDS, Injection, ask
from firmware_sim.publisher import BrokerAddress, BrokerUnreachableError

from devices.fault_labels import FaultLabel, read_labels
from ingest.broker_settings import BrokerSettings, split_url

KEPT_SECONDS = 5.0
"""An answer of the simulators is used for so long: a page asks again and again."""

_BUSY_SECONDS = 20.0
"""How long the simulator of a device that is known may take to answer."""


def simulator_desk(settings: BrokerSettings, password: str | None, folder: Path) -> SimulatorDesk:
    """The desk on the broker of the settings; `folder` is where the service's own fleet keeps its labels."""
    scheme, host, port = split_url(settings.url)
    address = BrokerAddress(host, port, scheme == "mqtts", settings.username or None, password)
    return SimulatorDesk(address, folder / "labels.csv")


class SimulatorDesk:
    """Asks the simulators over MQTT, on a connection that lasts as long as the question.

    `labels_file` holds the truth that the service's own simulated fleet has written, over its restarts too.
    """

    def __init__(
        self, address: BrokerAddress, labels_file: Path, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._address = address
        self._labels_file = labels_file
        self._clock = clock
        self._asking = threading.Lock()
        self._known: list[FleetDescription] = []
        self._known_until = float("-inf")

    def fleets(self) -> list[FleetDescription]:
        """The simulators that run, as they were some seconds ago at most. Raises BrokerUnreachableError."""
        with self._asking:
            if self._clock() >= self._known_until:
                self._known = describe(self._address)
                self._known_until = self._clock() + KEPT_SECONDS
            return self._known

    def inject(self, wanted: Injection) -> str | None:
        """Ask for a fault; what the simulator answers that has the device, None where none has it.

        Raises BrokerUnreachableError, also where the device's simulator is known and does not answer.
        """
        known = any(one.device == wanted.device for fleet in self.fleets() for one in fleet.devices)
        answer = ask(self._address, wanted, seconds=_BUSY_SECONDS if known else ANSWER_SECONDS)
        self._known_until = float("-inf")
        if answer is None and known:
            raise BrokerUnreachableError(
                f"the simulator of {wanted.device!r} did not answer within {_BUSY_SECONDS:g} s; "
                "the fault may still begin: look at the list of faults"
            )
        return answer

    def labels(self) -> list[FaultLabel]:
        """The truth about all faults that began, each once, in order of time.

        Raises BrokerUnreachableError; ValueError, OSError for a file of labels that cannot be read.
        """
        written = read_labels(self._labels_file) if self._labels_file.is_file() else []
        told = [label for fleet in self.fleets() for label in fleet.labels]
        found = {
            (label.device, label.metric, label.kind, label.start // 1_000_000): label for label in (*written, *told)
        }
        return sorted(found.values(), key=lambda label: label.start)
