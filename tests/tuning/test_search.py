import json
import tomllib
from pathlib import Path

import numpy as np
import pytest

from detectors.detector_registry import DETECTORS, find
from driftline.config import parse_config
from ingest.ingest_settings import ComponentSettings
from tuning.backtest import Plan
from tuning.recordings import RecordingError
from tuning.search import Example, as_toml, candidates, read_windows, search, windows_for
from tuning.synthetic import times, with_faults


@pytest.mark.parametrize("kind", [kind.name for kind in DETECTORS])
def test_every_candidate_is_within_the_declared_bounds(kind: str) -> None:
    settings = ComponentSettings.model_validate({"type": kind, **next(iter(find(kind).examples()))})
    try:
        found = candidates(settings, 30, seed=1)
    except ValueError as error:
        assert "no parameter that can be searched" in str(error)
        assert kind == "physical_range"
        return
    assert len(found) == 30
    for parameters in found:
        find(kind).Parameters.model_validate(parameters)
        assert parameters.get("seed") == settings.parameters.get("seed")


def test_candidates_vary_what_is_named_and_keep_the_rest() -> None:
    found = candidates(ComponentSettings(type="zscore", warmup=77), 20, seed=1, only=["half_life"])
    assert {parameters["warmup"] for parameters in found} == {77}
    assert len({parameters["half_life"] for parameters in found}) > 10
    assert found == candidates(ComponentSettings(type="zscore", warmup=77), 20, seed=1, only=["half_life"])
    with pytest.raises(ValueError, match="no parameter 'half_live'; expected one of: "):
        candidates(ComponentSettings(type="zscore"), 2, seed=1, only=["half_live"])


def test_the_search_finds_better_parameters_than_useless_ones_and_scores_held_out_files() -> None:
    examples = []
    for seed in range(4):
        series = with_faults("stationary", seed, rows=2500)
        examples.append(Example(series.name, ("value",), times(2500), series.value[:, None], series.windows))
    # A mean over two readings hardly sees a fault.
    plan = Plan(detectors={"mine": ComponentSettings(type="zscore", half_life=2)})
    found = search(plan, "mine", examples, trials=8, seed=0, only=["half_life"], workers=1)
    configured = next(trial for trial in found if trial.parameters == {"half_life": 2})
    assert len(found) == 8
    assert found[0].fitted == max(trial.fitted for trial in found) > configured.fitted
    assert np.isfinite(found[0].held_out)


def test_without_labels_the_aim_is_the_budget_and_one_file_leaves_nothing_to_hold_out() -> None:
    values = np.random.default_rng(2).normal(size=(6000, 1))
    plan = Plan(detectors={"mine": ComponentSettings(type="zscore")})
    found = search(plan, "mine", [Example("a", ("value",), times(6000), values)], trials=2, seed=0, workers=1)
    assert all(trial.fitted <= 0 for trial in found)
    assert np.isnan(found[0].held_out)


@pytest.mark.parametrize("name", ["labels.json", "labels.csv"])
def test_labels_are_rows_of_the_file_that_they_name(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    spans = [["2024-01-01 00:10:00", "2024-01-01 00:20:00"], ["2030-01-01", "2030-01-02"]]
    if name.endswith("json"):
        path.write_text(json.dumps({"plant/oven.csv": spans}))
    else:
        lines = "".join(f"plant/oven.csv,{start},{end}\n" for start, end in spans)
        path.write_text("file,start,end\n" + lines)
    labels = read_windows(path)
    assert windows_for(tmp_path / "plant" / "oven.csv", labels, times(60)) == [(10, 20)]
    with pytest.raises(RecordingError, match="the labels do not name it"):
        windows_for(tmp_path / "plant" / "pump.csv", labels, times(60))


@pytest.mark.parametrize("text", ["[1]", '{"a": [["x", "y"]]}', '{"a": 3}', "{"])
def test_labels_that_cannot_be_read_are_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "labels.json"
    path.write_text(text)
    with pytest.raises(RecordingError, match="not windows of faults"):
        read_windows(path)


def test_the_best_parameters_are_a_table_of_the_configuration() -> None:
    text = as_toml("slow", "zscore", {"half_life": 12.5, "warmup": 40, "variant": "robust"})
    assert tomllib.loads(text)["detectors"]["slow"]["warmup"] == 40
    assert parse_config(text).detectors["slow"].parameters["half_life"] == 12.5
