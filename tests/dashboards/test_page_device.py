"""One device on the page: its charts, and what is done with it."""

from __future__ import annotations

import pytest
from demo_service import SECOND
from shown_page import BLUE, ODD, PIXELS, RED, WARMING, Page, plant_end

from devices.device_actions import ExcludePoints

pytestmark = pytest.mark.service("chromium", "chromedriver")


def test_a_device_shows_value_band_and_anomalies(page: Page) -> None:
    page.show_device(ODD)
    assert page.text("h1") == ODD
    assert page.text(".chart h2") == "motor_current"
    assert page.shown("anomalies") >= 1
    assert page.browser.run(PIXELS, ".chart .uplot canvas", BLUE) > 200
    assert page.browser.run(PIXELS, ".chart .uplot canvas", RED) > 50
    assert page.browser.run(PIXELS, ".chart .uplot.strip canvas", RED) > 10
    assert page.browser.run("return document.querySelectorAll('.chart').length") == 3
    assert "outside the expected" in page.text(".notice")
    assert "expected" in page.text(".readout")


def test_charts_zoom_pan_and_come_back(page: Page) -> None:
    page.show_device(ODD)
    whole = page.width()
    page.browser.drag(".chart .u-over", 0.25, 0.5)
    page.browser.wait(lambda: page.width() < 0.3 * whole, "the zoom")
    assert page.width() == pytest.approx(whole / 4, rel=0.05)
    assert "from=" in page.browser.run("return location.hash")
    every = page.browser.run("return [...document.querySelectorAll('.chart')].map((e) => e.dataset.from)")
    assert len(set(every)) == 1
    before = page.shown("from")
    page.browser.drag(".chart .u-over", 0.3, 0.7, shift=True)
    page.browser.wait(lambda: page.shown("from") < before, "the pan")
    assert page.width() == pytest.approx(whole / 4, rel=0.05)
    page.browser.press("0")
    page.browser.wait(lambda: page.width() > 0.9 * whole, "the way back")
    page.browser.press("+")
    page.browser.wait(lambda: page.width() < 0.6 * whole, "the zoom by key")


def test_a_zoomed_address_opens_zoomed(page: Page) -> None:
    newest = plant_end(page.service)
    page.show(f"#/device/{ODD.replace('/', '%2F')}?from={newest - 300 * SECOND}&to={newest - 100 * SECOND}")
    page.browser.wait_for("return document.querySelector('.chart')?.dataset.points > 1", "charts")
    assert page.width() == pytest.approx(200)
    assert page.browser.run("return document.querySelector('.live').getAttribute('aria-pressed')") == "false"


def test_charts_follow_the_live_feed(page: Page) -> None:
    page.show_device(ODD)
    page.browser.wait(lambda: page.service.feed.listening, "the live feed")
    end = page.shown("to")
    page.tick()
    page.browser.wait(lambda: page.shown("to") > end, "the new point")
    page.browser.drag(".chart .u-over", 0.2, 0.6)
    page.browser.wait(lambda: page.shown("to") < end, "the zoom")
    end = page.shown("to")
    page.tick()
    assert page.shown("to") == end


def test_warming_is_said_with_its_numbers(page: Page) -> None:
    page.show_device(WARMING)
    assert " of 60 readings" in page.text(".warmth")


def test_a_chart_shows_no_line_of_an_alarm_outside_its_time(page: Page) -> None:
    newest = plant_end(page.service)
    page.show(f"#/device/{ODD.replace('/', '%2F')}?from={newest - 1500 * SECOND}&to={newest - 1400 * SECOND}")
    page.browser.wait_for("return document.querySelector('.chart')?.dataset.points > 1", "charts")
    assert page.browser.run(PIXELS, ".chart .uplot canvas", RED) == 0


def test_what_is_to_come_is_drawn_on_request_with_its_sentence(page: Page) -> None:
    shown = "const d = document.querySelector('.chart').dataset; return (d.to - d.from) / 60"
    page.show_device(ODD)
    page.browser.wait_for("return document.querySelector('.chart .u-over')", "the charts")
    before = page.browser.run(shown)
    page.browser.run("document.querySelector('button.ahead').click()")
    page.browser.wait(lambda: "four times of five" in page.text(".chart .coming"), "a forecast")
    assert page.browser.run(shown) == pytest.approx(1.48 * before, rel=0.03)
    page.browser.run("document.querySelector('button.ahead').click()")
    page.browser.wait(lambda: page.text(".chart .coming") == "", "no forecast any more")
    assert page.browser.run(shown) == pytest.approx(before, rel=0.03)


def test_a_device_is_muted_on_its_page_and_its_alarms_are_shown_so(page: Page) -> None:
    device = next(each.device for each in page.service.device_states() if each.open_alarms)
    page.show_device(device)
    mute = "[...document.querySelectorAll('.device-card button')].find((each) => each.innerText === arguments[0])"
    page.browser.wait_for(f"return {mute.replace('arguments[0]', repr('Mute'))}", "the button")
    page.browser.run(f"{mute}.click()", "Mute")
    page.browser.wait_for(f"return {mute.replace('arguments[0]', repr('Unmute'))}", "the device to be muted")
    assert "muted since" in page.text(".device-card span")
    page.show("#/alarms?state=shelved")
    page.browser.wait_for("return document.querySelector('main tbody tr')", "the alarms that nobody is told of")
    assert "the device is muted" in page.text("main tbody tr")
    page.service.muted.clear()


def test_a_device_is_renamed_and_labelled_on_its_page_and_found_so_in_the_fleet(page: Page) -> None:
    page.show_device(ODD)
    buttons = "return [...document.querySelectorAll('.device-card button')].map((each) => each.innerText)"
    assert page.browser.run(buttons) == ["Rename", "Labels", "Retire", "Mute", "Replaces …", "Delete"]
    for button, entered in (("Rename", "form.name.value = 'Feed <b>pump'"), ("Labels", "form.labels.value = 'a = 1'")):
        page.browser.run(f"[...document.querySelectorAll('button')].find((b) => b.innerText === '{button}').click()")
        page.browser.run(f"const form = document.querySelector('dialog form'); {entered}; form.requestSubmit()")
        page.browser.wait_for("return document.querySelector('dialog') === null", "the dialog to close")
    page.browser.wait_for("return document.querySelector('h1').innerText === 'Feed <b>pump'", "the new name")
    card = f"return document.querySelector('.device-card span').innerText === '{ODD} · a: 1'"
    page.browser.wait_for(card, "identity and label")
    page.show("#/?filter=feed")
    page.browser.wait_for("return document.querySelectorAll('.device-row').length === 1", "the one device")
    assert page.text(".device-row .name") == f"Feed <b>pump\n{ODD}"
    page.service.names.clear()
    page.service.labels.clear()


def test_a_device_that_is_not_there_is_said(page: Page) -> None:
    page.show("#/device/nowhere")
    page.browser.wait(lambda: "unknown" in page.text("[role=alert]"), "the message")
    page.browser.run("document.querySelector('[role=alert] a').click()")
    page.browser.wait_for("return document.querySelector('.device-row') !== null", "the fleet")
    # The browser itself reports the 404 as an error of the console.
    assert all("404" in message for message in page.browser.console_errors())


def test_values_that_are_wrong_are_left_out_of_the_chart_and_put_back(page: Page) -> None:
    page.show_device(ODD)
    said = "document.querySelector('.chart .left-out').innerText"
    button = "[...document.querySelectorAll('.chart .tools button')].find((e) => e.innerText === 'Leave values out')"
    before = page.shown("points")
    page.browser.run(f"{button}.click()")
    page.browser.drag(".chart .u-over", 0.4, 0.6)
    leave = (
        "[...document.querySelectorAll('.chart .bulk button')].find((e) => e.innerText === 'Leave these values out')"
    )
    page.browser.wait_for(f"return {leave} !== undefined", "the question")
    page.browser.run(f"{leave}.click()")
    page.browser.wait_for(f"return {said} !== ''", "what is left out")
    excluded = page.service.acted[-1]
    assert isinstance(excluded, ExcludePoints)
    records = {record.metric: record.series for record in page.service.store.series() if record.device == ODD}
    series = records[excluded.metric]
    [(start, end, points)] = page.service.store.exclusions(series, None, None)
    assert (start, end) == (excluded.start, excluded.end)
    assert page.text(".chart .left-out") == f"{points} values left out"
    page.browser.wait(lambda: page.shown("points") == before - points, "the chart without them")
    assert page.text("#told").startswith(f"{points} values of {excluded.metric} left out")
    page.browser.run("document.querySelector('.chart .left-out button').click()")
    page.browser.wait_for("return document.querySelector('dialog') !== null", "the dialog")
    page.browser.run("document.querySelector('dialog form').requestSubmit()")
    page.browser.wait_for(f"return {said} === ''", "the values there again")
    assert page.service.store.exclusions(series, None, None) == []
    page.browser.wait(lambda: page.shown("points") == before, "the chart as before")
