from __future__ import annotations

import pytest

from common.addresses import is_loopback, is_loopback_url, is_web_address


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", True), ("127.0.0.1", True), ("127.9.9.9", True), ("::1", True),
        ("0.0.0.0", False), ("10.0.0.1", False), ("localhost.example", False), ("", False),
    ],
)  # fmt: skip
def test_a_host_is_loopback_by_its_address_or_as_localhost(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected
    assert is_loopback_url(f"http://{f'[{host}]' if ':' in host else host}:80/x") is expected


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://127.0.0.1:8080", True), ("https://plant.example/x", True), ("http://[::1]:1", True),
        ("ftp://plant.example", False), ("http://", False), ("plant.example:80", False), ("http://[::1", False),
        ("http://:8080", False), ("http://plant.example:99999", False), ("http://plant.example:x", False),
        ("http://plant.example:0", False),
    ],
)  # fmt: skip
def test_a_web_address_is_http_with_a_host(url: str, expected: bool) -> None:
    assert is_web_address(url) is expected
