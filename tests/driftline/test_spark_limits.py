"""What does not run on Spark is told by `driftline check`, and before the application starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from driftline.cli.command_line import main
from driftline.cluster.result_tables import claim


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    assert main(["spark", "submit", "--checkpoint", "unused", *arguments]) == 2
    return capsys.readouterr().err.splitlines()


def test_what_cannot_run_on_spark_is_named_before_anything_starts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "driftline.toml"
    config.write_text(
        '[alarm]\nbudget = "2 per site per day"\n\n[kafka]\nsecurity = "ssl"\n\n'
        '[[notices]]\nname = "shift"\nkind = "mqtt"\ntopic = "plant/notices"\n'
    )
    named = [
        "driftline: notices: shift: notices are sent by the service alone: this does not run on Spark",
        'driftline: alarm.budget: "2 per site per day" is shared by devices of several shards; expected one '
        '"per sensor" or "per device": this does not run on Spark',
        'driftline: kafka.security: "ssl": the application connects without signing in or certificates: '
        "this does not run on Spark",
    ]
    assert main(["check", str(config), "--for", "spark"]) == 2
    assert capsys.readouterr().err.splitlines() == named
    assert refusal(capsys, "--config", str(config)) == [
        *named,
        "driftline: results would go nowhere: expected [[sinks]] in the configuration, or --results FOLDER",
    ]


def test_results_of_another_checkpoint_stay_as_they_are(tmp_path: Path) -> None:
    folder = tmp_path / "results"
    assert claim(folder, "first") == claim(folder, "first") == ""
    assert claim(folder, "second") == (
        f"{folder} holds the results of the checkpoint first: expected a folder of its own for second"
    )
