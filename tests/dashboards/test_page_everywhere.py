"""What holds on every view of the page: hostile names, accessibility, theme, signing in, no other host."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from shown_page import HOSTILE, ODD, Page

from dashboards.web_files import WEB_FOLDER, load_web_files
from driftline.access.identity import Role

WHOLE = """
const place = document.getElementById("ticker").getBoundingClientRect();
const inside = (r) => r.top >= place.top && r.bottom <= place.bottom;
const found = [...document.querySelectorAll("#ticker > div")].filter((e) => inside(e.getBoundingClientRect()));
if (found.some((e) => e.getBoundingClientRect().left < place.left)) return "cut";
return found.map((e) => e.querySelector("span").innerText);
"""
"""The counts in the header that are in sight."""

pytestmark = pytest.mark.service("chromium", "chromedriver")


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
    "route",
    [
        *("", "alarms?state=all", "tune", "figures", "pipeline", "simulator", "workflows", "traces"),
        *("settings", "help", "api", "device"),
    ],
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


def test_nothing_is_wider_than_a_phone(page: Page) -> None:
    page.browser.be_phone(390, 844)
    try:
        tune = f"tune/{ODD.replace('/', '%2F')}"
        others = ("settings?tab=people", "functions", "workflows", "traces", "help", tune)
        wide = {}
        for view in ("", "alarms?state=all", "figures", "pipeline", *others):
            page.show(f"#/{view}")
            page.browser.wait_for("return document.querySelector('main h1') !== null", "the view")
            wide[view] = page.browser.run("return document.documentElement.scrollWidth")
        assert set(wide.values()) == {390}, wide
    finally:
        page.browser.be_window()


def test_the_header_shows_each_count_whole_or_not_at_all(page: Page) -> None:
    try:
        shown = {}
        for width in (1024, 1280, 1440, 1720):
            page.browser.resize(width, 800)
            page.show("#/help")
            page.browser.wait_for("return document.querySelector('#alarm-badge:not([hidden])') !== null", "the counts")
            page.browser.run("for (const e of document.querySelectorAll('nav a')) e.hidden = false")
            assert page.browser.run("return document.documentElement.scrollWidth") == width
            shown[width] = page.browser.run(WHOLE)
        counts = ["lag", "messages/s", "rejected", "points/s", "anomalies"]
        assert all(found == counts[: len(found)] for found in shown.values()), shown
        assert (len(shown[1280]) >= 1, len(shown[1720])) == (True, 5), shown
        assert page.text("#alarm-badge") == f"{page.service.counts().open_alarms} open"
        assert "not cleared yet" in page.browser.run("return document.getElementById('alarm-badge').title")
    finally:
        page.browser.resize(1440, 900)


def test_a_view_that_is_asked_for_while_nobody_answers_is_shown_once_somebody_does(page: Page) -> None:
    page.show("#/help")
    page.browser.wait(lambda: page.text("main h1") == "Help", "the page")
    try:
        page.browser.cut_off(True)
        page.browser.run("location.hash = '#/figures'")
        page.browser.wait(lambda: "Driftline does not answer" in page.text("main [role=alert]"), "what is wrong")
        page.browser.wait(lambda: page.text("#health") == "not reachable", "the health")
        assert page.text(".offline") == "Driftline does not answer; trying again"
    finally:
        page.browser.cut_off(False)
    page.browser.wait(lambda: page.text("main h1") == "Figures", "the view")
    assert page.browser.run("return document.querySelector('.offline')") is None
    # The browser itself reports each request that did not come through as an error of the console.
    assert all("net::ERR" in message for message in page.browser.console_errors())


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
