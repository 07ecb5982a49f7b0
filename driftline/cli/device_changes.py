"""What `driftline devices` does with devices: one shown whole, and what is asked of the running service."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import typer

from common.visible import visible
from driftline.cli.client import get, needed_service, send
from driftline.cli.commands.users import iso
from driftline.cli.console import CommandError, Exit
from driftline.cli.tables import Format, Rows, print_rows

_CANNOT_BE_UNDONE = {
    "delete": "Delete {devices} with all points, states and alarms? It cannot be undone.",
    "merge": "Let all that {devices} sends, and has sent, be of {into}? It cannot be undone.",
}


def show(folder: Path, device: str, form: Format) -> None:
    """Print all that is known of one device."""
    found = get(needed_service(folder), f"devices/{quote(device)}")
    if form is Format.JSON:
        json.dump(found, sys.stdout, ensure_ascii=False)
        print()
        return
    labels = ", ".join(f"{name}={value}" for name, value in found["labels"].items())
    metrics = ", ".join(f"{each['metric']} ({each['unit'] or 'no unit'})" for each in found["metrics"])
    lines = {
        "device": found["device"],
        "name": found["name"],
        "state": found["life"],
        "labels": labels or "none",
        "first seen": iso(found["first_seen"]) or "not noted",
        "newest reading": iso(found["last_event"]),
        "newest message": iso(found["last_arrival"]),
        "open alarms": _open_alarms(found),
        "clock": found["clock"] or "nothing wrong",
        "refused": found["refusal"] or "nothing",
        "metrics": metrics,
    }
    if form is Format.CSV:
        print_rows(Rows(list(lines), [list(lines.values())]), form)
        return
    for name, value in lines.items():
        print(f"{name:<15} {visible(str(value))}")


def _open_alarms(found: Mapping[str, Any]) -> str:
    shelved = f" and {found['shelved_alarms']} shelved" if found["shelved_alarms"] else ""
    muted = f" (muted since {iso(found['muted_at'])})" if found["muted_at"] else ""
    return f"{found['open_alarms']}{shelved}{muted}"


def print_tree(folder: Path, labels: list[str], form: Format) -> None:
    """Print the plant as a tree: by labels, the outermost first, else by the levels of names."""
    tree = get(needed_service(folder), "asset-tree" + (f"?{urlencode({'by': labels}, doseq=True)}" if labels else ""))
    if form is Format.JSON:
        json.dump(tree, sys.stdout, ensure_ascii=False)
        print()
        return
    for part in tree["parts"]:
        _print_part(part, 0)
    for device in tree["members"]:
        print(visible(device))


def _print_part(node: dict[str, Any], depth: int) -> None:
    said = [f"{node['devices']} device{'s' if node['devices'] != 1 else ''}"]
    said += [f"{node['silent']} silent"] if node["silent"] else []
    said += (
        [f"{node['open_alarms']} open alarm{'s' if node['open_alarms'] != 1 else ''}"] if node["open_alarms"] else []
    )
    print(visible(f"{'  ' * depth}{node['name']}  ({', '.join(said)})"))
    for part in node["parts"]:
        _print_part(part, depth + 1)
    for device in node["members"]:
        print(visible(f"{'  ' * (depth + 1)}{device}"))


def change(folder: Path, action: str, targets: list[str], *, note: str, sure: bool) -> None:
    """Let the running service do it, and print what came of it for each device."""
    asked = {"action": action, "note": note, **_asked(action, targets)}
    question = _CANNOT_BE_UNDONE.get(action)
    if question is not None and not sure:
        if not sys.stdin.isatty():
            raise CommandError(f"devices {action}: it cannot be undone; --yes says that it is meant", code=Exit.USAGE)
        typer.confirm(question.format(devices=", ".join(asked["devices"]), into=asked.get("into")), abort=True)
    reply = send(needed_service(folder), "POST", "devices/actions", asked)
    for done, device in zip(reply["done"], dict.fromkeys(asked["devices"]), strict=True):
        print(visible(f"{device}: {done['refused'] or (done['waits'] and done['text']) or _DONE[action]}"))
    if reply["kept"]:
        print(visible(reply["kept"]))


_DONE = {
    "rename": "renamed",
    "label": "labelled",
    "retire": "retired",
    "restore": "in service again",
    "mute": "muted: its alarms are recorded, and nobody is told",
    "unmute": "told of again",
    "merge": "merged",
    "delete": "deleted",
}


def _asked(action: str, targets: list[str]) -> dict[str, Any]:
    expected = {
        "label": "DEVICE and NAME=VALUE...",
        "rename": "DEVICE and its name",
        "merge": "NEW and OLD: what NEW sends is OLD's from then on",
    }.get(action, "DEVICE...")
    least = 2 if action in ("label", "rename", "merge") else 1
    if len(targets) < least or (action in ("rename", "merge") and len(targets) > least):
        raise CommandError(f"devices {action}: {len(targets)} words are given, expected {expected}", code=Exit.USAGE)
    if action == "rename":
        return {"devices": targets[:1], "name": targets[1]}
    if action == "merge":
        return {"devices": targets[:1], "into": targets[1]}
    if action == "label":
        wrong = [each for each in targets[1:] if "=" not in each]
        if wrong:
            raise CommandError(f'devices label: got "{wrong[0]}", expected NAME=VALUE', code=Exit.USAGE)
        pairs = (each.partition("=") for each in targets[1:])
        return {"devices": targets[:1], "labels": {name: value or None for name, _, value in pairs}}
    return {"devices": targets}
