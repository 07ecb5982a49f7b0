from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from chromium_browser import Browser
from demo_service import SECOND, DemoService, DemoSimulator, continue_plant, fill_with_plant
from firmware_sim.injection import Injection
from letters import letter

from alerts.notices.notifier import Notifier
from alerts.notices.outbox import Outbox
from dashboards.web_files import WEB_FOLDER, load_web_files
from devices.fault_labels import FaultLabel, Severity
from devices.records import AlarmRecord, AlarmState
from driftline.access.accounts import AccountBook
from driftline.access.gate import Gate
from driftline.access.identity import Role
from driftline.http.app import create_app
from driftline.http.http_settings import HttpSettings
from driftline.http.server import HttpServer

HOSTILE = "<img src=x onerror=window.hacked=1>"
ODD = "plant/hall-1/compressor-01"
WARMING = "plant/hall-2/pump-20"
DEVICES = 150

pytestmark = pytest.mark.service("chromium", "chromedriver")


@dataclass
class Page:
    """The page in a browser, over a service that the test moves on."""

    browser: Browser
    service: DemoService
    url: str
    plant: list
    accounts: AccountBook
    published: list[tuple[str, bytes]]
    ticks: int = 0

    def show(self, route: str) -> None:
        self.browser.go("about:blank")
        self.browser.go(f"{self.url}/{route}")

    def tick(self) -> None:
        self.ticks += 1
        continue_plant(self.service, self.plant, self.ticks)

    def text(self, selector: str) -> str:
        return self.browser.run("return document.querySelector(arguments[0])?.innerText ?? ''", selector)

    def show_device(self, device: str) -> None:
        self.browser.go("about:blank")
        self.browser.go(f"{self.url}/#/device/{device.replace('/', '%2F')}")
        self.browser.wait_for("return document.querySelector('.chart')?.dataset.points > 1", f"the charts of {device}")

    def shown(self, name: str) -> float:
        """A number that the first chart says of itself: points, anomalies, from, to."""
        return float(self.browser.run("return document.querySelector('.chart').dataset[arguments[0]]", name))

    def width(self) -> float:
        return self.shown("to") - self.shown("from")


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    folder = tmp_path_factory.mktemp("page")
    service = DemoService(folder / "store.duckdb")
    plant = fill_with_plant(service, devices=DEVICES, points=400, names=[HOSTILE])
    rejected = letter(99, time.time_ns(), HOSTILE, HOSTILE.encode(), "malformed", HOSTILE)
    alarm = AlarmRecord(900, 0, AlarmState.OPEN, plant_end(service), None, "warning", 6, 1.0, 2.0, f"odd {HOSTILE}")
    service.step(dead_letters=[rejected], alarms=[alarm])
    settings = HttpSettings(port=0)
    accounts = AccountBook(folder / "accounts.db").open()
    outbox = Outbox(folder / "notices.db").open()
    published: list[tuple[str, bytes]] = []
    service.notifier = Notifier(outbox, [], clock=time.time_ns, publish=lambda *sent: published.append(sent))
    server = HttpServer(create_app(service, settings, Gate(settings, accounts)), settings)
    browser = Browser(folder)
    try:
        server.start()
        yield Page(browser.open(), service, server.url, plant, accounts, published)
    finally:
        browser.close()
        server.stop()
        service.close()
        accounts.close()
        outbox.close()


def plant_end(service: DemoService) -> int:
    return max(state.last_event or 0 for state in service.device_states()) - 60 * SECOND


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


PIXELS = """
const canvas = document.querySelector(arguments[0]);
const [r, g, b] = arguments[1];
const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
let found = 0;
for (let i = 0; i < data.length; i += 4)
  if (data[i + 3] > 200 && Math.hypot(data[i] - r, data[i + 1] - g, data[i + 2] - b) < 40) found += 1;
return found;
"""
BLUE, RED = [92, 182, 255], [255, 90, 95]


def test_the_fleet_shows_those_in_trouble_first_with_values_and_sparklines(page: Page) -> None:
    page.show("#/")
    page.browser.wait_for("return document.querySelectorAll('.cell .value small').length > 10", "values")
    states = page.browser.run("return [...document.querySelectorAll('.device-row .chip')].map((e) => e.innerText)")
    order = {"Alarm": 0, "Silent": 1, "Unusual": 2, "Warming up": 3, "Normal": 4}
    assert states[0] == "Alarm"
    assert [order[state] for state in states] == sorted(order[state] for state in states)
    page.browser.wait(lambda: page.browser.run(PIXELS, ".device-row .cell canvas", BLUE) > 20, "a line of values")
    assert f"{DEVICES}" in page.text(".tiles")


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


def test_a_stretch_is_marked_on_the_tune_page_and_counts_in_the_verdict(page: Page) -> None:
    page.show(f"#/tune/{ODD.replace('/', '%2F')}")
    drawn = "return document.querySelectorAll('.tune-plot').length === document.querySelectorAll('.u-over').length"
    page.browser.wait_for(f"{drawn} && document.querySelector('.u-over') !== null", "the plots")
    page.browser.drag(".tune-plot .u-over", 0.2, 0.4)
    page.browser.wait_for("return !document.querySelector('.strip-row .bulk').hidden", "the question")
    page.browser.run("document.querySelector('.strip-row .bulk button').click()")
    page.browser.wait_for("return document.querySelector('.verdict').innerText.includes('marked real')", "the verdict")
    assert re.search(r"[01] of 1 marked real among them", page.text(".verdict"))
    assert page.browser.run("return document.querySelector('.strip-row').dataset.marked") == "1"
    (mark,) = page.service.marked_stretches(ODD)
    assert (mark.mark, mark.by) == ("fault", "local")


def test_a_stretch_is_marked_without_a_mouse(page: Page) -> None:
    page.show(f"#/tune/{ODD.replace('/', '%2F')}")
    button = "[...document.querySelectorAll('.strip-row h2 button')]"
    page.browser.wait_for(f"return {button}.length > 0 && document.querySelector('.u-over') !== null", "the button")
    before = len(page.service.marked_stretches(ODD))
    page.browser.run(f"{button}.at(-1).click()")
    page.browser.run(
        "const form = document.querySelector('dialog form'); form.mark.value = 'normal';"
        "form.from.value = '2026-03-01T10:00:00'; form.to.value = '2026-03-01T11:30:00'; form.requestSubmit()"
    )
    page.browser.wait(lambda: len(page.service.marked_stretches(ODD)) == before + 1, "the mark")
    mark = page.service.marked_stretches(ODD)[0]
    assert (mark.mark, mark.end - mark.start) == ("normal", 5400 * SECOND)
    page.browser.wait_for("return document.querySelector('dialog') === null", "the dialog to close")


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


def test_live_points_reach_the_fleet(page: Page) -> None:
    page.show("#/")
    page.browser.wait_for("return document.querySelectorAll('.cell .value small').length > 10", "values")
    page.browser.wait(lambda: page.service.feed.listening, "the live feed")
    before = page.text(".device-row .cell .value")
    page.tick()
    page.browser.wait(lambda: page.text(".device-row .cell .value") != before, "a new value")


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
    before = len(page.service.acted)
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


def test_a_chart_shows_no_line_of_an_alarm_outside_its_time(page: Page) -> None:
    newest = plant_end(page.service)
    page.show(f"#/device/{ODD.replace('/', '%2F')}?from={newest - 1500 * SECOND}&to={newest - 1400 * SECOND}")
    page.browser.wait_for("return document.querySelector('.chart')?.dataset.points > 1", "charts")
    assert page.browser.run(PIXELS, ".chart .uplot canvas", RED) == 0


def test_figures_say_what_a_person_can_deal_with(page: Page) -> None:
    page.show("#/figures")
    page.browser.wait(lambda: "up to 6 acceptable, 12 manageable" in page.text(".tiles"), "the figures")
    page.browser.wait_for("return document.querySelectorAll('.hours i').length === 168", "a bar an hour of seven days")


def test_a_channel_is_made_on_the_page_and_its_secret_not_shown(page: Page) -> None:
    page.show("#/settings")
    page.browser.wait(lambda: "Nobody is told of alarms yet" in page.text("main"), "no channel")
    page.browser.run("[...document.querySelectorAll('button')].find((e) => e.innerText === 'Add a channel').click()")
    page.browser.run(
        "const form = document.querySelector('dialog form'); form.name.value = 'bus';"
        "form.kind.value = 'mqtt'; form.secret.value = 'hush'; form.requestSubmit()"
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
        assert "0.50" in page.text(".tiles")
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


@pytest.mark.parametrize(
    "route",
    [
        *("#/", "#/alarms?state=all", "#/pipeline", "#/figures"),
        *(f"#/{view}/%3Cimg%20src%3Dx%20onerror%3Dwindow.hacked%3D1%3E" for view in ("device", "tune")),
    ],
)
def test_names_from_the_network_stay_text(page: Page, route: str) -> None:
    page.show(route)
    page.browser.wait(lambda: HOSTILE in page.text("main"), "the hostile name")
    assert page.browser.run("return document.querySelectorAll('main img').length") == 0


@pytest.mark.parametrize("theme", ["dark", "light"])
@pytest.mark.parametrize(
    "route", ["", "alarms?state=all", "tune", "figures", "pipeline", "simulator", "settings", "help", "api", "device"]
)
def test_everyone_can_use_it(page: Page, route: str, theme: str) -> None:
    if route == "device":
        page.show_device(ODD)
    else:
        page.show(f"#/{route.replace('tune', 'tune/' + ODD.replace('/', '%2F'))}")
        page.browser.wait_for("return document.querySelector('main h1') !== null", "the view")
    page.browser.run("document.documentElement.dataset.theme = arguments[0]", theme)
    page.browser.run("dispatchEvent(new Event('driftline-theme'))")
    assert page.browser.accessibility_violations() == []


def test_the_theme_is_chosen_and_kept(page: Page) -> None:
    page.show("#/")
    theme = "return document.documentElement.dataset.theme"
    before = page.browser.run(theme)
    page.browser.run("document.getElementById('theme').click()")
    after = page.browser.run(theme)
    assert {before, after} == {"dark", "light"}
    page.show("#/")
    assert page.browser.run(theme) == after
    page.browser.run("document.getElementById('theme').click()")


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
    # The browser itself reports the 404 as an error of the console.
    assert all("404" in message for message in page.browser.console_errors())


def test_someone_signs_in_and_out(page: Page) -> None:
    page.accounts.add_user("ann", Role.ADMIN, "a long enough password")
    try:
        page.show("#/alarms")
        page.browser.wait_for("return document.querySelector('.sign-in') !== null", "the sign-in")
        sign_in = (
            "const [name, password] = document.querySelectorAll('.sign-in input');"
            "name.value = 'ann'; password.value = arguments[0]; document.querySelector('.sign-in').requestSubmit()"
        )
        page.browser.run(sign_in, "a wrong password")
        page.browser.wait(lambda: page.text("[role=alert]") == "name or password is wrong", "the refusal")
        page.browser.run(sign_in, "a long enough password")
        page.browser.wait_for("return document.querySelectorAll('tbody tr').length > 0", "the alarms")
        assert page.text("#me").split("\n")[0] == "ann"
        page.browser.run("document.querySelector('#me button').click()")
        page.browser.wait_for("return document.querySelector('.sign-in') !== null", "the sign-in again")
    finally:
        page.accounts.remove_user("ann")
        page.show("#/")
    # The browser itself reports each 401 as an error of the console.
    assert all("401" in message for message in page.browser.console_errors())


def test_the_page_names_no_other_host() -> None:
    for name, file in load_web_files().items():
        if not name.startswith("vendor/"):
            text = file.content.decode().replace("http://www.w3.org/2000/svg", "")
            assert not re.search(r"(https?|wss?)://\w", text), name


def test_tags_follow_the_content(tmp_path: Path) -> None:
    (tmp_path / "a.js").write_text("1")
    (tmp_path / "b.txt").write_text("left out")
    before = load_web_files(tmp_path)
    (tmp_path / "a.js").write_text("2")
    after = load_web_files(tmp_path)
    assert list(before) == ["a.js"]
    assert before["a.js"].etag != after["a.js"].etag
    assert (WEB_FOLDER / "vendor" / "uPlot.LICENSE").is_file()
