"""Makes the guides' pictures from the real product: `make pictures`.

The page's pictures are screenshots of `driftline up --demo`, taken once it has alarms; the dashboards' are drawn from a
simulated plant in VictoriaMetrics; those of the faults from plants that the score card knows. With names of groups only
those are made: `make pictures ARGS=faults`. The manifest beside them holds a digest of what each group of pictures
shows, so that a test can tell when they are out of date.
"""

from __future__ import annotations

import hashlib
import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
from chromium_browser import Browser
from draw_dashboards import main as draw_dashboards
from draw_faults import main as draw_faults

ROOT = Path(__file__).resolve().parents[2]
IMAGES = ROOT / "docs" / "images"
MANIFEST = IMAGES / "manifest.json"
SOURCES = {
    "page": ("dashboards/web/*", "dashboards/web/js/*"),
    "dashboards": ("dashboards/*.py", "dashboards/panels/*.py"),
    "faults": ("firmware-sim/firmware_sim/fault_kinds/*.py", "firmware-sim/firmware_sim/worlds/*.py"),
}
"""What the pictures of each group are made of."""

PAGES = ("page.png", "device.png", "alarms.png", "pipeline.png")
_START_WITHIN = 900.0
_ALARMS_WITHIN = 900.0


def digest(group: str, root: Path = ROOT) -> str:
    """One digest of the group's sources: names and contents."""
    found = hashlib.sha256()
    for path in sorted(path for pattern in SOURCES[group] for path in root.glob(pattern) if path.is_file()):
        found.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return found.hexdigest()


@contextmanager
def service(folder: Path) -> Iterator[str]:
    """The address of the page of a service with the simulated fleet."""
    command = [sys.executable, "-m", "driftline", "up", "--demo", "--port", "0", "--data", str(folder / "var")]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
    try:
        announced = folder / "var" / "service.json"
        _wait(lambda: announced.is_file() or process.poll() is not None, _START_WITHIN, "the service's start")
        yield str(json.loads(announced.read_text())["url"]).rstrip("/")
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)


def _wait(condition: Any, within: float, what: str) -> Any:
    end = time.monotonic() + within
    while not (found := condition()):
        if time.monotonic() > end:
            raise SystemExit(f"pictures: {what} did not come about within {within:g} s")
        time.sleep(1.0)
    return found


def _device_to_show(url: str) -> str:
    """The device of the newest alarm, waited for: its charts show something."""

    def found() -> str:
        reply = httpx.get(f"{url}/api/v1/alarms", timeout=60)
        alarms = reply.json()["alarms"] if reply.is_success else []
        return str(max(alarms, key=lambda each: each["opened"])["device"]) if alarms else ""

    return str(_wait(found, _ALARMS_WITHIN, "an alarm"))


def take_page_pictures(url: str, folder: Path) -> None:
    """Write the screenshots of a running service's page; `folder` is the browser's own."""
    views = ("", f"device/{quote(_device_to_show(url), safe='')}", "alarms", "pipeline")
    browser = Browser(folder, patience=60).open()
    try:
        for name, view in zip(PAGES, views, strict=True):
            browser.go("about:blank")
            browser.go(f"{url}/#/{view}")
            browser.wait_for("return !document.querySelector('#loading')", f"the view {view or 'fleet'}")
            time.sleep(5.0)  # The live feed fills charts and counts.
            browser.screenshot(IMAGES / name)
            print(IMAGES / name)
    finally:
        browser.close()


def main(groups: Sequence[str]) -> None:
    """Make the pictures of these groups, or all, and note what they were made of."""
    if wrong := set(groups) - SOURCES.keys():
        raise SystemExit(f"pictures: unknown group {min(wrong)!r} (known: {', '.join(SOURCES)})")
    wanted = list(groups or SOURCES)
    if "page" in wanted:
        with tempfile.TemporaryDirectory() as place, service(Path(place)) as url:
            take_page_pictures(url, Path(place))
    if "dashboards" in wanted:
        draw_dashboards(IMAGES / "dashboards")
    if "faults" in wanted:
        draw_faults(IMAGES / "faults", ROOT / "docs" / "faults.md")
    made = json.loads(MANIFEST.read_text()) | {group: digest(group) for group in wanted}
    MANIFEST.write_text(json.dumps(made, indent=2) + "\n")
    print(MANIFEST)


if __name__ == "__main__":
    main(sys.argv[1:])
