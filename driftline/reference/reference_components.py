"""The generated pages about detectors and codecs: their docstrings and parameters, from the registries."""

from __future__ import annotations

import inspect
from collections.abc import Iterable

from pydantic import BaseModel

from detectors.detector_registry import DETECTORS, ROW_DETECTORS
from devices.codecs.codec_registry import CODECS
from devices.profile import load_profiles
from devices.vectors import Vector
from driftline.reference.reference_settings import GENERATED, settings_table


def detectors_page() -> str:
    """docs/reference/detectors.md."""
    introduction = (
        "A detector is named under `[detectors.NAME]`, and routes refer to it by that name:\n\n"
        '```toml\n[[routes]]\nfilter = "plant/#"\ndetectors = ["slow"]\n\n'
        '[detectors.slow]\ntype = "zscore"\nhalf_life = 2000\n```\n\n'
        "Every detector scores a reading by how rare it is: 3 is one in a thousand. Which score raises an alarm is "
        "set under `[alarm]`."
    )
    page = _page("Detectors", introduction, [(d.name, d, d.Parameters) for d in DETECTORS])
    together = (
        "These score the metrics of a device together, row by row. A route names them like any other; each device "
        "with two metrics or more then has a series `device:NAME` of scores, and alarms of its own:\n\n"
        '```toml\n[[routes]]\nfilter = "plant/#"\ndetectors = ["default", "machine"]\n\n'
        '[detectors.machine]\ntype = "pca"\n```'
    )
    rows = _page("Detectors of devices as a whole", together, [(d.name, d, d.Parameters) for d in ROW_DETECTORS])
    return page + rows.removeprefix(GENERATED)


def codecs_page() -> str:
    """docs/reference/codecs.md."""
    introduction = (
        "A route's `codec` says how its payloads are read, by name or as a table with parameters:\n\n"
        '```toml\n[[routes]]\nfilter = "plant/#"\ncodec = { type = "json", time = ["meta.time"] }\n```'
    )
    return _page("Codecs", introduction, [(c.name, c, c.Parameters) for c in CODECS])


def profiles_page() -> str:
    """docs/reference/profiles.md."""
    introduction = (
        "A device profile says how one kind of device is read. A broker with such devices needs no configuration: the "
        "profile of each topic is found by its shape and its first payload. A route may name a profile; what it sets "
        'itself wins:\n\n```toml\n[[routes]]\nprofile = "tasmota"\ntime_zone = "Europe/Berlin"\n```'
    )
    table = ["| profile | devices | topics |", "|---|---|---|"]
    for name, profile in load_profiles().items():
        topics = ", ".join(f"`{each}`" for each in profile.subscribe)
        table.append(f"| [`{name}`](../connect/{name}.md) | {profile.description} | {topics} |")
    return "\n\n".join([GENERATED, "# Device profiles", introduction, "\n".join(table)]) + "\n"


def connect_pages() -> dict[str, str]:
    """The pages of docs/connect/ by file name: one for each family of devices, with its examples."""
    pages = {}
    for name, profile in load_profiles().items():
        parts = [GENERATED, f"# {profile.title or name}", profile.description]
        if profile.notes:
            parts.append(profile.notes)
        parts.append(
            f"The maker's page: <{profile.reference}>. It works with no configuration. To set something, name it:"
        )
        parts.append(f'```toml\n[[routes]]\nprofile = "{name}"\n```')
        table = ["| topics | messages | device | metric |", "|---|---|---|---|"]
        for message in profile.messages:
            topics = ", ".join(f"`{each}`" for each in message.topics)
            named = message.role.outcome is None
            device, metric = (f"`{text}`" if named and text else "" for text in (message.device, message.metric))
            table.append(f"| {topics} | {message.role.value} | {device} | {metric} |")
        parts.append("\n".join(table))
        parts += [_example(vector) for vector in profile.vectors if vector.payload]
        pages[f"{name}.md"] = "\n\n".join(parts) + "\n"
    return pages


def _example(vector: Vector) -> str:
    outcome = []
    for each in vector.readings:
        value = each.value if isinstance(each.value, str) else f"{each.value:.10g}"
        outcome.append(f"{each.device} {each.metric} = {value} {each.unit}".rstrip())
    outcome += [f"{each.device} is {'online' if each.online else 'offline'}" for each in vector.presence]
    outcome += [f"{each.reason.value}: {each.detail}" for each in vector.rejected]
    before = "".join(f"After `{each.payload}` on `{each.topic}`: " for each in vector.before)
    name = vector.name[:1].upper() + vector.name[1:]
    lines = "\n".join(outcome)
    return f"{name}: {before}`{vector.payload}` on `{vector.topic}` gives\n\n```text\n{lines}\n```"


def _page(title: str, introduction: str, components: Iterable[tuple[str, type, type[BaseModel]]]) -> str:
    parts = [GENERATED, f"# {title}", introduction]
    for name, component, parameters in components:
        parts += [f"## `{name}`", inspect.getdoc(component) or ""]
        if parameters.model_fields:
            parts.append(settings_table(parameters.model_fields))
    return "\n\n".join(parts) + "\n"
