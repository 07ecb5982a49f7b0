"""What `driftline doctor` says of a broker that does not take the connection: a real mosquitto, in many ways wrong."""

from __future__ import annotations

import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from driftline.access.broker_access import READER, BrokerAccess
from driftline.access.device_snippets import broker_lines
from driftline.runtime.broker_diagnosis import broker_problem
from ingest.broker_settings import BrokerSettings

pytestmark = pytest.mark.service("mosquitto", "openssl")
_DAY = ("-days", "2")


def openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True, timeout=240)


def authority(folder: Path, name: str) -> None:
    made = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", *_DAY]
    openssl(folder, *made, "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.crt")


def certificate(folder: Path, name: str, issuer: str, names: str, *times: str) -> None:
    """A certificate for `names` (subjectAltName), by default for two days."""
    request = ["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}"]
    openssl(folder, *request, "-keyout", f"{name}.key", "-out", f"{name}.csr")
    (folder / f"{name}.ext").write_text(f"subjectAltName={names}\n")
    (folder / "index").write_text("")
    (folder / "ca.conf").write_text(
        "[ca]\ndefault_ca=d\n[d]\ndatabase=index\nnew_certs_dir=.\nrand_serial=yes\ndefault_md=sha256\npolicy=p\n"
        "[p]\nCN=supplied\n"
    )
    signed = ["ca", "-batch", "-config", "ca.conf", "-cert", f"{issuer}.crt", "-keyfile", f"{issuer}.key", "-notext"]
    span = times or _DAY
    openssl(folder, *signed, *span, "-in", f"{name}.csr", "-out", f"{name}.crt", "-extfile", f"{name}.ext")


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("keys")
    authority(folder, "plant-ca")
    authority(folder, "other-ca")
    certificate(folder, "good", "plant-ca", "IP:127.0.0.1,DNS:localhost")
    certificate(folder, "elsewhere", "plant-ca", "DNS:broker.example")
    past = ("-startdate", "20200101000000Z", "-enddate", "20210101000000Z")
    future = ("-startdate", "20900101000000Z", "-enddate", "20910101000000Z")
    certificate(folder, "expired", "plant-ca", "IP:127.0.0.1", *past)
    certificate(folder, "early", "plant-ca", "IP:127.0.0.1", *future)
    certificate(folder, "device", "plant-ca", "DNS:device")
    certificate(folder, "stranger", "other-ca", "DNS:device")
    return folder


@pytest.fixture
def broker(mosquitto: Any, keys: Path) -> Callable[..., str]:
    """Starts the broker anew, with a certificate where one is named; returns its address without the scheme."""

    def start(certificate_name: str = "", extra: str = "", *, anonymous: bool = True) -> str:
        mosquitto.stop()
        tls = f"certfile {keys}/{certificate_name}.crt\nkeyfile {keys}/{certificate_name}.key\n"
        mosquitto.extra = (tls if certificate_name else "") + extra
        mosquitto.anonymous = anonymous
        mosquitto.asks = anonymous and not certificate_name
        mosquitto.start()
        return f"127.0.0.1:{mosquitto.port}"

    return start


def settings(url: str, **more: object) -> BrokerSettings:
    return BrokerSettings.model_validate({"url": url, **more})


@pytest.mark.parametrize(
    ("served", "trusted", "said"),
    [
        ("good", "plant-ca", ""),
        ("good", "", "was issued by an authority that is not known here: name it with broker.tls_ca"),
        ("good", "other-ca", 'other-ca.crt" does not hold it'),
        ("elsewhere", "plant-ca", 'the broker\'s certificate is not for "127.0.0.1": put a name that it holds into'),
        ("expired", "plant-ca", "the broker's certificate has expired, if this machine's clock is right"),
        ("early", "plant-ca", "is not valid yet: this machine's clock is behind, or the broker's was ahead"),
    ],
)
def test_a_certificate_that_does_not_fit_is_named(
    broker: Callable[..., str], keys: Path, served: str, trusted: str, said: str
) -> None:
    ca = {"tls_ca": str(keys / f"{trusted}.crt")} if trusted else {}
    problem = broker_problem(settings(f"mqtts://{broker(served)}", **ca), None, ["#"])
    assert (said in problem, bool(problem)) == (True, bool(said)), problem


def test_a_broker_that_asks_for_a_client_certificate_says_so(broker: Callable[..., str], keys: Path) -> None:
    ca = str(keys / "plant-ca.crt")
    url = f"mqtts://{broker('good', f'cafile {ca}{chr(10)}require_certificate true{chr(10)}')}"
    assert "asks for a client certificate: set broker.tls_certificate" in broker_problem(settings(url, tls_ca=ca), None)

    def shown(name: str) -> str:
        pair = {"tls_certificate": str(keys / f"{name}.crt"), "tls_key": str(keys / f"{name}.key")}
        return broker_problem(settings(url, tls_ca=ca, **pair), None, ["#"])

    assert shown("device") == ""
    assert "does not know the authority that issued the client certificate" in shown("stranger")


def test_plain_and_tls_taken_for_each_other_are_told_apart(broker: Callable[..., str], keys: Path) -> None:
    where = broker("good")
    assert f"speaks TLS at port {where.split(':')[1]}: take mqtts://{where} as broker.url" in broker_problem(
        settings(f"mqtt://{where}"), None
    )
    where = broker()
    problem = broker_problem(settings(f"mqtts://{where}"), None)
    assert "mqtt://" in problem, problem
    assert any(word in problem for word in ("but not in TLS", "a port without TLS (mqtt://)")), problem


def test_a_user_that_is_not_let_in_is_named(broker: Callable[..., str], tmp_path: Path) -> None:
    access = BrokerAccess(tmp_path / "access")
    access.add("pump-01")
    url = f"mqtt://{broker('', broker_lines(str(access.passwords), str(access.acl)) + chr(10), anonymous=False)}"
    assert "does not authorise a client without a user name: set broker.username" in broker_problem(settings(url), None)
    wrong = broker_problem(settings(url, username=READER), "wrong")
    assert f'does not authorise user "{READER}"; wrong password' in wrong
    assert broker_problem(settings(url, username=READER), access.reader_password.read_text().strip(), ["#"]) == ""


def test_a_name_that_dns_does_not_know_and_a_port_where_nothing_listens_are_named(free_port: int) -> None:
    assert 'the name "broker.invalid" is not known to DNS' in broker_problem(settings("mqtt://broker.invalid"), None)
    refused = broker_problem(settings(f"mqtt://127.0.0.1:{free_port}"), None)
    assert refused == (
        f"127.0.0.1 refuses connections at port {free_port}: nothing listens there; "
        "is the broker running, on this port?"
    )
    missing = broker_problem(settings(f"mqtts://127.0.0.1:{free_port}", tls_ca="/nowhere/ca.crt"), None)
    assert "refuses connections" in missing


@pytest.fixture
def answering() -> Iterator[Callable[[bytes], int]]:
    """A server that answers every connection with the bytes given, and then ends it; gives its port."""
    servers: list[socket.socket] = []

    def serve(answer: bytes) -> int:
        server = socket.create_server(("127.0.0.1", 0))
        servers.append(server)

        def run() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(1024)
                    connection.sendall(answer)

        threading.Thread(target=run, daemon=True).start()
        return int(server.getsockname()[1])

    yield serve
    for server in servers:
        server.shutdown(socket.SHUT_RDWR)
        server.close()


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"\x20\x02\x00\x01", "refuses the version of MQTT"),
        (b"\x20\x02\x00\x02", "refuses the client's name (client id): it does not fit, or another client has it"),
        (b"\x20\x02\x00\x03", "it is not available now"),
        (b"\x20\x02\x00\x04", "refuses the user name or password"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "a web server answers there, no broker"),
        (b"220 mail.example ESMTP\r\n", "what answers there is no MQTT broker"),
        (b"\x20\x02\x00\x00\x90\x03\x00\x01\x80", ""),
    ],
)
def test_each_answer_of_a_broker_has_its_sentence(answering: Callable[[bytes], int], answer: bytes, said: str) -> None:
    problem = broker_problem(settings(f"mqtt://127.0.0.1:{answering(answer)}"), None)
    assert (said in problem, bool(problem)) == (True, bool(said)), problem
