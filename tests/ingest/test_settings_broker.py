from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from ingest.broker_settings import PASSWORD_VARIABLE, BrokerSettings, read_password, split_url, websocket_path


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"url": "http://broker"}, 'expected "auto", mqtt://host:port, mqtts://host:port, ws://host:port/path or wss'),
        ({"url": "mqtt://broker/mqtt"}, "is no broker's address"),
        ({"url": "mqtt://broker:port"}, "mqtt://broker:port"),
        ({"url": "mqtt://user:secret@broker"}, "credentials do not belong"),
        ({"client_id": "driftline-{random}"}, "pattern"),
        ({"keep_alive": "0s"}, "outside 1 to 65535 seconds"),
        ({"session_expiry": "200y"}, "is not a duration"),
        ({"protocol": "3.1"}, "'5' or '3.1.1'"),
        ({"password_file": "x"}, "needs a username"),
        ({"password": "x"}, "not permitted"),
    ],
)
def test_settings_that_cannot_work_are_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        BrokerSettings(**given)


def test_an_address_has_the_port_of_its_scheme() -> None:
    assert split_url("mqtt://plant.example") == ("mqtt", "plant.example", 1883)
    assert split_url("mqtts://[::1]") == ("mqtts", "::1", 8883)
    assert split_url("wss://plant.example/ws?key=1") == ("wss", "plant.example", 443)
    assert [websocket_path(f"wss://plant.example{given}") for given in ("", "/", "/ws?key=1")] == [
        "/mqtt",
        "/mqtt",
        "/ws?key=1",
    ]


def test_the_password_comes_from_its_file_else_from_the_environment(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("from file \n")
    with_file = BrokerSettings(username="u", password_file=tmp_path / "secret")
    assert read_password(with_file, {PASSWORD_VARIABLE: "other"}) == "from file "
    assert read_password(BrokerSettings(), {PASSWORD_VARIABLE: "other"}) == "other"
    assert read_password(BrokerSettings(), {}) is None
