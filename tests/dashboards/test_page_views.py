"""The page's other views: pipeline, simulator, settings and the API's reference."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
from demo_service import SECOND, DemoSimulator
from firmware_sim.injection import Injection
from letters import letter
from shown_page import ODD, Page, plant_end

from devices.fault_labels import FaultLabel, Severity

pytestmark = pytest.mark.service("chromium", "chromedriver")


def test_a_dead_letter_is_tried_again_and_its_outcome_told(page: Page) -> None:
    page.service.step(dead_letters=[letter(150, time.time_ns(), "line/7", b"{", "no_value", "nothing to read")])
    page.show("#/pipeline")
    again = "return [...document.querySelectorAll('main button')].find((e) => e.innerText === arguments[0])"
    word = "Try 1 no value again"
    page.browser.wait(lambda: page.browser.run(f"{again} !== undefined", word), "the button")
    page.browser.run(f"{again}.click()", word)
    page.browser.wait(lambda: page.text("#told") == "1 of 1 message taken now", "the outcome")
    page.browser.wait(lambda: "line/7" not in page.text("main"), "the letter to be gone")


def test_the_configuration_is_checked_while_typed_and_applied_after_a_look(page: Page) -> None:
    page.show("#/settings?tab=configuration")
    page.browser.wait_for("return document.querySelector('#config-text') !== null", "the editor")
    write = (
        "const e = document.querySelector('#config-text'); e.value = arguments[0];"
        "e.dispatchEvent(new Event('input', { bubbles: true }));"
    )
    page.browser.run(write, '[alarm]\nbudget = "often"\n')
    page.browser.wait(lambda: 'got "often"' in page.text("#config-said"), "what is wrong")
    assert page.browser.run("return document.querySelector('.tuning .primary').disabled")
    page.browser.run(write, '[alarm]\nbudget = "1 per sensor per month"\n')
    page.browser.wait_for("return !document.querySelector('.tuning .primary').disabled", "the way on")
    page.browser.run("document.querySelector('.tuning .primary').click()")
    page.browser.wait(lambda: '+budget = "1 per sensor per month"' in page.text("dialog .diff"), "the difference")
    assert not page.service.config_path.exists()
    page.browser.run("document.querySelector('dialog [type=submit]').click()")
    page.browser.wait(page.service.config_path.exists, "the file")
    assert page.service.config_path.read_text() == '[alarm]\nbudget = "1 per sensor per month"\n'
    page.service.config_path.unlink()


def test_a_channel_is_made_on_the_page_and_its_secret_not_shown(page: Page) -> None:
    page.show("#/settings")
    page.browser.wait(lambda: "Nobody is told of alarms yet" in page.text("main"), "no channel")
    page.browser.run("[...document.querySelectorAll('button')].find((e) => e.innerText === 'Add a channel').click()")
    page.browser.run(
        "const form = document.querySelector('dialog form'); form.name.value = 'bus';"
        "form.kind.value = 'mqtt'; form.kind.dispatchEvent(new Event('change', { bubbles: true }));"
    )
    asked = "return [...document.querySelectorAll('dialog label:not([hidden]) > span')].map((e) => e.innerText)"
    assert page.browser.run(asked) == ["Name", "Kind", "Devices", "Only alarms at least", "Tell"]
    page.browser.run(
        "const form = document.querySelector('dialog form'); form.secret.value = 'hush'; form.requestSubmit()"
    )
    page.browser.wait(lambda: page.published, "the test message")
    assert page.published[0][0] == "driftline/notices"
    page.browser.wait(lambda: "all devices" in page.text("main"), "the channel")
    assert "hush" not in page.browser.run("return document.documentElement.outerHTML")
    page.browser.wait_for("return document.querySelector('dialog') === null", "the dialog to close")
    page.browser.run("[...document.querySelectorAll('button')].find((e) => e.innerText === 'Remove').click()")
    page.browser.run("document.querySelector('dialog form').requestSubmit()")
    page.browser.wait(lambda: "Nobody is told of alarms yet" in page.text("main"), "no channel again")


def test_the_api_s_reference_works_without_another_host(page: Page) -> None:
    page.show("docs")
    page.browser.wait(lambda: "/api/v1/points.csv" in page.text("main"), "the reference")


def test_the_pipeline_closes_its_sums_and_shows_dead_letters(page: Page) -> None:
    page.show("#/pipeline")
    page.browser.wait_for("return document.querySelectorAll('.rates canvas').length === 1", "the rates")
    assert "the sum closes" in page.text(".ledger")
    assert "none" in page.text(".ledger .upstream")
    whole = page.service.counted
    try:
        page.service.counted = replace(whole, received=whole.received + 3_000, dropped={"state": 3_000})
        meaning = "kept as the device's states and shown on its page. Nothing to do."
        page.browser.wait(lambda: meaning in page.text(".ledger"), "what is meant by what was dropped")
        page.service.counted = replace(whole, received=whole.received + 12, upstream_dropped=2_900)
        page.browser.wait(lambda: "12 unaccounted for" in page.text(".ledger"), "a sum that does not close")
        assert "2,900" in page.text(".ledger .upstream")
        assert "loss upstream" in page.text(".ledger .upstream")
    finally:
        page.service.counted = whole
    page.browser.wait(lambda: "the sum closes" in page.text(".ledger"), "a sum that closes")
    assert page.browser.run("return document.querySelectorAll('.stage').length") == 4
    page.browser.wait_for("return document.body.innerText.includes('Payload')", "dead letters")


def test_a_fault_begins_at_a_click_and_the_simulator_shows_what_was_found(page: Page) -> None:
    last = plant_end(page.service)
    found = min(page.service.store.alarms(limit=1_000), key=lambda alarm: alarm.opened)
    series = {record.series: record for record in page.service.store.series()}[found.series]
    labels = [
        FaultLabel(
            series.device,
            series.metric,
            "drift",
            found.opened - SECOND,
            found.opened + 60 * SECOND,
            Severity.MAJOR,
            "a",
        ),
        FaultLabel(ODD, "pressure", "spike", last - 60 * SECOND, last - 30 * SECOND, Severity.MINOR, "b"),
    ]
    page.service.simulator = simulator = DemoSimulator(ODD, labels)
    try:
        page.show("#/simulator")
        page.browser.wait_for("return document.querySelector('.inject')", "the form")
        rows = page.browser.run(
            "return [...document.querySelectorAll('main tbody')][0].innerText.split('\\n').map((s) => s.trim())"
        )
        assert (rows.count("found"), rows.count("missed")) == (1, 1)
        assert "2 so far" in page.text(".tiles")
        assert "50 %" in page.text(".tiles")
        choose = (
            "const e = document.querySelector(`.inject select[name=${arguments[0]}]`);"
            "e.value = arguments[1]; e.dispatchEvent(new Event('change'));"
        )
        page.browser.run(choose, "fault", "silent death")
        assert page.text(".inject select[name=metric]").strip() == "the whole device"
        page.browser.run(choose, "fault", "coolant loss")
        assert page.text(".inject select[name=metric]").strip() == "what it reaches"
        page.browser.run(choose, "fault", "stuck")
        page.browser.run(choose, "metric", "vibration")
        page.browser.run(choose, "seconds", "600")
        page.browser.run("document.querySelector('.inject button').click()")
        answer = f"It has begun: {ODD} vibration: stuck until 2026-03-01T12:02:00.000Z."
        page.browser.wait(lambda: page.text(".inject ~ p") == answer, "the simulator's answer")
        assert simulator.asked == [Injection(ODD, "stuck", "vibration", 600.0, 10.0)]
    finally:
        page.service.simulator = None
