"""Route: a route that names a device profile takes from it whatever it does not set itself."""

from __future__ import annotations

from typing import Any

from devices.profile import Profile, find_profile
from ingest.ingest_settings import ComponentSettings, MetricSettings, RouteSettings


def with_profile(settings: RouteSettings) -> RouteSettings:
    """The route as it works, with no profile to look up any more: its own settings, then its profile's.

    Raises ValueError where the profile is not known.
    """
    if not settings.profile:
        return settings
    profile = find_profile(settings.profile)
    taken = {name: value for name, value in _settings(profile).items() if name not in settings.model_fields_set}
    taken["profile"] = ""
    taken["ignore"] = [*settings.ignore, *profile.ignore]
    taken["metrics"] = [*settings.metrics, *(MetricSettings(match=g, unit=u) for g, u in profile.units.items())]
    return settings.model_copy(update=taken)


def _settings(profile: Profile) -> dict[str, Any]:
    return {
        "name": profile.name,
        "filter": profile.filter,
        "codec": ComponentSettings(type=profile.codec.type, **profile.codec.parameters),
        "device": profile.device,
        "metric": profile.metric,
    }
