"""What a running simulator tells who asks over MQTT: its devices, the faults they can have, and the truth so far."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import orjson

from devices.fault_labels import FaultLabel, label_of
from firmware_sim.conversation import conversation
from firmware_sim.publisher import BrokerAddress

DESCRIBE, DESCRIBED = "driftline/simulator/describe", "driftline/simulator/described"
ANSWER_SECONDS = 0.7
"""Nobody knows how many simulators there are, so that answers are awaited for this long."""
MOST_DEVICES = 500
MOST_LABELS = 5_000


@dataclass(frozen=True, slots=True)
class DescribedDevice:
    """One device: its name, and the metrics that each kind of fault can begin on; "*" is the whole device.

    `plant` are the kinds of fault of the plant that reach it, and others with it.
    """

    device: str
    faults: Mapping[str, Sequence[str]]
    plant: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class FleetDescription:
    """One simulator: the world's name or "mixed fleet", its seed, how many devices it has and the first of them.

    `labels` are those of the newest faults that have begun.
    """

    world: str
    seed: int
    count: int
    devices: Sequence[DescribedDevice] = ()
    labels: Sequence[FaultLabel] = field(default=())

    def payload(self) -> bytes:
        """As it goes over MQTT."""
        return orjson.dumps(
            {
                "world": self.world,
                "seed": self.seed,
                "count": self.count,
                "devices": [
                    {
                        "device": one.device,
                        "faults": {kind: list(metrics) for kind, metrics in one.faults.items()},
                        "plant": list(one.plant),
                    }
                    for one in self.devices[:MOST_DEVICES]
                ],
                "labels": [label.fields() for label in self.labels[-MOST_LABELS:]],
            }
        )


def read_description(payload: bytes) -> FleetDescription:
    """The description in a payload. Raises ValueError naming what was expected."""
    try:
        fields = orjson.loads(payload)
        devices = [
            DescribedDevice(
                str(one["device"]),
                {str(kind): [*map(str, on)] for kind, on in one["faults"].items()},
                [*map(str, one.get("plant", ()))],
            )
            for one in fields["devices"]
        ]
        labels = [label_of(row, "label") for row in fields["labels"]]
        return FleetDescription(str(fields["world"]), int(fields["seed"]), int(fields["count"]), devices, labels)
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f'description: expected {{"world", "seed", "count", "devices", "labels"}}: {error}') from None


def describe(
    address: BrokerAddress, *, seconds: float = ANSWER_SECONDS, clock: Callable[[], float] = time.monotonic
) -> list[FleetDescription]:
    """The simulators that run on a broker, by their names; what is no description is left out.

    Raises BrokerUnreachableError.
    """
    found: list[FleetDescription] = []
    with conversation(address, DESCRIBE, b"", DESCRIBED, seconds=5.0) as answers:
        deadline = clock() + seconds
        while (left := deadline - clock()) > 0:
            try:
                found.append(read_description(answers.get(timeout=left)))
            except queue.Empty:
                break
            except ValueError:
                continue
    return sorted(found, key=lambda fleet: (fleet.world, fleet.seed))
