"""Words for what is wrong in a configuration file: place, value, expectation, nearest known name."""

from __future__ import annotations

import types
from collections.abc import Mapping
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from common.suggestions import unknown

Path = tuple[str | int, ...]
"""A place in the file: table keys and list positions, counted from 0."""

SECRET_KEYS = {"password": "DRIFTLINE_MQTT_PASSWORD", "token": "DRIFTLINE_INFLUX_TOKEN"}
"""Keys that a configuration file may not hold, and the environment variable that holds the secret instead."""

_SECRETS_OF_TABLES = {("kafka", "password"): "DRIFTLINE_KAFKA_PASSWORD"}
"""As `SECRET_KEYS`, of one table."""


class ConfigError(Exception):
    """A configuration that cannot be used. `errors` has one line for each thing that is wrong, each with its place."""

    def __init__(self, errors: list[str]) -> None:
        super().__init__("\n".join(errors))
        self.errors = errors


def place(path: Path) -> str:
    """The path as people write it: `routes[2].detectors[0]`."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text


def show(value: object) -> str:
    """A value as it could stand in the file, cut to one short line."""
    if isinstance(value, bool):
        text = str(value).lower()
    elif isinstance(value, str):
        text = f'"{value}"'
    elif isinstance(value, dict):
        return "a table"
    else:
        text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def model_errors(error: ValidationError, model: type[BaseModel], data: object, at: Path = ()) -> list[tuple[Path, str]]:
    """What pydantic found, as (place, sentence) pairs; `at` is where in the file `data` stands.

    Where a value fits none of several types, the sentences about it become one.
    """
    found: dict[Path, list[str]] = {}
    for detail in error.errors(include_url=False):
        path = _locate(detail, data)
        sentence = _sentence(detail, path, model)
        field, colon, rest = sentence.partition(": ")
        if detail["type"] == "value_error" and colon and field in _fields_at(model, path):
            path, sentence = (*path, field), rest
        sentences = found.setdefault(path, [])
        if sentence not in sentences:
            sentences.append(sentence)
    return [((*at, *path), _joined(sentences)) for path, sentences in found.items()]


def _joined(sentences: list[str]) -> str:
    starts = {sentence.rpartition(", expected ")[0] for sentence in sentences}
    if len(sentences) > 1 and len(starts) == 1 and (start := starts.pop()):
        return f"{start}, expected " + " or ".join(s.rpartition(", expected ")[2] for s in sentences)
    return "; or ".join(sentences)


def _locate(detail: ErrorDetails, data: object) -> Path:
    """The error's path in the file, without the names of union members that pydantic puts in."""
    path: list[str | int] = []
    value: Any = data
    steps = detail["loc"]
    for number, step in enumerate(steps):
        is_key = isinstance(value, Mapping) and step in value
        is_position = isinstance(value, list) and isinstance(step, int) and step < len(value)
        if is_key or is_position:
            value = value[step]
            path.append(step)
        elif detail["type"] == "missing" and number == len(steps) - 1:
            path.append(step)
    return tuple(path)


def _sentence(detail: ErrorDetails, path: Path, model: type[BaseModel]) -> str:
    kind, value = detail["type"], detail["input"]
    if kind == "extra_forbidden":
        name = str(path[-1])
        known = _fields_at(model, path[:-1])
        if name in SECRET_KEYS:
            file = f'{name}_file = "PATH"'
            beside = f" or write {file} here" if f"{name}_file" in known else ""
            variable = _SECRETS_OF_TABLES.get((str(path[0]), name), SECRET_KEYS[name])
            return f"secrets are not read from this file; set {variable} in the environment{beside}"
        return unknown(name, known).replace("unknown", "unknown key", 1)
    if kind == "missing":
        field = _model_at(model, path[:-1])
        info = fields_of(field).get(str(path[-1])) if field else None
        return "missing" + (f": {info.description}" if info and info.description else "")
    context = detail.get("ctx", {})
    if kind in {"literal_error", "enum"} and isinstance(value, str):
        return unknown(value, [word.strip("'") for word in str(context["expected"]).replace(" or ", ", ").split(", ")])
    if kind == "value_error":
        return str(context["error"])
    if kind == "list_type" and isinstance(value, dict) and len(path) == 1:
        return f"got one table, expected a list of tables: write [[{path[0]}]], with two brackets, before each of them"
    message = detail["msg"]
    for start in ("Input should be ", "Input should "):
        message = message.removeprefix(start)
    message = message.replace("a valid dictionary or instance of ComponentSettings", "a table")
    message = message.replace("a valid dictionary", "a table").replace("a valid list", "a list")
    if message.startswith("a valid ") and " or instance of " in message:
        message = "a table"
    return f"got {show(value)}, expected {message}"


def _fields_at(model: type[BaseModel], path: Path) -> list[str]:
    found = _model_at(model, path)
    return list(fields_of(found)) if found else []


def fields_of(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """The fields of a settings model by the name that each has in the file."""
    return {info.alias or name: info for name, info in model.model_fields.items()}


def _model_at(model: type[BaseModel], path: Path) -> type[BaseModel] | None:
    """The settings model whose table stands at `path` in a file that `model` describes."""
    current: Any = model
    for step in path:
        current = _unwrapped(current)
        if isinstance(step, int):
            current = get_args(current)[0] if get_origin(current) is list else None
        elif isinstance(current, type) and issubclass(current, BaseModel):
            info = fields_of(current).get(step)
            current = info.annotation if info else None
        elif get_origin(current) is dict:
            current = get_args(current)[1]
        else:
            return None
    current = _unwrapped(current)
    return current if isinstance(current, type) and issubclass(current, BaseModel) else None


def _unwrapped(annotation: Any) -> Any:
    """The annotation without `Annotated` and, of a union, the member that holds tables or lists."""
    if get_origin(annotation) is Annotated:
        return _unwrapped(get_args(annotation)[0])
    if get_origin(annotation) in {Union, types.UnionType}:
        members = [_unwrapped(member) for member in get_args(annotation)]
        holding = [m for m in members if get_origin(m) or (isinstance(m, type) and issubclass(m, BaseModel))]
        return holding[0] if holding else members[0]
    return annotation
