"""The guides' pictures show the product as it is: made again by `make pictures` when what they show has changed."""

import json
from pathlib import Path

import pytest
from make_pictures import IMAGES, MANIFEST, PAGES, ROOT, SOURCES, digest


@pytest.mark.parametrize("group", SOURCES)
def test_the_pictures_are_of_the_sources_as_they_are(group: str) -> None:
    assert json.loads(MANIFEST.read_text())[group] == digest(group), "what they show has changed: run `make pictures`"


def test_every_picture_of_the_page_is_there_and_shown_in_a_guide() -> None:
    guides = "".join(path.read_text(encoding="utf-8") for path in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
    for name in PAGES:
        assert (IMAGES / name).read_bytes().startswith(b"\x89PNG")
        assert f"images/{name})" in guides


def test_a_change_of_a_source_changes_the_digest(tmp_path: Path) -> None:
    scripts = tmp_path / "dashboards" / "web" / "js"
    scripts.mkdir(parents=True)
    (scripts / "main.js").write_text("let a = 1;\n")
    before = digest("page", tmp_path)
    (scripts / "main.js").write_text("let a = 2;\n")
    assert digest("page", tmp_path) != before
