"""Receive: the acknowledgements of a group of messages, by the QoS of each."""

from __future__ import annotations

from paho.mqtt.client import Client

from devices.messages import FLAG_QOS
from ingest.frames import PUBACK, PUBREC, Group, encode_acknowledgements
from ingest.paho_client import FrameClient


def send_acknowledgements(client: Client, group: Group) -> None:
    """Acknowledge the group's messages of QoS 1 (PUBACK) and QoS 2 (PUBREC) on the connection that brought them."""
    waiting = group.packet_ids > 0
    quality = group.chunk.flags & FLAG_QOS
    once = group.packet_ids[waiting & (quality == 1)]
    twice = group.packet_ids[waiting & (quality == 2)]
    if isinstance(client, FrameClient):
        client.send_frames(encode_acknowledgements(PUBACK, once) + encode_acknowledgements(PUBREC, twice))
        return
    for wanted, packet_ids in ((1, once), (2, twice)):
        for packet_id in packet_ids.tolist():
            client.ack(packet_id, wanted)
