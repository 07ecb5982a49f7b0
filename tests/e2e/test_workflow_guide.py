"""The guide's workflow as a person runs it: started, seen, approved, refused, and what is said of it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

GUIDE = (Path(__file__).resolve().parents[2] / "docs" / "workflows.md").read_text(encoding="utf-8")
WaitUntil = Callable[..., None]


def of_guide(kind: str, number: int = 0) -> str:
    found: str = re.findall(rf"```{kind}\n(.*?)```", GUIDE, re.DOTALL)[number]
    return found


def waiting(service: Any, run: str) -> bool:
    return [each["doing"] for each in service.get(f"workflows/runs/{run}")["stands"]] == ["waiting for approval"]


def test_the_guide_s_workflow_asks_a_person_and_goes_on(service: Any, wait_until: WaitUntil) -> None:
    (service.folder / "repair.json").write_text(of_guide("json"))
    service.config.write_text(of_guide("toml").replace('"repair.json"', f'"{service.folder}/repair.json"'))
    (service.folder / "alarm.json").write_text(of_guide("json", 1))
    service.start()
    data = ("--data", str(service.data), "--config", str(service.config))
    began = [service.cli("workflows", "start", "repair", "--input", "alarm.json", *data) for _ in range(2)]
    run, other = (re.fullmatch(r"(repair-[0-9a-f]{12}) begun\n", each)[1] for each in began)  # type: ignore[index]
    wait_until(lambda: waiting(service, run) and waiting(service, other), within=240, what="both asked")
    [stands] = service.get(f"workflows/runs/{run}")["stands"]
    assert stands["asked"] == {"question": "Order a repair?", "device": "pump-1", "why": "temp is 91 °C"}
    assert 'driftline_workflow_waiting{workflow="repair"} 2.0' in metrics(service)
    said = service.cli("workflows", "approve", run, "--comment", "it is loud", *data)
    assert said == f"Ask of {run} approved\n"
    assert service.cli("workflows", "refuse", other, *data) == f"Ask of {other} refused\n"

    def states() -> dict[str, str]:
        return {each["run"]: each["state"] for each in service.get("workflows/repair")["runs"]}

    wait_until(lambda: states() == {run: "succeeded", other: "succeeded"}, within=240, what="the end of both")
    assert service.query("select device, approved_by from repairs") == [
        {"device": "pump-1", "approved_by": "command line"}
    ]
    shown = service.cli("workflows", "show", run, *data)
    assert [line.split(" ", 4)[-1] for line in shown.splitlines()[1:3]] == ["Ask done", "Note done"]
    output = json.loads(service.cli("workflows", "show", other, "--format", "json", *data))["output"]
    assert output["error"] == {"Error": "Driftline.Refused", "Cause": "refused by command line"}
    assert_refusals(service, run)
    assert_counted(service)
    assert service.stop() == 0, service.log


def metrics(service: Any) -> list[str]:
    return httpx.get(f"{service.url}/metrics", timeout=30).text.splitlines()


def assert_counted(service: Any) -> None:
    assert {line for line in metrics(service) if line.startswith("driftline_workflow_")} == {
        'driftline_workflow_begun_total{workflow="repair"} 2.0',
        'driftline_workflow_runs_total{outcome="succeeded",workflow="repair"} 2.0',
        'driftline_workflow_runs_total{outcome="failed",workflow="repair"} 0.0',
        'driftline_workflow_runs_total{outcome="cancelled",workflow="repair"} 0.0',
        'driftline_workflow_running{workflow="repair"} 0.0',
        'driftline_workflow_waiting{workflow="repair"} 0.0',
        'driftline_workflow_calls_total{workflow="repair"} 1.0',
        'driftline_workflow_errors_total{workflow="repair"} 0.0',
    }


def assert_refusals(service: Any, run: str) -> None:
    api = f"{service.url}/api/v1/workflows"
    for path, body, status, message in (
        (f"runs/{run}/decision", {"approve": True}, 409, f"{run} does not wait for approval"),
        (f"runs/{run}/resume", None, 409, f"{run} has not failed: it is succeeded"),
        (f"runs/{run}/cancel", None, 409, f"{run} has ended: it is succeeded"),
        ("runs/repair-0/cancel", None, 404, 'run: unknown "repair-0"'),
        ("repare/runs", {}, 404, 'workflow: unknown "repare"; did you mean "repair"?'),
    ):
        reply = httpx.post(f"{api}/{path}", json=body, timeout=240)
        assert reply.status_code == status, reply.text
        assert message in reply.json()["error"]["message"]
