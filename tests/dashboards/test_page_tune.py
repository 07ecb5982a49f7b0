"""The tune page: stretches are marked with and without a mouse."""

from __future__ import annotations

import re

import pytest
from demo_service import SECOND
from shown_page import ODD, Page

pytestmark = pytest.mark.service("chromium", "chromedriver")


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


def test_without_a_device_one_is_chosen(page: Page) -> None:
    page.show("#/tune")
    link = f"[...document.querySelectorAll('main td a')].find((e) => e.innerText === '{ODD}')"
    page.browser.wait_for(f"return {link} !== undefined", "the devices")
    page.browser.run(f"{link}.click()")
    page.browser.wait_for("return document.querySelector('.verdict')?.innerText.length > 0", "the verdict")
    assert re.search(r" in the \d+ min that there are readings of; ", page.text(".verdict"))
