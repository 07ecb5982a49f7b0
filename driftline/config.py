"""The one file of configuration, read whole, checked whole, refused whole with every error at once."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path as FilePath
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError, field_validator

from alerts.alarm_settings import AlarmSettings, read_former_names
from alerts.home_assistant import HomeAssistantSettings
from alerts.maintenance import MaintenanceSettings
from alerts.notices.notice_settings import NoticeSettings
from common.durations import parse_duration
from common.extras import how_to_install, is_installed
from common.suggestions import unknown
from devices.profile import Profile, load_profile
from driftline.components import codec_models, detector_models
from driftline.config_errors import SECRET_KEYS, ConfigError, Path, model_errors, place
from driftline.http.http_settings import HttpSettings
from driftline.report.report_settings import ReportSettings
from driftline.runtime.backup_settings import BackupSettings
from functions.definitions import mistakes_of
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
from storage.external.sink_registry import libraries_of, of_their_kind
from storage.journal.journal_registry import journal_libraries, journal_of_its_kind
from storage.storage_settings import ArchiveSettings, JournalSettings, SinkSettings, SpoolSettings, StoreSettings
from streams.stream_settings import StreamSettings

Table = TypeVar("Table", bound=BaseModel)

PROFILES = "profiles"
"""The folder of people's own profiles, beside the configuration file."""

DEFAULT_FILE = FilePath("driftline.toml")
"""The configuration that commands read where none is named and this one is there."""

_LISTS = ("device_labels", "functions", "notices", "routes", "series", "sinks", "streams")
_READ_AT_START = (
    "data",
    "broker",
    "journal",
    "store",
    "sinks",
    "spool",
    "archive",
    "http",
    "snapshot",
    "sparkplug",
    "home_assistant",
)
_URL_WITH_PASSWORD = re.compile(r"^[a-z0-9+.-]+://[^/@\s]*:[^/@\s]+@", re.IGNORECASE)


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
    limits: LimitSettings = Field(default=LimitSettings(), description="What one misbehaving publisher cannot exceed.")
    snapshot: SnapshotSettings = Field(default=SnapshotSettings(), description="How often the learned state is saved.")

    _former_names: tuple[str, ...] = PrivateAttr(default=())

    @property
    def former_names(self) -> tuple[str, ...]:
        """A line for each setting that the file gives under a former name: its place, and what to write instead."""
        return self._former_names

    _own_profiles: tuple[Profile, ...] = PrivateAttr(default=())

    @property
    def own_profiles(self) -> tuple[Profile, ...]:
        """The profiles of the folder `profiles` beside the file, in order of their names."""
        return self._own_profiles

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
    changed = [name for name in _READ_AT_START if getattr(before, name) != getattr(after, name)]
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

    `profiles` is the folder of people's own profiles.

    Raises ConfigError with one line for each thing that is wrong with it.
    """
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError([f"{name}: not TOML: {error}{_hint_at_brackets(text)}"]) from None
    own = own_profiles(profiles) if profiles is not None else ()
    errors: list[tuple[Path, str]] = []
    config: Config | None = None
    try:
        config = Config.model_validate(data, context={OWN_PROFILES: [profile.name for profile in own]})
        config._own_profiles = own
    except ValidationError as error:
        errors += model_errors(error, Config, data)
    errors += _open_secrets(data, {path for path, _ in errors})
    errors += _component_errors(data)
    errors += _reference_errors(data)
    errors += _missing_extras(data)
    errors += _stream_errors(data) + _function_errors(data)
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


def _stream_errors(data: dict[str, Any]) -> list[tuple[Path, str]]:
    """Streams whose sources, columns or SQL do not fit; what is wrong with one table alone, its own model says."""
    found = _valid(StreamSettings, data.get("streams"))
    if not found:
        return []
    from streams.definitions import define  # noqa: PLC0415  it opens DuckDB

    numbers = list(found)
    _, mistakes = define(list(found.values()))
    return [(("streams", numbers[each.number], each.key), each.sentence) for each in mistakes]


def _function_errors(data: dict[str, Any]) -> list[tuple[Path, str]]:
    """Functions that do not fit each other or the streams."""
    mistakes = mistakes_of(_valid(FunctionSettings, data.get("functions")), _valid(StreamSettings, data.get("streams")))
    return [((each.section, each.number, *each.key.split(".")), each.sentence) for each in mistakes]


def _valid(model: type[Table], tables: object) -> dict[int, Table]:
    """The tables of a list that are valid by themselves, by their number."""
    found = {}
    for number, table in _tables(tables):
        with suppress(ValidationError):
            found[number] = model.model_validate(table)
    return found


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


def _open_secrets(data: dict[str, Any], refused: set[Path]) -> list[tuple[Path, str]]:
    """URLs with a password in them, the one way a secret could still get into the file, where not `refused` already."""
    return [
        (
            path,
            f"secrets are not read from this file; take the password out of the URL and set {SECRET_KEYS['password']}",
        )
        for path, value in _leaves(data)
        if path not in refused and isinstance(value, str) and _URL_WITH_PASSWORD.match(value)
    ]


def _leaves(value: object, path: Path = ()) -> Iterator[tuple[Path, object]]:
    if isinstance(value, dict):
        for key, member in value.items():
            yield from _leaves(member, (*path, key))
    elif isinstance(value, list):
        for number, member in enumerate(value):
            yield from _leaves(member, (*path, number))
    else:
        yield path, value


def _component_errors(data: dict[str, Any]) -> list[tuple[Path, str]]:
    """Detectors and codecs: their names and, by their own models, their parameters."""
    detectors = data.get("detectors")
    tables: list[tuple[Path, Any]] = [(("detectors", name), table) for name, table in _items(detectors)]
    codecs: list[tuple[Path, Any]] = [
        (("routes", number, "codec"), route.get("codec")) for number, route in _tables(data.get("routes"))
    ]
    errors: list[tuple[Path, str]] = []
    if tables:
        models = detector_models()
        for path, table in tables:
            errors += _parameter_errors(path, table, models)
    if any(codec is not None for _, codec in codecs):
        models = codec_models()
        for path, codec in codecs:
            if isinstance(codec, str) and codec not in models:
                errors.append((path, unknown(codec, models)))
            errors += _parameter_errors(path, codec, models)
    return errors


def _parameter_errors(path: Path, table: object, models: dict[str, type[BaseModel]]) -> list[tuple[Path, str]]:
    if not isinstance(table, dict) or not isinstance(name := table.get("type"), str):
        return []
    if name not in models:
        return [((*path, "type"), unknown(name, models))]
    parameters = {key: value for key, value in table.items() if key != "type"}
    try:
        models[name].model_validate(parameters)
    except ValidationError as error:
        return model_errors(error, models[name], parameters, path)
    return []


def _reference_errors(data: dict[str, Any]) -> list[tuple[Path, str]]:
    """Names that stand for something declared elsewhere in the file, and names given twice."""
    known = {*DEFAULT_DETECTORS, *(name for name, _ in _items(data.get("detectors")))}
    errors: list[tuple[Path, str]] = []
    seen: dict[str, int] = {}
    for number, route in _tables(data.get("routes")):
        at: Path = ("routes", number)
        key = next((key for key in ("name", "filter", "profile") if route.get(key)), "name")
        name = route.get(key)
        if isinstance(name, str) and seen.setdefault(name, number) != number:
            errors.append(((*at, key), f'"{name}" is taken by routes[{seen[name]}]; give each route its own name'))
        errors += _unknown_detectors((*at, "detectors"), route.get("detectors"), known)
        for index, metric in _tables(route.get("metrics")):
            errors += _unknown_detectors((*at, "metrics", index, "detectors"), metric.get("detectors"), known)
    for number, entry in _tables(data.get("series")):
        errors += _unknown_detectors(("series", number, "detectors"), entry.get("detectors"), known)
    return (
        errors + _repeated(data, "notices") + _repeated(data, "sinks") + _archived_too_late(data) + _unknown_older(data)
    )


def _archived_too_late(data: dict[str, Any]) -> list[tuple[Path, str]]:
    """Days must be in the archive before the database removes them."""
    archive, store = data.get("archive"), data.get("store")
    archive, store = (table if isinstance(table, dict) else {} for table in (archive, store))
    after = archive.get("after", ArchiveSettings().after)
    keep = store.get("keep", StoreSettings().keep)
    try:
        late = bool(archive.get("folder")) and parse_duration(after) + parse_duration("2d") > parse_duration(keep)
    except (ValueError, TypeError, AttributeError):
        return []
    if not late:
        return []
    return [(("archive", "after"), f'got "{after}", expected at least two days less than store.keep = "{keep}"')]


def _missing_extras(data: dict[str, Any]) -> list[tuple[Path, str]]:
    """Sinks and archive whose libraries are not installed; a detector's own check names its library."""
    archive = data.get("archive")
    wanted: list[tuple[Path, str, str]] = [
        (("sinks", number), extra, module)
        for number, sink in _tables(data.get("sinks"))
        for extra, module in libraries_of(sink.get("type", SinkSettings.model_fields["type"].default))
    ]
    journal = data.get("journal")
    if isinstance(journal, dict):
        wanted += [(("journal",), extra, module) for extra, module in journal_libraries(journal.get("type"))]
    if isinstance(archive, dict) and archive.get("folder"):
        wanted.append((("archive", "folder"), "archive", "pyarrow"))
    return [
        (path, f"needs the library {module}, which is not installed: {how_to_install(extra)}")
        for path, extra, module in wanted
        if not is_installed(module)
    ]


def _unknown_older(data: dict[str, Any]) -> list[tuple[Path, str]]:
    """The sink that older points are read from must be there."""
    store = data.get("store")
    name = store.get("read_older_from") if isinstance(store, dict) else None
    known = [sink["name"] for _, sink in _tables(data.get("sinks")) if isinstance(sink.get("name"), str)]
    if not name or not isinstance(name, str) or name in known:
        return []
    return [(("store", "read_older_from"), unknown(name, known))]


def _repeated(data: dict[str, Any], section: str) -> list[tuple[Path, str]]:
    first: dict[str, int] = {}
    return [
        ((section, number, "name"), f'"{name}" is taken by {section}[{first[name]}]; give each its own name')
        for number, table in _tables(data.get(section))
        if isinstance(name := table.get("name"), str) and first.setdefault(name, number) != number
    ]


def _unknown_detectors(path: Path, names: object, known: set[str]) -> list[tuple[Path, str]]:
    if not isinstance(names, list):
        return []
    return [
        ((*path, index), unknown(name, known))
        for index, name in enumerate(names)
        if isinstance(name, str) and name not in known
    ]


def _items(value: object) -> list[tuple[str, Any]]:
    return list(value.items()) if isinstance(value, dict) else []


def _tables(value: object) -> list[tuple[int, dict[str, Any]]]:
    return [(i, item) for i, item in enumerate(value) if isinstance(item, dict)] if isinstance(value, list) else []
