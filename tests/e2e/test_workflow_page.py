"""Workflows on the page: the guide's workflow begun, seen as a picture, approved by a click, and seen to its end."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from chromium_browser import Browser

GUIDE = (Path(__file__).resolve().parents[2] / "docs" / "workflows.md").read_text(encoding="utf-8")
CLICK = "[...document.querySelectorAll(arguments[0])].find((e) => e.innerText.trim() === arguments[1]).click()"
MARKS = "return Object.fromEntries([...document.querySelectorAll('.flow .state')].map((e) => Object.values(e.dataset)))"

CUT = "return [...document.querySelectorAll('main .scroll')].filter((e) => e.scrollWidth > e.clientWidth).length"
TOUCHING = """
const place = (e) => e.getBoundingClientRect();
const beside = (text, box) => Math.min(text.left - box.left, box.right - text.right);
const near = (e) => beside(place(e), place(e.parentNode.querySelector("rect"))) < 8;
return [...document.querySelectorAll(".flow .state > text")].filter(near).map((e) => e.textContent);
"""
"""Words on the picture that come near the edge of their box."""

pytestmark = [pytest.mark.service("chromium", "chromedriver"), pytest.mark.timeout(600)]

BRANCHES = {
    "StartAt": "Look",
    "States": {
        "Look": {"Type": "Pass", "Next": "Which"},
        "Which": {
            "Type": "Choice",
            "Choices": [{"Variable": "$.heat", "NumericGreaterThan": 90, "Next": "Both"}],
            "Default": "Rest",
        },
        "Rest": {"Type": "Wait", "Seconds": 60, "Next": "Look"},
        "Both": {
            "Type": "Parallel",
            "Branches": [
                {"StartAt": "Cool", "States": {"Cool": {"Type": "Pass", "End": True}}},
                {"StartAt": "Ask", "States": {"Ask": {"Type": "Task", "Resource": "driftline:approval", "End": True}}},
            ],
            "Catch": [{"ErrorEquals": ["Driftline.Refused"], "Next": "Broken"}],
            "End": True,
        },
        "Broken": {"Type": "Fail", "Error": "Broken", "Cause": "nobody cooled it"},
    },
}


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    opened = Browser(tmp_path, patience=180).open()
    yield opened
    opened.close()


def of_guide(kind: str) -> str:
    found: str = re.findall(rf"```{kind}\n(.*?)```", GUIDE, re.DOTALL)[0]
    return found


def texts(browser: Browser, selector: str) -> list[str]:
    every = "return [...document.querySelectorAll(arguments[0])].map((e) => e.innerText.replace(/\\s+/g, ' ').trim())"
    found: list[str] = browser.run(every, selector)
    return found


def test_a_run_is_begun_approved_and_seen_to_its_end(service: Any, browser: Browser) -> None:
    (service.folder / "repair.json").write_text(of_guide("json"))
    service.config.write_text(of_guide("toml").replace('"repair.json"', f'"{service.folder}/repair.json"'))
    (service.folder / "branches.json").write_text(json.dumps(BRANCHES))
    with service.config.open("a") as config:
        config.write(f'[[workflows]]\nname = "branches"\nfile = "{service.folder}/branches.json"\n')
    service.start()
    begin_a_run(browser, service)
    browser.wait(lambda: browser.run(MARKS).get("Ask") == "stands", "the run to ask")
    assert browser.run(MARKS) == {"Ask": "stands", "Note": "", "Done": "", "Leave it": ""}
    assert browser.run("return document.querySelector('.flow .stands .kind').textContent") == "waiting for approval"
    assert texts(browser, ".asked td") == ["question", "Order a repair?", "device", "pump-1", "why", "temp is 91 °C"]
    everyone_can_use_it(browser)

    browser.run(CLICK, ".asked button", "Approve")
    browser.run(
        "const form = document.querySelector('dialog form'); form.comment.value = 'it is loud'; form.requestSubmit()"
    )
    browser.wait(lambda: texts(browser, "#run .chip") == ["succeeded"], "the end")
    assert browser.run(MARKS) == {"Ask": "done", "Note": "done", "Done": "done", "Leave it": ""}
    run = texts(browser, "#run h2")[0].split(" ")[0]
    assert browser.run("return location.hash") == f"#/workflows/repair/{run}"
    steps = texts(browser, "#run tbody td:first-child")
    assert steps == [f"Ask {run}/Ask", f"Note {run}/Note"]
    assert service.query("select device from repairs") == [{"device": "pump-1"}]
    assert texts(browser, "#run tbody td:nth-child(3) .sub")[0] != "after 0 s"
    assert "it is loud" in texts(browser, "#run tbody td:last-child")[0]
    browser.go(f"{service.url}/#/workflows")
    browser.wait_for("return document.querySelectorAll('main tbody td').length === 12", "the list")
    assert texts(browser, "main tbody td")[:5] == ["repair", "alarm: open, critical", "0", "1", "0"]
    assert texts(browser, "main tbody td")[6:] == ["branches", "by hand", "0", "0", "0", "–"]
    see_a_branch_fail(browser, service)
    assert browser.console_errors() == []


def begin_a_run(browser: Browser, service: Any) -> None:
    browser.go(f"{service.url}/#/workflows/repair")
    browser.wait_for("return document.querySelectorAll('.flow .state').length === 4", "the definition")
    assert set(browser.run(MARKS).values()) == {""}
    browser.run(CLICK, ".bar button", "Start a run")
    write = "document.querySelector('dialog textarea').value = arguments[0];"
    submit = "document.querySelector('dialog form').requestSubmit()"
    browser.run(write + submit, '{"device": pump-1}')
    browser.wait(lambda: "The input is not JSON" in texts(browser, "dialog [role=alert]")[0], "the refusal")
    browser.run(write + submit, '{"device": "pump-1", "reason": "temp is 91 °C"}')


def see_a_branch_fail(browser: Browser, service: Any) -> None:
    begun = httpx.post(f"{service.url}/api/v1/workflows/branches/runs", json={"heat": 95}, timeout=240).json()["run"]
    browser.go(f"{service.url}/#/workflows/branches/{begun}")
    browser.wait(lambda: browser.run(MARKS).get("Both[1]/Ask") == "stands", "the branch to ask")
    passed = {"Look": "done", "Which": "done", "Rest": "", "Both[0]/Cool": ""}
    assert browser.run(MARKS) == {**passed, "Both": "stands", "Both[1]/Ask": "stands", "Broken": ""}
    browser.run(CLICK, ".asked button", "Refuse")
    browser.run("document.querySelector('dialog form').requestSubmit()")
    browser.wait(lambda: texts(browser, "#run .chip") == ["failed"], "the failure")
    assert browser.run(MARKS) == {**passed, "Both": "caught", "Both[1]/Ask": "caught", "Broken": "failed"}
    assert "Broken: Broken: nobody cooled it" in texts(browser, "#run .pad .bad")
    labels = browser.run("return [...document.querySelectorAll('.flow .label')].map((e) => e.lastChild.textContent)")
    assert sorted(labels) == ["Refused", "heat > 90", "otherwise"]


def everyone_can_use_it(browser: Browser) -> None:
    for theme in ("dark", "light"):
        browser.run("document.documentElement.dataset.theme = arguments[0]", theme)
        assert browser.accessibility_violations() == []
    browser.be_phone(390, 844)
    assert browser.run("return document.documentElement.scrollWidth") == 390
    assert browser.run(CUT) == 0
    browser.be_window()
    browser.resize(1280, 900)
    assert browser.run(CUT) == 0
    browser.resize(1440, 900)
    assert browser.run(TOUCHING) == []
