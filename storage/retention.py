"""Store: how long data stay, store by store: what is set there, what is wanted, and what makes them agree.

Configured once, in `[store]`, `[archive]` and `[[sinks]]`. InfluxDB gets retention rules and tasks over its API;
VictoriaMetrics takes its retention as a flag at its start, so that it can only be told; the embedded database is looked
after by the service itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from common.durations import format_duration, parse_duration
from common.extras import optional
from common.http_client import HttpClient
from common.time_units import DAY, SECOND
from storage.external.lines import POINTS
from storage.external.sink_registry import sink_kind
from storage.storage_settings import ArchiveSettings, DownsampleSettings, SinkSettings, StoreSettings

if TYPE_CHECKING:
    import influxdb_client as influx
    import urllib3.exceptions as urllib3
    from influxdb_client import rest
else:
    influx = optional("influxdb_client", extra="influx", purpose="Speaking to InfluxDB")
    rest = optional("influxdb_client.rest", extra="influx", purpose="Speaking to InfluxDB")
    urllib3 = optional("urllib3.exceptions", extra="influx", purpose="Speaking to InfluxDB")

_UNITS = {"h": 3600 * SECOND, "d": DAY, "w": 7 * DAY, "y": 365 * DAY, "": 31 * DAY}
_FOREVER = "forever"
_REACH = 10
"""A task computes so many stretches anew, so that points that come late are counted."""


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that is set in one store: as found and as wanted.

    `action` says what has to be done; empty where they agree. `apply` does it; None where a person has to.
    """

    store: str
    subject: str
    found: str
    wanted: str
    action: str = ""
    apply: Callable[[], object] | None = None


def plan_embedded(store: StoreSettings, archive: ArchiveSettings) -> list[Step]:
    """What the service does with the embedded database by itself."""
    steps = [_by_the_service("embedded", "dead letters", store.keep_dead_letters)]
    if not archive.folder:
        return [_by_the_service("embedded", "points", store.keep), *steps]
    return [
        _by_the_service("embedded", "points", f"{archive.after}, then the archive"),
        *steps,
        _by_the_service("archive", archive.folder, archive.keep or _FOREVER),
    ]


def _by_the_service(store: str, subject: str, kept: str) -> Step:
    return Step(store, subject, kept, kept)


def plan_sink(settings: SinkSettings, token: str) -> list[Step]:
    """What is set in an external database, and what has to be done. Raises OSError where it does not answer."""
    return sink_kind(settings.type).plan(settings, token)


def plan_victoria(settings: SinkSettings) -> list[Step]:
    """The flags of VictoriaMetrics. Raises OSError where it does not answer."""
    client = HttpClient(settings.url, seconds=parse_duration(settings.timeout) / SECOND)
    try:
        found = client.ask("GET", "/flags").decode()
    finally:
        client.close()
    flags = dict(re.findall(r'^-([\w.]+)="(.*)"$', found, re.MULTILINE))
    kept = flags.get("retentionPeriod", "1")
    days = -(-parse_duration(settings.keep or "1d") // DAY)
    agree = settings.keep is None or _retention(kept) == days * DAY
    word = "" if agree else f"start VictoriaMetrics with -retentionPeriod={days}d"
    steps = [Step(settings.name, "points", kept, settings.keep or kept, word)]
    apart = flags.get("dedup.minScrapeInterval", "0s")
    steps.append(
        Step(
            settings.name,
            "points written again",
            "one stays" if apart == "1ms" else f"-dedup.minScrapeInterval={apart}",
            "one stays",
            "" if apart == "1ms" else "start VictoriaMetrics with -dedup.minScrapeInterval=1ms",
        )
    )
    if settings.downsample:
        word = "leave sinks.downsample out: VictoriaMetrics downsamples in its enterprise edition alone"
        steps.append(Step(settings.name, "coarser copies", "none", "some", word))
    return steps


def _retention(flag: str) -> int | None:
    found = re.fullmatch(r"(\d+)([hdwy]?)", flag)
    return int(found[1]) * _UNITS[found[2]] if found else None


class InfluxPlan:
    """Buckets and tasks of InfluxDB 2: the bucket of the points, and one beside it for each coarser copy."""

    def __init__(self, settings: SinkSettings, token: str) -> None:
        self._settings = settings
        self._client = influx.InfluxDBClient(
            settings.url,
            token=token or None,
            org=settings.org,
            timeout=parse_duration(settings.timeout) // 1_000_000,
        )

    def steps(self) -> list[Step]:
        """What is there and what is wanted. Raises OSError where the server does not answer or knows no such token."""
        try:
            steps = [self._bucket(self._settings.bucket, self._settings.keep)]
            for copy in self._settings.downsample:
                steps += [self._bucket(self._copy_name(copy), copy.keep), self._task(copy)]
        except rest.ApiException as error:
            expected = "to read buckets"
            if error.status == 404:
                expected = f'InfluxDB 2, or of InfluxDB 1 a retention policy that is there: "{self._settings.bucket}"'
            raise OSError(f"{self._settings.url}: {error.status} {error.reason}: expected {expected}") from error
        except urllib3.HTTPError as error:
            raise OSError(f"{self._settings.url}: {error}") from error
        return steps

    def _bucket(self, name: str, keep: str | None) -> Step:
        api = self._client.buckets_api()
        found = api.find_bucket_by_name(name)
        seconds = None if keep is None else parse_duration(keep) // SECOND
        rules = [] if seconds is None else [influx.BucketRetentionRules(type="expire", every_seconds=seconds)]
        subject, name_of = f'bucket "{name}"', self._settings.name
        if found is None:
            return Step(
                name_of,
                subject,
                "missing",
                keep or _FOREVER,
                "make it",
                lambda: api.create_bucket(bucket_name=name, retention_rules=rules, org=self._settings.org),
            )
        now = sum(int(rule.every_seconds) for rule in found.retention_rules or ())
        shown = format_duration(now * SECOND) if now else _FOREVER
        if seconds is None or now == seconds:
            return Step(name_of, subject, shown, keep or shown)

        def change() -> None:
            found.retention_rules = rules
            api.update_bucket(found)

        return Step(name_of, subject, shown, str(keep), f"keep {keep}", change)

    def _task(self, copy: DownsampleSettings) -> Step:
        api = self._client.tasks_api()
        name = f"driftline {self._settings.bucket} {copy.every}"
        flux = downsampling_task(name, self._settings.bucket, self._copy_name(copy), copy.every)
        found = next((task for task in api.find_tasks(name=name) if task.name == name), None)
        subject = f'task "{name}"'
        if found is None:
            request = influx.TaskCreateRequest(org=self._settings.org, flux=flux, status="active")
            return Step(
                self._settings.name,
                subject,
                "missing",
                "active",
                "make it",
                lambda: api.create_task(task_create_request=request),
            )
        if found.flux.split() == flux.split() and found.status == "active":
            return Step(self._settings.name, subject, "active", "active")

        def change() -> None:
            found.flux, found.status = flux, "active"
            found.every = found.cron = found.offset = None
            api.update_task(found)

        return Step(self._settings.name, subject, f"differs, {found.status}", "active", "replace it", change)

    def _copy_name(self, copy: DownsampleSettings) -> str:
        return f"{self._settings.bucket}_{copy.every}"


def downsampling_task(name: str, source: str, target: str, every: str) -> str:
    """Flux that writes mean, extremes and count of the values, the worst score and the anomalies of each stretch.

    Only whole stretches are computed, and the last ten anew each time; the result of one is the same however often.
    """
    outputs = [
        ("value", "mean", "value"),
        ("value", "min", "value_min"),
        ("value", "max", "value_max"),
        ("value", "count", "points"),
        ("score", "max", "score"),
        ("expected", "mean", "expected"),
        ("lower", "mean", "lower"),
        ("upper", "mean", "upper"),
        ("anomaly", "sum", "anomalies"),
    ]
    lines = [
        'import "date"',
        f'option task = {{name: "{name}", every: {every}, offset: 5s}}',
        f"stop = date.truncate(t: now(), unit: {every})",
        f"start = date.sub(from: stop, d: {format_duration(parse_duration(every) * _REACH)})",
        f'points = from(bucket: "{source}") |> range(start: start, stop: stop) '
        f'|> filter(fn: (r) => r._measurement == "{POINTS}")',
    ]
    lines += [
        f'points |> filter(fn: (r) => r._field == "{field}") '
        f"|> aggregateWindow(every: {every}, fn: {function}, createEmpty: false) "
        f'|> set(key: "_field", value: "{written}") |> to(bucket: "{target}")'
        for field, function, written in outputs
    ]
    return "\n".join(lines) + "\n"


def apply(steps: list[Step]) -> list[Step]:
    """Do what can be done, and return what was. Raises OSError where a store refuses."""
    done: list[Step] = []
    for step in steps:
        if step.apply is None:
            continue
        try:
            step.apply()
        except (rest.ApiException, urllib3.HTTPError) as error:
            raise OSError(f"{step.store}: {step.subject}: {step.action}: {_said(error)}") from error
        done.append(step)
    return done


def _said(error: Any) -> str:
    return " ".join(str(getattr(error, "body", "") or error).split())[:300]
