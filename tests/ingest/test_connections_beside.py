"""Connections beside the receiving one: what a broker confirms or refuses of what is published, and waits that end."""

from __future__ import annotations

import socket
from typing import Any

import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.reasoncodes import ReasonCode

from ingest.broker_settings import BrokerSettings
from ingest.confirmed_publishing import ConfirmedPublisher, Message, _refusal
from ingest.socket_wait import SocketWait
from ingest.subscriptions import check_filters

REFUSED = "Not authorized (MQTT reason code 135)"


@pytest.mark.service("mosquitto")
def test_the_broker_s_word_on_each_message_is_told_in_order(mosquitto: Any) -> None:
    (mosquitto.folder / "acl").write_text("topic readwrite open/#\n")
    mosquitto.stop()
    mosquitto.extra = f"acl_file {mosquitto.folder}/acl\n"
    mosquitto.start()
    publisher = ConfirmedPublisher(BrokerSettings(url=mosquitto.url), None)
    messages = [Message("open/a", b"1"), Message("secret", b"2"), Message("open/b", b"3", retain=True)]
    assert publisher.publish(messages) == ["", REFUSED, ""]
    assert publisher.publish(messages[:1]) == [""], "what was refused before is not told again"
    assert publisher.publish([]) == []
    publisher.close()
    publisher.close()
    assert publisher.publish(messages[1:2]) == [REFUSED], "it connects again"
    publisher.close()


def test_a_broker_that_is_not_there_is_an_error(free_port: int) -> None:
    publisher = ConfirmedPublisher(BrokerSettings(url=f"mqtt://127.0.0.1:{free_port}"), None)
    with pytest.raises(ConnectionRefusedError):
        publisher.publish([Message("a", b"1")])
    publisher.close()


@pytest.mark.parametrize(("code", "passes"), [(0x80, True), (0x83, True), (0x97, True), (0x87, False), (0x90, False)])
def test_what_may_be_taken_later_is_an_error_and_what_never_will_is_told(code: int, passes: bool) -> None:
    reason = ReasonCode(PacketTypes.PUBACK, identifier=code)
    if passes:
        with pytest.raises(OSError, match=rf"the broker cannot take it now: .* \(MQTT reason code {code}\)"):
            _refusal(reason)
    else:
        assert _refusal(reason).endswith(f"(MQTT reason code {code})")


def test_a_wait_ends_where_the_socket_can_be_read_or_written_or_somebody_wakes_it() -> None:
    wait = SocketWait()
    wait.wake()  # nobody waits yet
    wait.open()
    here, there = socket.socketpair()
    with here, there:
        assert wait.wait(0.0) == (False, False)
        wait.watch(here.fileno(), reading=True, writing=False)
        assert wait.wait(0.0) == (False, False)
        there.send(b"x")
        assert wait.wait(60.0) == (True, False)
        wait.watch(here.fileno(), reading=False, writing=True)
        assert wait.wait(60.0) == (False, True)
        wait.watch(here.fileno(), reading=True, writing=True)
        assert wait.wait(60.0) == (True, True)
        here.recv(9)
        wait.watch(here.fileno(), reading=True, writing=False)
        wait.wake()
        wait.wake()
        assert wait.wait(60.0) == (False, False), "it was woken, and forgets that"
        assert wait.wait(0.0) == (False, False)
        wait.wake()
        wait.drain()
        assert wait.wait(0.0) == (False, False)
        there.close()
        assert wait.wait(60.0) == (True, False), "its end can be read"
        wait.watch(here.fileno(), reading=False, writing=False)
        assert wait.wait(0.0) == (False, False)
    wait.forget()
    wait.close()
    wait.wake()
    wait.open()
    assert wait.wait(0.0) == (False, False)
    wait.close()


@pytest.mark.parametrize(
    ("filters", "clean", "said"),
    [
        ({"a/#": 2, "b": 0, "c": 1}, False, None),
        ({"a": 0}, True, None),
        ({"a": 3}, False, 'topic filter "a": QoS 3: expected 0, 1 or 2'),
        ({"a": -1}, False, 'topic filter "a": QoS -1: expected 0, 1 or 2'),
        ({"a": 0, "b": 1}, True, 'topic filter "b": QoS 1 with clean_session: the broker would drop'),
        ({"a+": 0}, False, "level 0"),
    ],
)
def test_filters_are_checked_with_their_quality_of_service(
    filters: dict[str, int], clean: bool, said: str | None
) -> None:
    if said is None:
        check_filters(filters, clean_session=clean)
        return
    with pytest.raises(ValueError, match=said):
        check_filters(filters, clean_session=clean)
