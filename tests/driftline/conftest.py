"""What tests of the API share: accounts of their own, and a client of the page on their `service`."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from demo_service import DemoService
from fastapi.testclient import TestClient

from driftline.access.accounts import AccountBook
from driftline.access.gate import Gate
from driftline.http.app import create_app
from driftline.http.http_settings import HttpSettings


@pytest.fixture
def accounts(tmp_path: Path) -> Iterator[AccountBook]:
    with AccountBook(tmp_path / "accounts.db") as accounts:
        yield accounts


@pytest.fixture
def client(service: DemoService, accounts: AccountBook) -> TestClient:
    settings = HttpSettings()
    return TestClient(create_app(service, settings, Gate(settings, accounts)), base_url="http://127.0.0.1:8000")
