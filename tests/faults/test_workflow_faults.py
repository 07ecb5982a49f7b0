"""kill -9 while runs of a workflow go on: each is taken up where it was, and no step that is done is done again."""

from __future__ import annotations

import json
import time
from collections import Counter
from random import Random
from typing import Any

import httpx
import pytest
from fault_runs import KillableService

pytestmark = [pytest.mark.faults, pytest.mark.service("mosquitto"), pytest.mark.timeout(1_200)]

CONFIG = """
[[functions]]
name = "effect"
file = "{folder}/effect.py"
workers = 2

[[workflows]]
name = "repair"
file = "{folder}/repair.json"
"""
EFFECT = """
import os

def handler(event, context):
    line = os.open("{folder}/effects", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(line, f"{{context.idempotency_key}}\\n".encode())
    os.close(line)
    return {{"n": event["n"] if "n" in event else None}}
"""


def _task(resource: str, **more: Any) -> dict[str, Any]:
    return {"Type": "Task", "Resource": resource, "ResultPath": None, **more}


DEFINITION = {
    "StartAt": "Open",
    "States": {
        "Open": _task("function:effect", Next="Note"),
        "Note": _task("driftline:row", Parameters={"table": "repairs", "values": {"n.$": "$.n"}}, Next="Both"),
        "Both": {
            "Type": "Parallel",
            "Branches": [
                {"StartAt": name, "States": {name: _task("function:effect", End=True)}} for name in ("Left", "Right")
            ],
            "ResultPath": None,
            "Next": "Pause",
        },
        "Pause": {"Type": "Wait", "Seconds": 0.5, "Next": "Close"},
        "Close": _task("function:effect", End=True),
    },
}
ORDER = ["Open", "Both[0]/Left", "Both[1]/Right", "Close"]


def begin_and_kill(service: KillableService, runs: int, kills: int, random: Random) -> None:
    """Begin runs, asked for again after each kill under the same keys, and kill at random moments meanwhile."""
    for number in range(kills + 1):
        service.start()
        until = time.monotonic() + random.uniform(0.5, 3.0)
        for n in range(runs * number // (kills + 1), runs * (number + 1) // (kills + 1)):
            service_url = "http://{}:{}".format(*service.address)
            reply = httpx.post(
                f"{service_url}/api/v1/workflows/repair/runs",
                json={"n": n},
                headers={"Idempotency-Key": f"k{n}"},
                timeout=240,
            )
            assert reply.status_code == 200, reply.text
        if number < kills:
            time.sleep(max(0.0, until - time.monotonic()))
            service.kill()


def test_runs_go_on_where_a_kill_left_them(
    service: KillableService, mosquitto: Any, wait_until: Any, extent: Any, report: Any
) -> None:
    runs, kills = extent.of(40, 200), extent.of(1, 20)
    service.configure(mosquitto.url, CONFIG.format(folder=service.folder))
    (service.folder / "effect.py").write_text(EFFECT.format(folder=service.folder))
    (service.folder / "repair.json").write_text(json.dumps(DEFINITION))
    begin_and_kill(service, runs, kills, Random(extent.seed))

    def states() -> Counter[str]:
        found = service.get("workflows/repair?limit=1000")
        return Counter(run["state"] for run in found["runs"]) if found else Counter()

    wait_until(lambda: states() == {"succeeded": runs}, within=300, what="the end of every run")
    rows = httpx.post(
        "http://{}:{}/api/v1/query".format(*service.address),
        json={"sql": "select n from repairs order by n"},
        timeout=240,
    ).json()["rows"]
    details = [
        service.get(f"workflows/runs/{run['run']}") for run in service.get("workflows/repair?limit=1000")["runs"]
    ]
    assert service.end() == 0, service.log

    assert rows == [[n] for n in range(runs)], "a row for each run, once"
    for detail in details:
        assert [step["place"] for step in detail["steps"] if step["place"] != "Note"] in (
            ORDER,
            [ORDER[i] for i in (0, 2, 1, 3)],
        )
    calls = (service.folder / "effects").read_text().split("\n")[:-1]
    by_run: dict[str, list[str]] = {}
    for call in dict.fromkeys(calls):
        run, _, place = call.partition("/")
        by_run.setdefault(run, []).append(place)
    assert len(by_run) == runs
    for places in by_run.values():
        assert sorted(places) == sorted(ORDER)
        assert (places[0], places[-1]) == ("Open", "Close")
    again = len(calls) - len(set(calls))
    assert again <= kills * 16, "again is only what a kill came in between, under the same key"
    report(
        "kill -9 while runs of a workflow go on", runs=runs, kills=kills, effects=len(set(calls)), again=again, lost=0
    )
