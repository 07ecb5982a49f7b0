"""The one file of configuration, read whole, checked whole, refused whole with every error at once."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError, field_validator

from alerts.alarm_settings import AlarmSettings, read_former_names
from alerts.home_assistant import HomeAssistantSettings
from alerts.maintenance import MaintenanceSettings
from alerts.notices.notice_settings import NoticeSettings
from devices.profile import Profile, load_profile
from driftline.config_checks import errors_between_tables, read_stream_tables
from driftline.config_errors import ConfigError, Path, model_errors, place
from driftline.http.http_settings import HttpSettings
from driftline.report.report_settings import ReportSettings
from driftline.runtime.backup_settings import BackupSettings
from driftline.tracing.tracing_settings import TracingSettings
from functions.function_settings import FunctionSettings
from ingest.broker_settings import BrokerSettings
from ingest.ingest_settings import (
    DEFAULT_DETECTORS,
    DEFAULT_ROUTES,
    OWN_PROFILES,
    ComponentSettings,
    LimitSettings,
    RouteSettings,
    SnapshotSettings,
)
from ingest.knowledge_settings import SeriesSettings
from ingest.label_settings import LabelSettings
from ingest.sparkplug_settings import SparkplugSettings
from storage.external.sink_registry import of_their_kind
from storage.journal.journal_registry import journal_of_its_kind
from storage.journal.kafka_settings import KafkaSettings
from storage.storage_settings import ArchiveSettings, JournalSettings, SinkSettings, SpoolSettings, StoreSettings
from streams.stream_settings import StreamSettings
from workflows.workflow_settings import WorkflowSettings, starters_of

if TYPE_CHECKING:
    from streams.reference_tables import ReferenceTable

PROFILES = "profiles"
"""The folder of people's own profiles, beside the configuration file."""

DEFAULT_FILE = FilePath("driftline.toml")
"""The configuration that commands read where none is named and this one is there."""

_LISTS = ("device_labels", "functions", "notices", "routes", "series", "sinks", "streams", "workflows")
READ_AT_START = (
    "data",
    "broker",
    "journal",
    "kafka",
    "store",
    "sinks",
    "spool",
    "archive",
    "http",
    "snapshot",
    "sparkplug",
    "home_assistant",
    "tracing",
)
"""Settings that a running service takes up at its next start only."""


class Config(BaseModel):
    """Everything that can be set. Every setting has a default that works: `Config()` runs."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    data: str = Field(
        default="./var",
        min_length=1,
        description="Folder of the journal, the database and the learned state; relative to the working folder.",
    )
    broker: BrokerSettings = Field(default=BrokerSettings(), description="The connection to the MQTT broker.")
    sparkplug: SparkplugSettings = Field(
        default=SparkplugSettings(), description="What is sent to Sparkplug B edge nodes, as a host application."
    )
    journal: JournalSettings = Field(
        default=JournalSettings(), description="The durable log between broker and engine."
    )
    kafka: KafkaSettings = Field(
        default=KafkaSettings(),
        description="The Kafka topic between receivers and engines, where one machine is not enough.",
    )
    routes: list[RouteSettings] = Field(
        default=DEFAULT_ROUTES,
        description="Which messages are taken, how they are read and what scores them; the first that matches wins.",
    )
    detectors: dict[str, ComponentSettings] = Field(
        default=DEFAULT_DETECTORS,
        description='Named detectors with their parameters; "default" and "joint" are always there.',
    )
    series: list[SeriesSettings] = Field(
        default=[],
        description="What is known of single series, by device and metric, and what scores them; of each matter the "
        "first entry that matches and says it counts, before the route.",
    )
    store: StoreSettings = Field(default=StoreSettings(), description="The embedded database.")
    sinks: list[SinkSettings] = Field(
        default=[], description="External databases that take what is stored too, each at its own pace."
    )
    spool: SpoolSettings = Field(default=SpoolSettings(), description="What waits for external databases.")
    archive: ArchiveSettings = Field(default=ArchiveSettings(), description="Old points as Parquet files, by day.")
    http: HttpSettings = Field(default=HttpSettings(), description="The API, the page and the metrics.")
    alarm: AlarmSettings = Field(
        default=AlarmSettings(), description="When a score becomes an alarm, and when it ends."
    )
    maintenance: list[MaintenanceSettings] = Field(
        default=[], description="Times at which alarms of some devices are expected, and nobody is told of them."
    )
    notices: list[NoticeSettings] = Field(default=[], description="Who is told of alarms, and how.")
    home_assistant: HomeAssistantSettings = Field(
        default=HomeAssistantSettings(), description="Alarms and scores as sensors of Home Assistant."
    )
    report: ReportSettings = Field(default=ReportSettings(), description="A report each day or week, by itself.")
    device_labels: list[LabelSettings] = Field(
        default=[], description="Labels that a device is given when it first appears; people may change them."
    )
    streams: list[StreamSettings] = Field(
        default=[],
        description="Standing questions: SQL over windows of what the pipeline makes, all the time.",
    )
    backup: BackupSettings = Field(
        default=BackupSettings(), description="Backups that the service makes by itself, and tries by a restore."
    )
    functions: list[FunctionSettings] = Field(
        default=[],
        description="Code of your own, and ready-made actions, called for what happens, in processes of their own.",
    )
    workflows: list[WorkflowSettings] = Field(
        default=[],
        description="Several steps, one after another, over days and restarts: functions, actions, waits, approvals.",
    )
    tracing: TracingSettings | None = Field(
        default=None, description="The way of single messages through the stages, for the page and a collector."
    )
    limits: LimitSettings = Field(default=LimitSettings(), description="What one misbehaving publisher cannot exceed.")
    snapshot: SnapshotSettings = Field(default=SnapshotSettings(), description="How often the learned state is saved.")

    _former_names: tuple[str, ...] = PrivateAttr(default=())

    @property
    def former_names(self) -> tuple[str, ...]:
        """A line for each setting that the file gives under a former name: its place, and what to write instead."""
        return self._former_names

    @property
    def called(self) -> list[FunctionSettings]:
        """The functions, and what starts the workflows that have a trigger, each under its workflow's name."""
        return [*self.functions, *starters_of(self.workflows)]

    _own_profiles: tuple[Profile, ...] = PrivateAttr(default=())

    @property
    def own_profiles(self) -> tuple[Profile, ...]:
        """The profiles of the folder `profiles` beside the file, in order of their names."""
        return self._own_profiles

    _stream_tables: Mapping[str, Mapping[str, ReferenceTable]] = PrivateAttr(default_factory=dict)

    @property
    def stream_tables(self) -> Mapping[str, Mapping[str, ReferenceTable]]:
        """The contents of the files that streams join, as they were when the configuration was read."""
        return self._stream_tables

    @field_validator("sinks", mode="before")
    @classmethod
    def _of_their_kind(cls, given: object) -> object:
        return of_their_kind(given)

    @field_validator("journal", mode="before")
    @classmethod
    def _of_its_kind(cls, given: object) -> object:
        return journal_of_its_kind(given)

    @field_validator("detectors")
    @classmethod
    def _with_default(cls, given: dict[str, ComponentSettings]) -> dict[str, ComponentSettings]:
        return {**DEFAULT_DETECTORS, **given}


def changed_for_next_start(before: Config, after: Config) -> list[str]:
    """Names of the settings that differ and that a running service takes up at its next start only."""
    changed = [name for name in READ_AT_START if getattr(before, name) != getattr(after, name)]
    if before.limits.max_payload != after.limits.max_payload:
        changed.append("limits.max_payload")
    return changed


def load_config(path: FilePath | None) -> Config:
    """Read and check a configuration file; without one, the defaults.

    Raises ConfigError with one line for each thing that is wrong with it.
    """
    if path is None:
        return Config()
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise ConfigError([f"{path}: cannot be read: {error.strerror}"]) from None
    except UnicodeDecodeError as error:
        raise ConfigError([f"{path}: not UTF-8: byte {error.start} is 0x{error.object[error.start]:02x}"]) from None
    return parse_config(text, name=str(path), profiles=path.parent / PROFILES)


def own_profiles(folder: FilePath) -> tuple[Profile, ...]:
    """The profiles of a folder, which need not be there. Raises ConfigError with a line for each that is wrong."""
    found, errors = [], []
    for path in sorted(folder.glob("*.toml")):
        try:
            found.append(load_profile(path))
        except (ValueError, OSError) as error:
            errors.append(f"{path}: {str(error).removeprefix(f'{path.name}: ')}")
    if errors:
        raise ConfigError(errors)
    return tuple(found)


def parse_config(text: str, *, name: str = "driftline.toml", profiles: FilePath | None = None) -> Config:
    """Check a configuration given as TOML text; `name` stands before each error.

    `profiles` is the folder of people's own profiles; the tables that streams join are relative to the one around it.

    Raises ConfigError with one line for each thing that is wrong with it.
    """
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError([f"{name}: not TOML: {error}{_hint_at_brackets(text)}"]) from None
    own = own_profiles(profiles) if profiles is not None else ()
    tables, errors = read_stream_tables(data, profiles.parent if profiles is not None else FilePath())
    config: Config | None = None
    try:
        config = Config.model_validate(data, context={OWN_PROFILES: [profile.name for profile in own]})
        config._own_profiles, config._stream_tables = own, tables
    except ValidationError as error:
        errors += model_errors(error, Config, data)
    errors += errors_between_tables(data, tables, refused={path for path, _ in errors})
    if config is not None:
        errors += _session_errors(config, data)
    if errors or config is None:
        errors.sort(key=lambda found: _order_in_file(found[0], data))
        raise ConfigError([f"{name}: {place(path)}: {sentence}" for path, sentence in errors])
    config._former_names = tuple(_former_names(data))
    return config


def _former_names(data: dict[str, Any]) -> list[str]:
    """Lines for the settings of a valid file that were renamed. They are read for one version."""
    _, notes = read_former_names(data.get("alarm", {}))
    return [
        f"{place(('alarm', name))}: {note}; the former name is read by this version only"
        for name, note in notes.items()
    ]


def _session_errors(config: Config, data: dict[str, Any]) -> list[tuple[Path, str]]:
    """A session that the broker forgets keeps no promise: what it promised to deliver would be lost with it."""
    if not config.broker.clean_session:
        return []
    expected = "expected qos = 0 in every route beside broker.clean_session = true"
    if not data.get("routes"):
        return [(("broker", "clean_session"), f"the routes that hold where none are set ask for QoS 1; {expected}")]
    return [
        (("routes", number, "qos"), f"got {route.qos}, {expected}")
        for number, route in enumerate(config.routes)
        if route.qos
    ]


def _hint_at_brackets(text: str) -> str:
    """A table written twice is most often a list written with one bracket."""
    repeated = [name for name in _LISTS if len(re.findall(rf"^\s*\[{name}\]", text, re.MULTILINE)) > 1]
    return f"; write [[{repeated[0]}]], with two brackets, before each of them" if repeated else ""


def _order_in_file(path: Path, data: object) -> list[int]:
    """Sorts errors as a reader of the file meets them."""
    order: list[int] = []
    value: Any = data
    for step in path:
        if isinstance(value, dict):
            order.append(list(value).index(step) if step in value else -1)
            value = value.get(step)
        elif isinstance(value, list) and isinstance(step, int):
            order.append(step)
            value = value[step]
    return order
