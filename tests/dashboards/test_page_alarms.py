"""The list of alarms on the page, and its figures."""

from __future__ import annotations

import pytest
from demo_service import SECOND
from shown_page import Page

pytestmark = pytest.mark.service("chromium", "chromedriver")


def test_active_alarms_come_first_the_worst_on_top_and_the_others_are_a_click_away(page: Page) -> None:
    page.show("#/alarms")
    page.browser.wait_for("return document.querySelectorAll('tbody tr').length > 1", "alarms")
    chips = "return [...document.querySelectorAll('tbody .chip')].map((e) => e.innerText)"
    assert set(page.browser.run(chips)) == {"open"}
    page.browser.run("document.querySelector('[data-value=cleared]').click()")
    page.browser.wait(lambda: set(page.browser.run(chips)) == {"cleared"}, "the cleared ones")
    assert page.browser.run("return location.hash") == "#/alarms?state=cleared"


def test_an_alarm_leads_to_its_chart_and_back_to_where_the_reader_was(page: Page) -> None:
    page.show("#/alarms?state=all&filter=motor%20compressor-01")
    page.browser.wait_for("return document.querySelectorAll('tbody tr').length === 1", "one alarm")
    page.browser.run("document.querySelector('tbody tr').click()")
    page.browser.wait_for("return document.querySelector('.chart')?.dataset.anomalies > 0", "the alarm's chart")
    opened = next(alarm for alarm in page.service.store.alarms() if alarm.reason.startswith("motor_current"))
    assert page.shown("from") < opened.opened / SECOND < page.shown("to")
    page.browser.run("history.back()")
    page.browser.wait_for(
        "return document.querySelector('input[type=search]')?.value === 'motor compressor-01'", "back"
    )


def test_alarms_are_taken_on_and_shelved_by_keyboard(page: Page) -> None:
    before, asking = len(page.service.acted), page.service.counts()
    page.show("#/alarms")
    page.browser.wait_for("return document.querySelectorAll('tbody tr').length > 1", "alarms")
    first = page.browser.run("return Number(document.querySelector('tbody tr').dataset.alarm)")
    page.browser.press("j")
    page.browser.press("a")
    page.browser.wait(lambda: "acknowledged" in page.text(f"tr[data-alarm='{first}']"), "the acknowledgement")
    assert "by local" in page.text(f"tr[data-alarm='{first}']")
    page.browser.run("document.querySelector(`tr[data-alarm='${arguments[0]}']`).focus()", first)
    page.browser.press(" ")
    assert "1 selected" in page.text(".bulk")
    page.browser.press("s")
    page.browser.run(
        "const form = document.querySelector('dialog form'); form.note.value = 'parts'; form.requestSubmit()"
    )
    page.browser.wait_for(f"return document.querySelector(\"tr[data-alarm='{first}']\") === null", "the alarm to leave")
    page.browser.run("document.querySelector('[data-value=shelved]').click()")
    page.browser.wait(lambda: "“parts”" in page.text("tbody"), "the shelved alarm")
    assert [type(action).__name__ for action in page.service.acted[before:]] == ["Acknowledge", "Shelve"]
    page.browser.wait(lambda: page.text("#alarm-badge") == f"{asking.open_alarms - 1} open", "what still asks for them")
    told = page.browser.run("return document.getElementById('alarm-badge').title")
    assert told.endswith(f"; shelved, and not counted: {asking.shelved_alarms + 1}")


def test_figures_say_what_a_person_can_deal_with(page: Page) -> None:
    page.show("#/figures")
    page.browser.wait(lambda: "up to 6 acceptable, 12 manageable" in page.text(".tiles"), "the figures")
    page.browser.wait_for("return document.querySelectorAll('.hours i').length === 168", "a bar an hour of seven days")
