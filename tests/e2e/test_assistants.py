"""The door for assistants: the SDK's own client, over standard input and output, against the real service."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import httpx
from mcp.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client

WaitUntil = Callable[..., None]
READ = {
    "health", "devices", "device", "alarms", "explain_alarm", "query", "report", "alarm_figures", "scorecard",
    "streams",
}  # fmt: skip
ACTING = {"acknowledge", "shelve", "label"}
HOT = """
[[streams]]
name = "hot"
from = "readings"
window = { size = "1s" }
sql = "select device, max(heat) as heat from window group by device"
to = ["table", "alarm"]
alarm = { when = "heat > 80", value = "heat", sentence = "{heat} degrees", clear_after = "1d" }
"""


def asked(service: Any, token: str, *calls: tuple[str, dict[str, Any]]) -> tuple[set[str], list[tuple[bool, Any]]]:
    """The names of the tools that a token is offered, and of each call whether it failed, with what it gave."""

    async def talk() -> tuple[set[str], list[tuple[bool, Any]]]:
        environment = {"PYTHONPATH": os.environ.get("PYTHONPATH", ""), "DRIFTLINE_TOKEN": token}
        arguments = ["-m", "driftline", "mcp", "--data", str(service.data), "--config", str(service.config)]
        server = StdioServerParameters(command=sys.executable, args=arguments, env=environment)
        async with Client(stdio_client(server)) as client:
            tools = (await client.list_tools()).tools
            assert {tool.name for tool in tools if tool.annotations and tool.annotations.read_only_hint} == READ
            found = [await client.call_tool(name, given) for name, given in calls]
            told = [(bool(each.is_error), each.structured_content or each.content[0].text) for each in found]  # type: ignore[union-attr]
            return {tool.name for tool in tools}, told

    return asyncio.run(talk())


def test_an_assistant_reads_with_a_viewers_token_and_acts_with_an_operators(
    service: Any, wait_until: WaitUntil
) -> None:
    service.config.write_text(HOT)
    service.start()
    at = int(time.time()) - 60
    sent = [{"topic": "oven", "payload": {"heat": heat, "ts": (at + n) * 1000}} for n, heat in enumerate((70, 95, 70))]
    httpx.post(f"{service.url}/api/v1/messages", json=sent, timeout=240).raise_for_status()
    wait_until(lambda: service.get("alarms")["alarms"], within=240, what="the alarm")
    viewer, operator = (
        service.cli("tokens", "add", role, "--role", role, "--data", str(service.data)).strip()
        for role in ("viewer", "operator")
    )
    _reads(service, viewer, at)
    _acts(service, operator)
    _asks_without_token(service)


def _reads(service: Any, viewer: str, at: int) -> None:
    names, told = asked(
        service,
        viewer,
        ("health", {}),
        ("devices", {"search": "OVE"}),
        ("alarms", {"state": "open"}),
        ("explain_alarm", {"alarm": 1}),
        ("explain_alarm", {"alarm": 77}),
        ("query", {"sql": "select max(heat) as heat from hot"}),
        ("query", {"sql": "delete from points"}),
        ("report", {"days": 1}),
        ("alarm_figures", {}),
        ("streams", {}),
        ("device", {"device": "oven"}),
        ("acknowledge", {"alarms": [1]}),
        ("devices", {"limit": "many", "offset": None}),
        ("explain_alarm", {}),
        ("alarms", {"stat": "open"}),
        ("devices", {"search": "oven", "limit": 0}),
    )
    health, devices, alarms, why, no_alarm, query, refused, report, _, streams, device, no_tool, *misfits = told
    assert names == READ
    assert [failed for failed, _ in told] == [False] * 4 + [True, False, True] + [False] * 4 + [True] * 5
    assert [words.removeprefix("Error executing tool ") for _, words in misfits[:3]] == [
        "devices: offset: got None, expected a whole number; limit: got 'many', expected a whole number",
        "explain_alarm: alarm: missing, expected a whole number",
        'alarms: unknown argument "stat"; did you mean "state"? (known: device, limit, state)',
    ]
    assert "query.limit" in misfits[3][1]
    assert {stage["stage"] for stage in health[1]["stages"]} >= {"broker", "journal"}
    assert ([each["device"] for each in devices[1]["devices"]], devices[1]["total"]) == (["oven"], 1)
    [alarm] = alarms[1]["alarms"]
    assert (alarm["alarm"], alarm["device"], alarm["reason"]) == (1, "oven", "95 degrees")
    assert alarm["opened"] == time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(at + 2))
    assert (why[1]["alarm"]["reason"], why[1]["history"]) == ("95 degrees", {"actions": []})
    assert no_alarm[1] == "Error executing tool explain_alarm: there is no alarm 77"
    assert query[1]["rows"] == [[95]]
    assert "only a SELECT may run" in refused[1]
    assert "oven" in report[1]["text"] or report[1]["alarms"]
    assert [(each["name"], each["left_out"]) for each in streams[1]["streams"]] == [("hot", 0)]
    assert "heat" in json.dumps(device[1])
    assert "acknowledge" in no_tool[1]


def _acts(service: Any, operator: str) -> None:
    names, told = asked(
        service,
        operator,
        ("acknowledge", {"alarms": [1], "note": "looking"}),
        ("shelve", {"alarms": [1], "seconds": 3600}),
        ("label", {"devices": ["oven"], "labels": {"site": "north"}}),
        ("label", {"devices": ["ovne"], "labels": {"site": "north"}}),
    )
    assert names == READ | ACTING
    assert [failed for failed, _ in told] == [False, False, False, True]
    assert 'there is no such device; did you mean "oven"?' in told[3][1]
    [alarm] = service.get("alarms")["alarms"]
    assert (alarm["state"], alarm["acknowledged_by"], alarm["shelved_until"] is None) == (
        "acknowledged",
        "token operator",
        False,
    )
    [oven] = service.get("devices")["devices"]
    assert oven["labels"] == {"site": "north"}
    for counted in (service.get("counts"), oven):
        assert (counted["open_alarms"], counted["shelved_alarms"]) == (0, 1), "what is shelved asks for nobody"


def _asks_without_token(service: Any) -> None:
    # Without a token it reads where nobody signs in; a token that is none is refused in a sentence.
    names, _ = asked(service, "")
    assert names == READ
    command = [sys.executable, "-m", "driftline", "mcp", "--url", service.url]
    environment = {**os.environ, "DRIFTLINE_TOKEN": "nonsense"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240, check=False)
    assert (done.returncode, done.stdout) == (3, "")
    assert "token" in done.stderr
