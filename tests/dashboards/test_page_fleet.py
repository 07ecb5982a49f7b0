"""The fleet on the page: those in trouble first, rows where they are seen, filters, groups and what comes live."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from demo_service import SECOND
from shown_page import BLUE, DEVICES, PIXELS, WARMING, Page, plant_end

from devices.records import AlarmRecord, AlarmState

pytestmark = pytest.mark.service("chromium", "chromedriver")


def test_the_fleet_shows_those_in_trouble_first_with_values_and_sparklines(page: Page) -> None:
    page.show("#/")
    page.browser.wait_for("return document.querySelectorAll('.cell .value small').length > 10", "values")
    states = page.browser.run("return [...document.querySelectorAll('.device-row .chip')].map((e) => e.innerText)")
    order = {"Alarm": 0, "Silent": 1, "Refused": 2, "Unusual": 3, "Quiet": 4, "Warming up": 5, "Normal": 6}
    assert states[0] == "Alarm"
    assert [order[state] for state in states] == sorted(order[state] for state in states)
    page.browser.wait(lambda: page.browser.run(PIXELS, ".device-row .cell canvas", BLUE) > 20, "a line of values")
    assert f"{DEVICES}" in page.text(".tiles")


def test_a_silent_device_is_counted_whether_its_alarm_is_open_or_not(page: Page) -> None:
    silent = max(page.service.silent)
    series = next(each.series for each in page.service.store.series() if each.device == silent)
    alarm = AlarmRecord(901, series, AlarmState.OPEN, plant_end(page.service), None, "major", 6, 1.0, 2.0, "silent")
    page.service.step(alarms=[alarm])
    try:
        page.show("#/?state=silent")
        page.browser.wait_for("return document.querySelectorAll('.device-row').length > 1", "the silent ones")
        many = len(page.service.silent)
        assert page.text(".tile[aria-pressed=true]").split() == ["Silent", str(many)]
        rows = "return [...document.querySelectorAll('.device-row')].map((e) => [e.title, e.className.split(' ')[1]])"
        shown = dict(page.browser.run(rows))
        assert (set(shown), shown[silent]) == (page.service.silent, "is-alarm")
        assert page.text(".is-alarm .chip") == "Silent"
    finally:
        page.service.step(alarms=[replace(alarm, state=AlarmState.CLEARED, cleared=alarm.opened + SECOND)])


def test_a_device_that_warms_up_is_counted_as_such_whatever_else_is_said_of_it(page: Page) -> None:
    series = next(each.series for each in page.service.store.series() if each.device == WARMING)
    alarm = AlarmRecord(902, series, AlarmState.OPEN, plant_end(page.service), None, "minor", 6, 1.0, 2.0, "odd")
    page.service.step(alarms=[alarm])
    try:
        page.show("#/?state=warming")
        page.browser.wait(lambda: "warming" in page.text(f".device-row[title='{WARMING}'] .metric"), "how far it is")
        assert page.text(f".device-row[title='{WARMING}'] .chip") == "Alarm"
        shown = page.browser.run("return document.querySelectorAll('.device-row').length")
        assert page.text(".tile[aria-pressed=true]").split() == ["Warming", "up", str(shown)]
    finally:
        page.service.step(alarms=[replace(alarm, state=AlarmState.CLEARED, cleared=alarm.opened + SECOND)])


def test_only_what_has_an_alarm_is_red(page: Page) -> None:
    page.show("#/")
    page.browser.wait_for("return document.querySelectorAll('.cell .value small').length > 10", "values")
    color = (
        "const cells = [...document.querySelectorAll(`${arguments[0]} .value`)];"
        "return [...new Set(cells.map((e) => getComputedStyle(e).color))]"
    )
    assert page.browser.run(color, ".is-alarm .cell.alarm") == ["rgb(255, 143, 147)"]
    assert page.browser.run(color, ".is-odd .cell.odd") == ["rgb(244, 183, 64)"]


def test_a_device_whose_every_message_is_refused_says_why_and_has_a_page(page: Page) -> None:
    why = "3 of 3 messages refused, the last one as malformed: byte 10: unexpected end"
    page.service.refused["plant/broken"] = why
    try:
        page.show("#/?filter=broken")
        page.browser.wait(lambda: page.text(".device-row .chip") == "Refused", "the device")
        assert page.text(".device-row .why") == why
        page.show("#/device/plant%2Fbroken")
        page.browser.wait(lambda: page.text(".device-card [role=status]") == why, "the reason")
        assert page.text(".crumbs .chip:not([hidden])") == "Refused"
        assert page.text("main .empty b") == "No reading of it yet"
    finally:
        page.show("#/help")
        page.service.refused.clear()


def test_rows_exist_only_where_they_are_seen(page: Page) -> None:
    page.show("#/")
    page.browser.wait_for("return document.querySelectorAll('.device-row').length > 5", "rows")
    assert page.browser.run("return document.querySelectorAll('.device-row').length") < 40
    height = page.browser.run("return document.querySelector('.rows').offsetHeight")
    assert height == DEVICES * 58
    page.browser.run("scrollTo(0, 1e6)")
    last = f"return document.querySelector('.device-row[data-position=\"{DEVICES}\"]') !== null"
    page.browser.wait_for(last, "the last row")
    assert page.browser.run("return document.querySelectorAll('.device-row').length") < 40


def test_the_fleet_is_filtered_by_name_and_state_and_walked_by_keys(page: Page) -> None:
    page.show("#/")
    page.browser.wait_for("return document.querySelectorAll('.device-row').length > 5", "rows")
    page.browser.press("/")
    for key in "pump-20":
        page.browser.press(key)
    page.browser.wait_for("return document.querySelectorAll('.device-row').length === 1", "one row")
    assert "warming" in page.text(".device-row").lower()
    page.browser.press("\ue015")
    page.browser.press("\ue007")
    page.browser.wait_for("return location.hash.startsWith('#/device/plant%2Fhall-2%2Fpump-20')", "the device's page")


def test_the_fleet_is_grouped_by_site_with_the_worst_group_first_and_groups_are_folded(page: Page) -> None:
    page.show("#/?group=site")
    page.browser.wait_for("return document.querySelectorAll('.group-row').length > 0", "groups")
    heads = "return [...document.querySelectorAll('.group-row')].map((e) => e.innerText.replace(/\\s+/g, ' '))"
    first = page.browser.run(heads)[0]
    assert "alarm" in first
    assert page.browser.run("return document.querySelector('.device-row:not(.group-row) .chip').innerText") == "Alarm"
    before = page.browser.run("return document.querySelector('.rows').offsetHeight")
    page.browser.run("document.querySelector('.group-row').click()")
    inside = int(re.search(r"(\d+) devices?:", first)[1])  # type: ignore[index]
    page.browser.wait_for(
        f"return document.querySelector('.rows').offsetHeight === {before - inside * 58}", "the group to be folded"
    )


def test_live_points_reach_the_fleet(page: Page) -> None:
    page.show("#/")
    page.browser.wait_for("return document.querySelectorAll('.cell .value small').length > 10", "values")
    page.browser.wait(lambda: page.service.feed.listening, "the live feed")
    before = page.text(".device-row .cell .value")
    page.tick()
    page.browser.wait(lambda: page.text(".device-row .cell .value") != before, "a new value")
