"""The page's traces: which there are, and one of them as a waterfall."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from shown_page import Page
from traced_plant import TracedPlant

pytestmark = pytest.mark.service("chromium", "chromedriver")

BARS = "return [...document.querySelectorAll('.waterfall .bar-of')].map((bar) => bar.style.left)"

CELLS = """
return [...document.querySelectorAll('.waterfall tbody tr')].map((row) => [...row.cells].map((cell) => cell.innerText))
"""


@pytest.fixture
def plant(page: Page) -> Iterator[TracedPlant]:
    plant = TracedPlant(sample=1)
    page.service.traces = plant.tracer
    yield plant
    page.service.traces = None


def test_without_the_section_it_says_how_to_trace(page: Page) -> None:
    page.show("#/traces")
    page.browser.wait(lambda: "No message is traced" in page.text("main"), "what to do")
    assert "[tracing]\nsample = 0.01" in page.text("main pre")


def test_a_dead_letter_s_way_is_found_and_drawn_stage_by_stage(page: Page, plant: TracedPlant) -> None:
    plant.take({"t": 1.0}, topic=b"plant/p1")
    plant.take(b"{", topic=b"plant/p2")
    page.show("#/traces")
    page.browser.wait(lambda: "plant/p1" in page.text("tbody") and "plant/p2" in page.text("tbody"), "both messages")
    page.browser.run("document.querySelector('.buttons [data-value=\"dead letter\"]').click()")
    page.browser.wait(lambda: "plant/p1" not in page.text("tbody"), "the dead letter alone")
    assert "malformed" in page.text("tbody tr")
    page.browser.run("document.querySelector('tbody a').click()")
    page.browser.wait_for("return document.querySelectorAll('.waterfall tbody tr').length === 7", "the stages")
    shown = page.browser.run(CELLS)
    assert [row[0] for row in shown] == ["receive", "journal", "route", "decode", "score", "alarm", "store"]
    assert [row[2] for row in shown[1:]] == ["1.0 ms"] * 6
    assert shown[3][3].startswith("malformed: ")
    assert shown[3][4] == "1 message"
    left = [float(each.removesuffix("%")) for each in page.browser.run(BARS)]
    assert left[0] == 0
    assert left == sorted(left)
    assert page.text(".top nav a[aria-current]") == "Pipeline"
    assert page.browser.accessibility_violations() == []
