"""When a session tries again, to the tenth of a second, and what a connection that does not come about is told as."""

from __future__ import annotations

import errno
import socket
import ssl
from pathlib import Path
from random import Random

import pytest

from ingest.broker_settings import BrokerSettings, is_secure, is_websocket, read_password, split_url, websocket_path
from ingest.connection_words import connection_words
from ingest.reconnecting import Reconnecting


class Longest(Random):
    """Gives the longest of what may be drawn, and holds what the bounds were."""

    bounds = (0.0, 0.0)

    def uniform(self, a: float, b: float) -> float:
        self.bounds = (a, b)
        return b


def test_pauses_double_from_a_tenth_of_a_second_to_ten_and_begin_anew_after_a_connection_that_held() -> None:
    drawn = Longest()
    reconnecting = Reconnecting(drawn)
    pauses = [reconnecting.delay(0.0, beside_a_rival=False) for _ in range(9)]
    assert pauses == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0])
    assert drawn.bounds == (0.5, 1.0)
    assert reconnecting.ended(1.99, by_a_rival=False) is None
    assert reconnecting.delay(0.0, beside_a_rival=False) == 10.0
    reconnecting.ended(2.0, by_a_rival=False)
    assert reconnecting.delay(0.0, beside_a_rival=False) == pytest.approx(0.1)
    for _ in range(100):
        assert reconnecting.delay(0.0, beside_a_rival=False) <= 10.0


def test_five_connections_in_a_row_that_were_cut_off_soon_speak_for_another_client() -> None:
    reconnecting = Reconnecting(Longest())
    assert [reconnecting.ended(1.0, by_a_rival=True) for _ in range(4)] == [None] * 4
    assert reconnecting.ended(1.0, by_a_rival=True) == "5 connections in a row were cut off within 10 s"
    assert reconnecting.ended(1.0, by_a_rival=True) == "6 connections in a row were cut off within 10 s"
    assert reconnecting.ended(1.0, by_a_rival=False) is None
    assert [reconnecting.ended(1.0, by_a_rival=True) for _ in range(4)] == [None] * 4
    reconnecting.refused()
    assert [reconnecting.ended(1.0, by_a_rival=True) for _ in range(5)][3:] == [
        None, "5 connections in a row were cut off within 10 s",
    ]  # fmt: skip
    assert [reconnecting.is_short(lasted) for lasted in (0.0, 9.99, 10.0, 11.0)] == [True, True, False, False]


def test_beside_a_rival_the_newcomer_waits_twice_as_long_each_time_up_to_five_minutes() -> None:
    reconnecting = Reconnecting(Longest())
    reconnecting.connected(100.0)
    pauses = [reconnecting.delay(130.0, beside_a_rival=True) for _ in range(8)]
    assert pauses == [5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 300.0, 300.0]
    for _ in range(100):
        assert reconnecting.delay(130.0, beside_a_rival=True) == 300.0


def test_who_has_held_the_session_for_most_of_the_time_comes_back_soon() -> None:
    older = Reconnecting(Longest())
    older.connected(100.0)
    older.connected(120.0)
    older.ended(20.0, by_a_rival=True)
    assert older.delay(140.0, beside_a_rival=True) == 5.0, "half of the time is not most of it"
    older.ended(0.5, by_a_rival=True)
    assert older.delay(140.0, beside_a_rival=True) == 2.0
    assert older.delay(150.0, beside_a_rival=True) == 5.0, "waiting begins anew"
    young = Reconnecting(Longest())
    young.connected(100.0)
    young.ended(30.0, by_a_rival=True)
    assert young.delay(130.0, beside_a_rival=True) == 5.0
    assert young.delay(130.1, beside_a_rival=True) == 2.0
    never = Reconnecting(Longest())
    never.ended(40.0, by_a_rival=True)
    assert never.delay(130.0, beside_a_rival=True) == 5.0


def certificate_error(code: int) -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "failed")
    error.verify_code, error.verify_message = code, "path length exceeded"
    return error


def tls_error(reason: str | None, kind: type[ssl.SSLError] = ssl.SSLError) -> ssl.SSLError:
    error = kind(1, reason or "broken")
    error.reason = reason  # type: ignore[assignment]
    return error


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (socket.gaierror(-2, "x"), 'the name "plant" is not known to DNS'),
        (certificate_error(10), "the broker's certificate has expired"),
        (certificate_error(9), "the broker's certificate is not valid yet"),
        (certificate_error(62), 'the broker\'s certificate is not for "plant"'),
        (certificate_error(64), 'the broker\'s certificate is not for "plant"'),
        (certificate_error(63), "the broker's certificate is refused: path length exceeded"),
        *((certificate_error(code), "an authority that is not known here: name it with broker.tls_ca")
          for code in (2, 18, 19, 20, 21)),
        (certificate_error(22), "the broker's certificate is refused: path length exceeded"),
        (tls_error("WRONG_VERSION_NUMBER"), "plant answers at port 8883, but not in TLS"),
        (tls_error("record_layer_failure"), "plant answers at port 8883, but not in TLS"),
        (tls_error("HTTP_REQUEST"), "plant answers at port 8883, but not in TLS"),
        (tls_error("UNEXPECTED_EOF_WHILE_READING"), "plant ended the TLS handshake at port 8883"),
        (tls_error(None, ssl.SSLEOFError), "plant ended the TLS handshake at port 8883"),
        (tls_error(None, ssl.SSLZeroReturnError), "plant ended the TLS handshake at port 8883"),
        (tls_error("TLSV13_ALERT_CERTIFICATE_REQUIRED"), "the broker asks for a client certificate"),
        (tls_error("SSLV3_ALERT_HANDSHAKE_FAILURE"), "the broker asks for a client certificate"),
        (tls_error("SSLV3_ALERT_BAD_CERTIFICATE"), "the broker asks for a client certificate"),
        (tls_error("TLSV1_ALERT_UNKNOWN_CA"), "does not know the authority that issued the client certificate"),
        (tls_error("SSLV3_ALERT_CERTIFICATE_UNKNOWN"), "does not know the authority that issued the client"),
        (tls_error("SSLV3_ALERT_CERTIFICATE_EXPIRED"), "(broker.tls_certificate) has expired, or was revoked"),
        (tls_error("SSLV3_ALERT_CERTIFICATE_REVOKED"), "(broker.tls_certificate) has expired, or was revoked"),
        (tls_error("NO_CIPHERS"), "TLS with plant at port 8883 fails: NO_CIPHERS"),
        (ConnectionRefusedError(111, "x"), "plant refuses connections at port 8883: nothing listens there"),
        (TimeoutError(110, "x"), "plant does not answer at port 8883"),
        (FileNotFoundError(2, "x", "ca.pem"), '"ca.pem" is not there: broker.tls_ca'),
        (OSError(errno.EHOSTUNREACH, "No route"), "there is no way from this machine to plant: No route"),
        (OSError(errno.ENETUNREACH, "No net"), "there is no way from this machine to plant: No net"),
        (ConnectionResetError(104, "x"), "without a word: it may be a port without TLS (mqtt://), or no broker's port"),
        (OSError(errno.EACCES, "Permission denied"), "plant cannot be reached at port 8883: Permission denied"),
    ],
)  # fmt: skip
def test_why_a_connection_does_not_come_about_is_said_with_what_to_look_at(error: OSError, said: str) -> None:
    assert said in connection_words(error, BrokerSettings(url="mqtts://plant"))


def test_words_go_by_what_is_configured() -> None:
    with_ca = BrokerSettings(url="mqtts://plant", tls_ca=Path("ca.pem"))
    assert connection_words(certificate_error(20), with_ca).endswith('not known here: "ca.pem" does not hold it')
    assert connection_words(FileNotFoundError(2, "x"), with_ca).startswith('"ca.pem" is not there')
    ended = connection_words(BrokenPipeError(32, "x"), BrokerSettings(url="mqtt://plant:1884"))
    assert ended == (
        "plant ended the connection at port 1884 without a word: it may expect TLS (mqtts://), or no broker's port"
    )


@pytest.mark.parametrize(
    ("given", "is_good"),
    [
        ({"keep_alive": "1s"}, True), ({"keep_alive": "999ms"}, False), ({"keep_alive": "65535s"}, True),
        ({"keep_alive": "65536s"}, False), ({"connect_timeout": "1ms"}, True), ({"connect_timeout": "0s"}, False),
        ({"connect_timeout": "600s"}, True), ({"connect_timeout": "601s"}, False), ({"session_expiry": "1s"}, True),
        ({"session_expiry": "4294967295s"}, True), ({"session_expiry": "4294967296s"}, False),
        ({"session_expiry": "500ms"}, False), ({"receive_maximum": 65_535}, True), ({"receive_maximum": 0}, False),
        ({"tls_key": "k.pem"}, False), ({"tls_key": "k.pem", "tls_certificate": "c.pem"}, True),
        ({"tls_certificate": "c.pem"}, True), ({"username": "u", "password_file": "p"}, True),
        ({"password_file": "p"}, False), ({"client_id": "x" * 128}, True), ({"client_id": "x" * 129}, False),
        ({"url": "mqtt://u@plant"}, False), ({"url": "mqtt://:p@plant"}, False), ({"url": "mqtt://plant/"}, True),
        ({"url": "mqtt://plant?x=1"}, False), ({"url": "ws://plant/x?y=1"}, True), ({"url": "mqtt://"}, False),
        ({"url": "mqtt://plant:70000"}, False),
    ],
)  # fmt: skip
def test_settings_of_the_broker_are_taken_up_to_their_bounds(given: dict[str, object], is_good: bool) -> None:
    try:
        BrokerSettings.model_validate(given)
    except ValueError:
        assert not is_good
    else:
        assert is_good


def test_an_address_tells_how_the_broker_is_spoken_to(tmp_path: Path) -> None:
    schemes = ["mqtt", "mqtts", "ws", "wss"]
    urls = [f"{scheme}://plant:7" for scheme in schemes]
    assert [split_url(url) for url in urls] == [(scheme, "plant", 7) for scheme in schemes]
    assert [split_url(f"{scheme}://plant")[2] for scheme in schemes] == [1883, 8883, 80, 443]
    assert [is_websocket(url) for url in urls] == [False, False, True, True]
    assert [is_secure(url) for url in urls] == [False, True, False, True]
    assert websocket_path("ws://plant/?x=1") == "/mqtt?x=1"
    (tmp_path / "secret").write_bytes(b"word\r\n\n")
    assert read_password(BrokerSettings(username="u", password_file=tmp_path / "secret"), {}) == "word\n"
