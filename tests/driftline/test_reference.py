import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from detectors.detector_registry import DETECTORS, ROW_DETECTORS
from devices.codecs.codec_registry import CODECS
from driftline.cli.command_line import COMMANDS
from driftline.config import Config, parse_config
from driftline.config_errors import ConfigError
from driftline.reference.pages import ROOT, main, page_differences, write_pages
from driftline.reference.reference_settings import config_schema, sample_configuration


def test_the_generated_files_are_up_to_date() -> None:
    assert page_differences() == []


def test_a_difference_is_shown_and_writing_ends_it(tmp_path: Path) -> None:
    written = write_pages(tmp_path)
    assert "driftline.sample.toml" in written
    page = tmp_path / "docs" / "reference" / "cli.md"
    page.write_text(page.read_text().replace("# Commands", "# Orders"))
    (difference,) = page_differences(tmp_path)
    assert "-# Orders" in difference
    assert "+# Commands" in difference
    assert write_pages(tmp_path) == ["docs/reference/cli.md"]
    assert write_pages(tmp_path) == []


def test_check_alone_changes_nothing_and_succeeds(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--check"]) == 0
    assert capsys.readouterr().out == ""


def test_the_sample_is_the_defaults_commented_and_uncommented() -> None:
    sample = sample_configuration()
    assert parse_config(sample) == Config()
    # A setting stands behind "#", words behind "# ".
    open_sample = re.sub(r"^#(?=[a-z_\[])", "", sample, flags=re.MULTILINE)
    changed = parse_config(open_sample)
    *others, last = changed.routes
    assert last.metrics[0].detectors == []
    without_example = last.model_copy(update={"metrics": []})
    assert changed.model_copy(update={"routes": [*others, without_example]}) == Config()


def test_the_sample_names_every_setting() -> None:
    sample = sample_configuration()
    for section, info in Config.model_fields.items():
        model = type(getattr(Config(), section))
        for name in model.model_fields if issubclass(model, BaseModel) else ():
            assert re.search(rf"^# ?{name} (=|is not set)", sample, flags=re.MULTILINE), f"{section}.{name}"
        assert info.description


@pytest.mark.parametrize("text", [(ROOT / "docs" / "configuration.md").read_text(), (ROOT / "README.md").read_text()])
def test_the_examples_in_the_guides_are_valid(text: str) -> None:
    examples = re.findall(r"```toml\n(.*?)```", text, flags=re.DOTALL)
    assert examples
    for example in examples:
        parse_config(example)


def test_every_component_and_command_has_its_section() -> None:
    pages = {name: (ROOT / "docs" / "reference" / name).read_text() for name in ("detectors.md", "codecs.md", "cli.md")}
    for detector in (*DETECTORS, *ROW_DETECTORS):
        assert f"## `{detector.name}`" in pages["detectors.md"]
    for codec in CODECS:
        assert f"## `{codec.name}`" in pages["codecs.md"]
    for _, command, _ in COMMANDS:
        assert f"## `driftline {command.__name__}`" in pages["cli.md"]
        assert "Example: " in (command.__doc__ or "")


def _follow(schema: dict[str, Any], root: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in schema:
        schema = root["$defs"][schema["$ref"].rpartition("/")[2]]
    return schema


def test_the_schema_knows_the_parameters_of_each_detector_and_codec() -> None:
    schema = json.loads(json.dumps(config_schema()))
    detectors = {
        choice["properties"]["type"]["const"]: choice
        for choice in schema["properties"]["detectors"]["additionalProperties"]["oneOf"]
    }
    assert set(detectors) == {detector.name for detector in (*DETECTORS, *ROW_DETECTORS)}
    assert "half_life" in detectors["zscore"]["properties"]
    assert detectors["zscore"]["additionalProperties"] is False
    route = _follow(schema["properties"]["routes"]["items"], schema)
    tables, names = route["properties"]["codec"]["anyOf"]
    assert set(names["enum"]) == {codec.name for codec in CODECS}
    assert {choice["title"] for choice in tables["oneOf"]} == set(names["enum"])


def test_the_sample_is_toml_whose_sections_are_the_settings() -> None:
    assert set(tomllib.loads(sample_configuration())) <= set(Config.model_fields)
    with pytest.raises(ConfigError):
        parse_config(sample_configuration() + "\nwrong = 1\n")
