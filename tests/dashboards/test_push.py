"""The push to a Grafana: what it makes, what it leaves alone, and that doing it twice changes nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest
from grafana_contract import TOKEN, GrafanaState, running_grafana

from dashboards.building import Json, all_built
from dashboards.grafana_client import ConflictError, Grafana, GrafanaError
from dashboards.grafana_units import SIMULATED
from dashboards.panels import BOARDS
from dashboards.pushing import Change, differences, fingerprint, planned, push
from dashboards.sources import source_named
from driftline.cli.command_line import main
from storage.external import sink_registry
from storage.external.sink_registry import SINKS, VictoriaKind

BUILT = all_built(source_named("victoriametrics"), units=SIMULATED, page_url="http://127.0.0.1:8000/")
DATA_SOURCE = dict(source_named("victoriametrics").settings("http://127.0.0.1:8428", org="o", bucket="b"))
UID = "driftline-fleet"


def changed() -> dict[str, Json]:
    """The dashboards as another version of ours might build them."""
    return {uid: {**dashboard, "refresh": "1m"} for uid, dashboard in BUILT.items()}


@pytest.fixture(params=["", "/grafana"], ids=["at the root", "below a path"])
def served(request: pytest.FixtureRequest) -> Iterator[tuple[Grafana, GrafanaState]]:
    with running_grafana(request.param) as (url, state):
        yield Grafana(url, TOKEN), state


@pytest.fixture
def address(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[tuple[str, GrafanaState]]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DRIFTLINE_GRAFANA_TOKEN", TOKEN)
    with running_grafana() as found:
        yield found


def test_makes_folder_data_source_and_dashboards_then_nothing_more(served: tuple[Grafana, GrafanaState]) -> None:
    grafana, state = served
    assert {step.change for step in push(grafana, BUILT, DATA_SOURCE)} == {Change.CREATED}
    assert set(state.versions) == {board.uid for board in BOARDS}
    assert state.folders["driftline"]["title"] == "Driftline"
    assert state.data_sources["driftline-victoriametrics"]["url"] == "http://127.0.0.1:8428"
    written = state.writes[:]
    assert {step.change for step in push(grafana, BUILT, DATA_SOURCE)} == {Change.UNCHANGED}
    assert {step.change for step in planned(grafana, BUILT, DATA_SOURCE)} == {Change.UNCHANGED}
    assert state.writes == written


@pytest.mark.parametrize("wrapped", [True, False], ids=["versions as Grafana 11 lists them", "as Grafana 9 does"])
def test_what_a_push_has_saved_is_replaced_by_the_next(served: tuple[Grafana, GrafanaState], wrapped: bool) -> None:
    grafana, state = served
    state.wrapped_versions = wrapped
    push(grafana, BUILT, DATA_SOURCE)
    steps = push(grafana, changed(), DATA_SOURCE)
    assert [step.change for step in steps if step.kind == "dashboard"] == [Change.UPDATED] * len(BOARDS)
    assert state.versions[UID][-1]["version"] == 2
    assert state.versions[UID][-1]["data"]["refresh"] == "1m"


def test_a_dashboard_changed_in_grafana_stays_unless_forced(served: tuple[Grafana, GrafanaState]) -> None:
    grafana, state = served
    push(grafana, BUILT, DATA_SOURCE)
    state.edited_by_a_person(UID, title="Our plant")
    [kept] = [step for step in push(grafana, BUILT, DATA_SOURCE) if step.change is Change.KEPT]
    assert kept.name == UID
    assert kept.details[0] == "was changed in Grafana; --force replaces it"
    assert kept.details[1] == 'title: "Our plant" -> "Driftline: fleet"'
    assert state.versions[UID][-1]["data"]["title"] == "Our plant"
    [replaced] = [step for step in push(grafana, BUILT, DATA_SOURCE, force=True) if step.change is Change.UPDATED]
    assert replaced.name == UID
    assert state.versions[UID][-1]["data"]["title"] == "Driftline: fleet"


def test_a_dashboard_of_that_name_that_we_never_pushed_stays(served: tuple[Grafana, GrafanaState]) -> None:
    grafana, state = served
    foreign = {"uid": UID, "title": "Somebody's", "version": 4, "id": 9}
    state.versions[UID] = [{"version": 4, "message": "mine", "data": foreign}]
    [kept] = [step for step in push(grafana, BUILT, DATA_SOURCE) if step.change is Change.KEPT]
    assert kept.name == UID
    assert state.versions[UID][-1]["data"]["title"] == "Somebody's"


def test_a_save_in_between_is_not_run_over(served: tuple[Grafana, GrafanaState]) -> None:
    grafana, state = served
    push(grafana, BUILT, DATA_SOURCE)
    state.before_save.append(lambda: state.edited_by_a_person(UID, title="Just now"))
    one = {UID: changed()[UID]}
    [step] = [step for step in push(grafana, one, DATA_SOURCE, force=True) if step.kind == "dashboard"]
    assert step.change is Change.KEPT
    assert "was saved in Grafana just now" in step.details[0]
    assert state.versions[UID][-1]["data"]["title"] == "Just now"
    with pytest.raises(ConflictError, match="changed by someone else"):
        grafana.save_dashboard(BUILT[UID], folder_uid="driftline", message="", version=1, overwrite=False)


def test_a_provisioned_dashboard_stays_even_where_forced(served: tuple[Grafana, GrafanaState]) -> None:
    grafana, state = served
    push(grafana, BUILT, DATA_SOURCE)
    state.provisioned.add(UID)
    [kept] = [step for step in push(grafana, changed(), DATA_SOURCE, force=True) if step.change is Change.KEPT]
    assert kept.details[0] == "is provisioned from a file; change that file"


def test_a_data_source_that_differs_stays_unless_forced(served: tuple[Grafana, GrafanaState]) -> None:
    grafana, state = served
    push(grafana, BUILT, DATA_SOURCE)
    state.data_sources["driftline-victoriametrics"]["url"] = "http://elsewhere:8428"
    [kept] = [step for step in push(grafana, BUILT, DATA_SOURCE) if step.change is Change.KEPT]
    assert kept.details[1] == 'url: "http://elsewhere:8428" -> "http://127.0.0.1:8428"'
    push(grafana, BUILT, {**DATA_SOURCE, "secureJsonData": {"token": "s"}}, force=True)
    stored = state.data_sources["driftline-victoriametrics"]
    assert stored["url"] == "http://127.0.0.1:8428"
    assert stored["secureJsonFields"] == {"token": True}


def test_a_plan_changes_nothing(served: tuple[Grafana, GrafanaState]) -> None:
    grafana, state = served
    assert {step.change for step in planned(grafana, BUILT, DATA_SOURCE)} == {Change.CREATED}
    push(grafana, BUILT, DATA_SOURCE)
    written = state.writes[:]
    steps = planned(grafana, changed(), DATA_SOURCE)
    assert [step.details for step in steps if step.kind == "dashboard"] == [('refresh: "10s" -> "1m"',)] * len(BOARDS)
    assert state.writes == written


def test_what_grafana_adds_is_no_difference() -> None:
    stored = {**BUILT[UID], "id": 17, "version": 3}
    assert list(differences(stored, BUILT[UID])) == []
    assert fingerprint(stored) == fingerprint(BUILT[UID])
    assert fingerprint(changed()[UID]) != fingerprint(BUILT[UID])
    assert list(differences({"a": [1, {"b": 2}]}, {"a": [1, {"b": 3}]})) == ["a[1].b: 2 -> 3"]
    assert list(differences({"a": [1]}, {"a": [1, 2]})) == ["a: [1] -> [1, 2]"]


def test_a_wrong_token_is_told() -> None:
    with running_grafana() as (url, _), pytest.raises(GrafanaError, match="Unauthorized"):
        push(Grafana(url, "wrong"), BUILT, DATA_SOURCE)


def test_a_grafana_that_is_away_is_told() -> None:
    with running_grafana() as (url, _):
        pass
    with pytest.raises(GrafanaError, match=url):
        Grafana(url, TOKEN).version()
    with pytest.raises(ValueError, match="not an address of a Grafana"):
        Grafana("localhost:3000", TOKEN)


def test_the_command_pushes_and_says_what_it_did(
    address: tuple[str, GrafanaState], capsys: pytest.CaptureFixture[str]
) -> None:
    url, state = address
    assert main(["dashboards", "push", "--url", url]) == 0
    assert capsys.readouterr().out.count("created") == 2 + len(BOARDS)
    state.edited_by_a_person(UID, title="Our plant")
    assert main(["dashboards", "diff", "--url", url]) == 0
    told = capsys.readouterr().out
    assert "kept       dashboard driftline-fleet" in told
    assert 'title: "Our plant" -> "Driftline: fleet"' in told
    assert main(["dashboards", "push", "--url", url]) == 1
    assert "left as it is there" in capsys.readouterr().err
    assert main(["dashboards", "push", "--url", url, "--force"]) == 0


def test_the_command_wants_a_token(
    address: tuple[str, GrafanaState],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    url, _ = address
    monkeypatch.delenv("DRIFTLINE_GRAFANA_TOKEN")
    assert main(["dashboards", "push", "--url", url]) == 2
    assert "DRIFTLINE_GRAFANA_TOKEN or by --token-file" in capsys.readouterr().err
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    assert main(["dashboards", "push", "--url", url, "--token-file", str(tmp_path / "token")]) == 0


def test_the_command_builds_for_either_source(
    address: tuple[str, GrafanaState], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["dashboards", "build", "--out", str(tmp_path / "g"), "--source", "influxdb"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == len(BOARDS) + 4
    assert "influxdb" in (tmp_path / "g" / "provisioning" / "datasources" / "driftline.yaml").read_text()


def test_the_command_builds_for_the_first_sink_in_the_language_of_its_kind(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class MimirKind(VictoriaKind):
        name: ClassVar[str] = "mimir"
        title: ClassVar[str] = "Mimir"
        default_url: ClassVar[str] = "http://127.0.0.1:9009"

    monkeypatch.setattr(sink_registry, "SINKS", (*SINKS, MimirKind))
    monkeypatch.chdir(tmp_path)
    fleet, source = (
        tmp_path / "g" / path for path in ("dashboards/driftline-fleet.json", "provisioning/datasources/driftline.yaml")
    )
    for kind, plugin, words in [
        ("", "prometheus", "http://127.0.0.1:8428"),
        ("influxdb", "influxdb", "http://127.0.0.1:8086"),
        ("mimir", "prometheus", "Driftline (Mimir)"),
    ]:
        text = f'[[sinks]]\nname = "s"\ntype = "{kind}"\nurl = "http://db"\n' if kind else ""
        (tmp_path / "driftline.toml").write_text(text)
        assert main(["dashboards", "build", "--out", "g"]) == 0
        written = source.read_text()
        assert f"type: {plugin}" in written
        assert words in written
        assert ("from(bucket" in fleet.read_text()) == (plugin == "influxdb")
    capsys.readouterr()
    assert main(["dashboards", "build", "--source", "influx"]) == 2
    assert '--source: unknown kind of sink "influx"; did you mean "influxdb"?' in capsys.readouterr().err


@pytest.mark.skipif(
    not os.environ.get("DRIFTLINE_GRAFANA_URL") or not os.environ.get("DRIFTLINE_GRAFANA_TOKEN"),
    reason="no Grafana: DRIFTLINE_GRAFANA_URL and DRIFTLINE_GRAFANA_TOKEN are not set",
)
def test_a_real_grafana_takes_it_twice() -> None:
    grafana = Grafana(os.environ["DRIFTLINE_GRAFANA_URL"], os.environ["DRIFTLINE_GRAFANA_TOKEN"])
    push(grafana, BUILT, DATA_SOURCE, force=True)
    assert {step.change for step in push(grafana, BUILT, DATA_SOURCE)} == {Change.UNCHANGED}
    for uid in BUILT:
        stored = grafana.dashboard(uid)
        assert stored is not None
        assert stored.folder_uid == "driftline"
