"""What a configuration's own models cannot see: names that stand for something elsewhere, parts, libraries and secrets.

The data are as TOML gives them, valid or not: whatever is wrong with one table, the others are checked too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ValidationError

from common.durations import parse_duration
from common.extras import how_to_install, is_installed
from common.suggestions import unknown
from driftline.components import codec_models, detector_models
from driftline.config_errors import SECRET_KEYS, Path, model_errors
from functions.definitions import mistakes_of
from functions.function_settings import FunctionSettings
from ingest.ingest_settings import DEFAULT_DETECTORS, RouteSettings
from storage.external.sink_registry import libraries_of
from storage.journal.journal_registry import journal_libraries
from storage.journal.kafka_settings import EXTRA, LIBRARY
from storage.storage_settings import ArchiveSettings, SinkSettings, StoreSettings, token_variable
from streams.stream_settings import StreamSettings
from workflows.workflow_settings import WorkflowSettings, workflow_mistakes

if TYPE_CHECKING:
    from streams.reference_tables import ReferenceTable

Table = TypeVar("Table", bound=BaseModel)
_URL_WITH_PASSWORD = re.compile(r"^[a-z0-9+.-]+://[^/@\s]*:[^/@\s]+@", re.IGNORECASE)


Contents = dict[str, dict[str, "ReferenceTable"]]
"""What the files hold that streams join: by stream, and by the name that its SQL has for each."""


def errors_between_tables(data: dict[str, Any], contents: Contents, *, refused: set[Path]) -> list[tuple[Path, str]]:
    """The place and a sentence for each error; the values at `refused` places have one already."""
    return [
        *_open_secrets(data, refused),
        *_component_errors(data),
        *_reference_errors(data),
        *_missing_extras(data),
        *_properties_without_mqtt_5(data),
        *_stream_errors(data, contents, refused),
        *_function_errors(data),
        *_workflow_errors(data),
    ]


def _open_secrets(data: dict[str, Any], refused: set[Path]) -> list[tuple[Path, str]]:
    """URLs with a password in them, the one way a secret could still get into the file, where not `refused` already."""
    return [
        (path, f"secrets are not read from this file; take the password out of the URL{_instead(path, data)}")
        for path, value in _leaves(data)
        if path not in refused and isinstance(value, str) and _URL_WITH_PASSWORD.match(value)
    ]


def _instead(path: Path, data: dict[str, Any]) -> str:
    """Where the secret of a URL at this place is read from instead; empty where none is."""
    match path:
        case ("broker", *_):
            return f" and set {SECRET_KEYS['password']}"
        case ("sinks", int(number), str(), *_):
            variable = token_variable(str(data["sinks"][number].get("name", "NAME")))
            return f' and set {variable} to the token (InfluxDB 1: USER:PASSWORD), or write token_file = "PATH" here'
        case ("tracing", *_):
            return " and set OTEL_EXPORTER_OTLP_HEADERS"
    return ""


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
    for number, route in _tables(data.get("routes")):
        by_type = route["properties"].get("codecs") if isinstance(route.get("properties"), dict) else None
        codecs += [(("routes", number, "properties", "codecs", name), codec) for name, codec in _items(by_type)]
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
    wanted += [(("workflows", number), "workflows", "dbos") for number, _ in _tables(data.get("workflows"))]
    if "kafka" in data:
        wanted.append((("kafka",), EXTRA, LIBRARY))
    if "tracing" in data:
        wanted.append((("tracing",), "tracing", "opentelemetry.exporter.otlp"))
    return [
        (path, f"needs the library {module}, which is not installed: {how_to_install(extra)}")
        for path, extra, module in wanted
        if not is_installed(module)
    ]


def _properties_without_mqtt_5(data: dict[str, Any]) -> list[tuple[Path, str]]:
    """Routes that ask for properties, which messages of MQTT 3.1.1 do not have."""
    broker = data.get("broker")
    if not isinstance(broker, dict) or broker.get("protocol") != "3.1.1":
        return []
    sentence = 'it asks for properties, which MQTT 3.1.1 does not have: expected broker.protocol = "5"'
    return [
        (("routes", number), sentence)
        for number, route in _valid(RouteSettings, data.get("routes")).items()
        if route.asks_properties or (route.properties is not None and route.properties.time)
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


def read_stream_tables(data: dict[str, Any], folder: FilePath) -> tuple[Contents, list[tuple[Path, str]]]:
    """The files that streams join, relative to a folder, and a sentence for each that is no table."""
    contents: Contents = {}
    errors: list[tuple[Path, str]] = []
    for number, stream in _valid(StreamSettings, data.get("streams")).items():
        for name, file in stream.tables.items():
            from streams.reference_tables import ReferenceTableError, read_reference_table  # noqa: PLC0415  DuckDB

            try:
                contents.setdefault(stream.name, {})[name] = read_reference_table(folder / file, within=folder)
            except ReferenceTableError as error:
                errors.append((("streams", number, "tables", name), f"{folder / file}: {error}"))
    return contents, errors


def _stream_errors(data: dict[str, Any], contents: Contents, refused: set[Path]) -> list[tuple[Path, str]]:
    """Streams whose sources, columns or SQL do not fit; what is wrong with one table alone, its own model says."""
    found = _valid(StreamSettings, data.get("streams"))
    if not found:
        return []
    from streams.definitions import define  # noqa: PLC0415  it opens DuckDB

    numbers = list(found)
    _, mistakes = define(list(found.values()), contents)
    sinks = [sink["name"] for _, sink in _tables(data.get("sinks")) if isinstance(sink.get("name"), str)]
    placed: list[tuple[Path, str]] = [
        (("streams", numbers[each.number], *each.key.split(".")), each.sentence) for each in mistakes
    ]
    errors = [error for error in placed if error[0] not in refused]
    for number, stream in found.items():
        errors += [
            (("streams", number, "to"), unknown(name, sinks, "sink")) for name in stream.sinks if name not in sinks
        ]
    return errors


def _function_errors(data: dict[str, Any]) -> list[tuple[Path, str]]:
    """Functions that do not fit each other or the streams."""
    mistakes = mistakes_of(_valid(FunctionSettings, data.get("functions")), _valid(StreamSettings, data.get("streams")))
    return [((each.section, each.number, *each.key.split(".")), each.sentence) for each in mistakes]


def _workflow_errors(data: dict[str, Any]) -> list[tuple[Path, str]]:
    """Workflows that do not fit the functions and streams, and functions that start one that is none."""
    workflows = _valid(WorkflowSettings, data.get("workflows"))
    functions = _valid(FunctionSettings, data.get("functions"))
    streams = [each.name for each in _valid(StreamSettings, data.get("streams")).values()]
    mistakes = workflow_mistakes(workflows, [each.name for each in functions.values()], streams)
    errors: list[tuple[Path, str]] = [
        (("workflows", number, *key.split(".")), sentence) for number, key, sentence in mistakes
    ]
    known = [each.name for each in workflows.values()]
    return errors + [
        (("functions", number, "with", "workflow"), unknown(str(each.with_["workflow"]), known, "workflow"))
        for number, each in functions.items()
        if each.action == "workflow" and each.with_["workflow"] not in known
    ]


def _valid(model: type[Table], tables: object) -> dict[int, Table]:
    """The tables of a list that are valid by themselves, by their number."""
    found = {}
    for number, table in _tables(tables):
        with suppress(ValidationError):
            found[number] = model.model_validate(table)
    return found
