from __future__ import annotations

import logging
import shutil
import signal
import subprocess
import time
from random import Random
from typing import Any

import numpy as np
import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from session_drive import ALL, make

from driftline.runtime.broker_diagnosis import broker_problem
from ingest.broker_settings import BrokerSettings
from ingest.session import MqttSession, SessionState

pytestmark = pytest.mark.timeout(600)

PROTOCOLS = ["5", "3.1.1"]


def publish(port: int, *messages: tuple[str, bytes], quality: int = 1, retain: bool = False) -> None:
    client = paho.Client(CallbackAPIVersion.VERSION2)
    client.connect("127.0.0.1", port)
    client.loop_start()
    for info in [client.publish(topic, payload, quality, retain) for topic, payload in messages]:
        info.wait_for_publish(60)
    client.disconnect()
    client.loop_stop()


# Settings.


@pytest.mark.parametrize("name", ["", "a/#/b", "a#", "a/b+", "a\0", "x" * 70_000])
def test_a_filter_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="topic filter"):
        make("mqtt://127.0.0.1:1", {name: 0})


@pytest.mark.parametrize("name", ["#", "+", "a/+/c", "/", "a/#", "$share/group/a/+"])
def test_a_filter_is_accepted(name: str) -> None:
    assert make("mqtt://127.0.0.1:1", {name: 0}).filters == {name: 0}


def test_what_contradicts_a_persistent_session_is_refused() -> None:
    with pytest.raises(ValueError, match='"plant/#": QoS 1 with clean_session'):
        make("mqtt://127.0.0.1:1", clean_session=True)
    with pytest.raises(ValueError, match="QoS 3: expected 0, 1 or 2"):
        make("mqtt://127.0.0.1:1", {"a": 3})
    with pytest.raises(ValueError, match='"auto" is for whoever starts the broker'):
        make("auto")


# What is relied on in paho.


@pytest.mark.service("mosquitto")
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_paho_that_differs_is_used_through_its_callbacks(
    mosquitto: Any,
    drive: Any,
    wait_until: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    protocol: str,
) -> None:
    queue = paho.Client._packet_queue

    def other_queue(self: paho.Client, *arguments: Any, **named: Any) -> Any:
        return queue(self, *arguments, **named)

    monkeypatch.setattr(paho.Client, "_packet_queue", other_queue)
    session = make(mosquitto.url, {"plant/#": 2}, protocol=protocol)
    driven = drive(session)
    wait_until(lambda: session.subscribed)
    for quality in (0, 1, 2):
        publish(mosquitto.port, ("plant/a", b"%d" % quality), quality=quality)
    publish(mosquitto.port, ("plant/b", bytes(200_000)))
    wait_until(lambda: len(driven.got) == 4)
    assert driven.got[:3] == [b"0", b"1", b"2"]
    assert len(driven.got[3]) == 100_001
    driven.end()
    assert [r.levelname for r in caplog.records if "paho" in r.getMessage()] == ["WARNING"]

    # All of it was acknowledged: nothing is delivered a second time.
    monkeypatch.undo()
    again = make(mosquitto.url, {"plant/#": 2}, protocol=protocol)
    heir = drive(again)
    wait_until(lambda: again.subscribed)
    publish(mosquitto.port, ("plant/a", b"marker"))
    wait_until(lambda: heir.got)
    assert heir.got == [b"marker"]


@pytest.mark.service("mosquitto")
def test_the_same_messages_come_over_websocket(mosquitto: Any, drive: Any, wait_until: Any, free_port: int) -> None:
    mosquitto.stop()
    mosquitto.extra = f"listener {free_port} 127.0.0.1\nprotocol websockets\n"
    mosquitto.start()
    session = make(f"ws://127.0.0.1:{free_port}", {"plant/#": 2})
    driven = drive(session)
    wait_until(lambda: session.subscribed)
    sent = [b"%d" % number * (1 + number * 400 % 20_000) for number in range(30)]
    for quality in (0, 1, 2):
        publish(mosquitto.port, *(("plant/a", each) for each in sent[quality::3]), quality=quality)
    publish(mosquitto.port, ("plant/b", bytes(200_000)))
    wait_until(lambda: len(driven.got) == 31, within=300)
    assert driven.got == [*sent[0::3], *sent[1::3], *sent[2::3], bytes(100_001)]
    assert broker_problem(session.settings, None, ["plant/#"]) == ""
    said = broker_problem(BrokerSettings(url=f"ws://127.0.0.1:{mosquitto.port}/mqtt"), None)
    assert "not as a broker over WebSocket at /mqtt" in said


# Connections.


@pytest.mark.service("mosquitto")
def test_a_broker_that_is_away_is_waited_for_and_said_once(
    mosquitto: Any, drive: Any, wait_until: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "ingest.session")
    mosquitto.stop()
    session = make(mosquitto.url)
    drive(session)
    wait_until(lambda: session.state == SessionState.AWAY)
    assert session.reason.startswith(f"127.0.0.1 refuses connections at port {mosquitto.port}: nothing listens there")
    for _ in range(2):
        mosquitto.start()
        wait_until(lambda: session.subscribed)
        mosquitto.stop()
        wait_until(lambda: session.state == SessionState.AWAY)
    said = [record.getMessage() for record in caplog.records]
    assert sum("broker away: " in line for line in said) == 3
    assert sum("broker back after " in line for line in said) == 2
    assert all(record.exc_info is None for record in caplog.records)


def test_pauses_between_attempts_grow_and_differ_from_client_to_client(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a thousand clients of a broker that comes back do not all come at the same moment."""

    def attempts(seed: int) -> list[float]:
        now = 0.0
        at: list[float] = []

        def refuse(*_: object, **__: object) -> None:
            at.append(now)
            raise ConnectionRefusedError

        monkeypatch.setattr(paho.Client, "connect", refuse)
        session = MqttSession(
            BrokerSettings(url="mqtt://127.0.0.1:1", client_id="driftline"),
            ALL,
            group_bytes=65_536,
            max_payload=1_000,
            random=Random(seed),
            monotonic=lambda: now,
        )
        session.open()
        while len(at) < 12:
            session.wait(0.0, reading=True)
            now += 0.001
        session.close()
        return at

    first, second = (np.diff(attempts(seed)) for seed in (1, 2))
    longest = np.minimum(10.0, 0.1 * 2.0 ** np.arange(11))
    for pauses in (first, second):
        assert (pauses >= longest / 2).all()
        assert (pauses <= longest + 0.01).all()
    assert (np.abs(first - second) > 0.002).any()


@pytest.mark.service("mosquitto")
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_two_clients_of_one_name_do_not_fight_for_ever(
    mosquitto: Any, drive: Any, wait_until: Any, protocol: str
) -> None:
    sessions = [make(mosquitto.url, protocol=protocol) for _ in range(2)]
    for session in sessions:
        drive(session)
    wait_until(lambda: any(s.state == SessionState.TAKEN_OVER for s in sessions), within=240)
    wait_until(lambda: any(s.subscribed for s in sessions) or all(s.state == SessionState.TAKEN_OVER for s in sessions))
    told = [s.reason for s in sessions if s.state == SessionState.TAKEN_OVER]
    assert f'another client connects to {mosquitto.url} as "driftline"' in told[0]


@pytest.mark.service("mosquitto")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_broker_restarted_in_haste_is_not_taken_for_another_client(
    mosquitto: Any, drive: Any, wait_until: Any, number: int
) -> None:
    session = make(mosquitto.url, protocol="3.1.1")
    drive(session)
    for _ in range(6):
        wait_until(lambda: session.subscribed)
        connections = session.connections
        mosquitto.stop(number)
        mosquitto.start()
        wait_until(lambda n=connections: session.connections > n)
    assert session.state == SessionState.CONNECTED


@pytest.mark.service("mosquitto")
def test_the_newcomer_yields_to_the_older_client_of_its_name(mosquitto: Any, drive: Any, wait_until: Any) -> None:
    """Neither gives up for good: who has held the session for long comes back soon, the other one waits and waits."""
    now = [time.monotonic()]
    older = make(mosquitto.url, monotonic=lambda: now[0] + time.monotonic())
    drive(older)
    wait_until(lambda: older.subscribed)
    now[0] += 3_600.0
    newcomer = make(mosquitto.url)
    drive(newcomer)
    wait_until(lambda: newcomer.connections > 0, within=240)
    wait_until(lambda: newcomer.state == SessionState.TAKEN_OVER and older.subscribed, within=240)
    assert "another client connects to mqtt://127.0.0.1:" in newcomer.reason
    assert newcomer._retry_at - newcomer._monotonic() > older._retry_at - older._monotonic()
    assert older.reason == ""


def test_a_session_that_was_cut_off_again_and_again_goes_on_trying(mosquitto: Any) -> None:
    """Five connections in a row within ten seconds each: red, said, and never for good."""
    now = 0.0
    session = make(mosquitto.url, monotonic=lambda: now)
    session.open()
    attempts = []
    session._connect = lambda: attempts.append(now) or session._lost("cut off", SessionState.TAKEN_OVER)  # type: ignore[method-assign, func-returns-value]
    while now < 3_600:
        session.wait(0.0, reading=True)
        now += 1.0
    session.close()
    pauses = np.diff(attempts)
    assert len(attempts) > 12
    assert pauses.max() <= 301
    assert pauses[-1] >= 150


@pytest.mark.service("mosquitto")
@pytest.mark.skipif(shutil.which("mosquitto_passwd") is None, reason="mosquitto_passwd is not on PATH")
def test_credentials_are_used_and_their_refusal_is_told(mosquitto: Any, drive: Any, wait_until: Any) -> None:
    mosquitto.stop()
    passwords = mosquitto.folder / "passwords"
    subprocess.run(["mosquitto_passwd", "-b", "-c", str(passwords), "plant", "right"], check=True)
    passwords.chmod(0o644)
    mosquitto.extra = f"password_file {passwords}\n"
    mosquitto.start()
    refused = make(mosquitto.url, client_id="wrong", username="plant", password="wrong")
    drive(refused)
    wait_until(lambda: refused.state == SessionState.REFUSED)
    assert "it refused the connection" in refused.reason
    assert "wrong" not in refused.reason
    accepted = make(mosquitto.url, client_id="right", username="plant", password="right")
    drive(accepted)
    wait_until(lambda: accepted.subscribed)


# Subscriptions.


@pytest.mark.service("mosquitto")
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_filters_dropped_between_two_runs_are_unsubscribed(
    mosquitto: Any, drive: Any, wait_until: Any, protocol: str
) -> None:
    first = make(mosquitto.url, {"old/#": 1, "kept/#": 1}, protocol=protocol)
    driven = drive(first)
    wait_until(lambda: first.subscribed)
    driven.end()
    second = make(mosquitto.url, {"kept/#": 1, "new/#": 0}, protocol=protocol, previous_filters=first.filters)
    driven = drive(second)
    wait_until(lambda: second.subscribed)
    publish(mosquitto.port, ("old/a", b"old"), ("kept/a", b"kept"), ("new/a", b"new"))
    wait_until(lambda: b"new" in driven.got)
    assert driven.got == [b"kept", b"new"]


@pytest.mark.service("mosquitto")
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_filters_change_while_running_and_stay_changed(
    mosquitto: Any, drive: Any, wait_until: Any, protocol: str
) -> None:
    session = make(mosquitto.url, {"a/#": 1, "b/#": 1}, protocol=protocol)
    driven = drive(session)
    wait_until(lambda: session.subscribed)
    session.resubscribe({"b/#": 0, "c/#": 1})

    def follows() -> bool:
        publish(mosquitto.port, ("c/1", b"probe"))
        return b"probe" in driven.got

    wait_until(follows)
    for restart in (False, True):
        if restart:
            mosquitto.stop()
            wait_until(lambda: session.state == SessionState.AWAY)
            mosquitto.start()
            wait_until(lambda: session.subscribed)
        wait_until(lambda: session.subscribed)
        driven.got.clear()
        publish(mosquitto.port, ("a/1", b"a"), ("b/1", b"b"), ("c/1", b"end"))
        wait_until(lambda: b"end" in driven.got)
        assert [payload for payload in driven.got if payload != b"probe"] == [b"b", b"end"]
    with pytest.raises(ValueError, match="topic filter"):
        session.resubscribe({"a/#/b": 1})


@pytest.mark.service("mosquitto")
def test_retained_messages_are_not_sent_again_at_every_reconnect(mosquitto: Any, drive: Any, wait_until: Any) -> None:
    # QoS 0: an acknowledgement that a stopping broker misses brings QoS 1 again, retained or not.
    publish(mosquitto.port, ("plant/a", b"retained"), quality=0, retain=True)
    session = make(mosquitto.url)
    driven = drive(session)
    wait_until(lambda: driven.got == [b"retained"])
    mosquitto.stop()
    wait_until(lambda: session.state == SessionState.AWAY)
    mosquitto.start()
    wait_until(lambda: session.subscribed)
    publish(mosquitto.port, ("plant/a", b"live"))
    wait_until(lambda: b"live" in driven.got)
    assert driven.got == [b"retained", b"live"]
