"""The generated pages about detectors and codecs: their docstrings and parameters, from the registries."""

from __future__ import annotations

import inspect
from collections.abc import Iterable

from pydantic import BaseModel

from detectors.detector_registry import DETECTORS, ROW_DETECTORS
from devices.codecs.codec_registry import CODECS
from devices.profile import load_profiles
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
        "A device profile is a ready-made route for one kind of device, chosen by name. What the route sets itself "
        'wins over the profile:\n\n```toml\n[[routes]]\nprofile = "tasmota"\n```'
    )
    parts = [GENERATED, "# Device profiles", introduction]
    for name, profile in load_profiles().items():
        setup = [("topics", profile.filter), ("device", profile.device), ("metric", profile.metric)]
        table = ["| | |", "|---|---|", *(f"| {what} | `{value}` |" for what, value in setup)]
        table += [f"| codec | `{profile.codec.type}` |", f"| maker's page | <{profile.reference}> |"]
        parts += [f"## `{name}`", profile.description, "\n".join(table)]
        example = next((vector for vector in profile.vectors if vector.readings and vector.payload), None)
        if example is not None:
            readings = "\n".join(f"{each.device} {each.metric} = {each.value:g}" for each in example.readings)
            parts.append(f"For example, `{example.payload}` on `{example.topic}` gives:\n\n```text\n{readings}\n```")
    return "\n\n".join(parts) + "\n"


def _page(title: str, introduction: str, components: Iterable[tuple[str, type, type[BaseModel]]]) -> str:
    parts = [GENERATED, f"# {title}", introduction]
    for name, component, parameters in components:
        parts += [f"## `{name}`", inspect.getdoc(component) or ""]
        if parameters.model_fields:
            parts.append(settings_table(parameters.model_fields))
    return "\n\n".join(parts) + "\n"
