"""One browser and one service for all tests of the page: opening them costs more than most of these tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from shown_page import Page, opened_page


@pytest.fixture(scope="package")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with opened_page(tmp_path_factory.mktemp("page")) as page:
        yield page


@pytest.fixture
def page(opened: Page) -> Iterator[Page]:
    """The page, after whose use nothing may have failed, run as script, or left loopback."""
    yield opened
    assert opened.browser.console_errors() == []
    assert opened.browser.run("return window.hacked") is None
    requested = opened.browser.requested()
    assert requested
    over_the_network = [url for url in requested if url.startswith(("http", "ws"))]
    assert [url for url in over_the_network if not url.startswith(f"{opened.url}/")] == []
