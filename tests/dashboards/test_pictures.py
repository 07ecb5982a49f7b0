"""The guides' pictures show the product as it is: made again by `make pictures` when what they show has changed."""

import json
import re
from pathlib import Path

import pytest
from firmware_sim.fault_kinds import FAULT_KINDS
from firmware_sim.worlds import WORLDS
from make_pictures import IMAGES, MANIFEST, PAGES, ROOT, SOURCES, digest


@pytest.mark.parametrize("group", SOURCES)
def test_the_pictures_are_of_the_sources_as_they_are(group: str) -> None:
    assert json.loads(MANIFEST.read_text())[group] == digest(group), "what they show has changed: run `make pictures`"


def test_every_picture_of_the_page_is_there_and_shown_in_a_guide() -> None:
    guides = "".join(path.read_text(encoding="utf-8") for path in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
    for name in PAGES:
        assert (IMAGES / name).read_bytes().startswith(b"\x89PNG")
        assert f"images/{name})" in guides


def test_every_kind_of_fault_has_its_picture_and_says_what_was_said_of_it() -> None:
    page = (ROOT / "docs" / "faults.md").read_text(encoding="utf-8")
    shown = re.findall(r"^!\[.*\]\(images/faults/(.*)\)\n\n(.+)$", page, re.MULTILINE)
    assert {name for name, _ in shown} == {path.name for path in (IMAGES / "faults").iterdir()}
    kinds = {kind.name for kind in FAULT_KINDS} | {kind.name for world in WORLDS for kind in world.plant_faults}
    titles = {title.lower() for title in re.findall(r"^## (.+)$", page, re.MULTILINE)}
    assert kinds - titles == set()
    assert len(shown) == len(titles)
    assert all(re.search(r"an alarm after|called silent|no alarm|silent|raised an alarm", said) for _, said in shown)


def test_a_change_of_a_source_changes_the_digest(tmp_path: Path) -> None:
    scripts = tmp_path / "dashboards" / "web" / "js"
    scripts.mkdir(parents=True)
    (scripts / "main.js").write_text("let a = 1;\n")
    before = digest("page", tmp_path)
    (scripts / "main.js").write_text("let a = 2;\n")
    assert digest("page", tmp_path) != before
