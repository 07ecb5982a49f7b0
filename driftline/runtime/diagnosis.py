"""Is everything that the service needs in order? Each check says what is, and what to do about it."""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from importlib import metadata
from pathlib import Path

from common.extras import MissingExtraError
from common.time_units import SECOND, utc_text
from devices.recognition import Profiles
from driftline.cli.client import RunningService, get, running_service
from driftline.cli.console import CommandError
from driftline.config import Config
from driftline.runtime.broker_diagnosis import broker_problem
from driftline.runtime.data_folder import DataFolder
from ingest.broker_settings import read_password
from ingest.topic_routes import topic_filters
from storage.journal.kafka_settings import read_kafka_password
from storage.journal.kafka_topic import KafkaAwayError, partitions_of

ENOUGH_DISK = 1 << 30
_MOST_SHOWN = 5
_KAFKA_WITHIN = 5.0
EARLIEST_CLOCK = 1_767_225_600.0
"""2026-01-01T00:00:00Z in seconds since the epoch: a clock before that has never been set."""


class Level(StrEnum):
    """How a check came out."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found: its name, how it came out, and a sentence."""

    check: str
    level: Level
    message: str


def examine(config: Config, data: Path) -> Iterator[Finding]:
    """Run every check, in the order in which the service needs what they look at."""
    service = running_service(data)
    yield _python()
    yield _kernels()
    yield _folder(data)
    yield _disk(data)
    yield _clock(data)
    yield _service(service)
    yield _broker(config, service)
    if "kafka" in config.model_fields_set or config.journal.type == "kafka":
        yield _kafka(config)
    yield _database(data, service)
    yield _port(config, service)
    yield _devices(service)


def _python() -> Finding:
    libraries = ", ".join(f"{name} {metadata.version(name)}" for name in ("numba", "numpy", "duckdb", "paho-mqtt"))
    return Finding("versions", Level.OK, f"Python {platform.python_version()}, {libraries}")


def _devices(service: RunningService | None) -> Finding:
    if service is None:
        return Finding("devices", Level.OK, "known while the service runs")
    try:
        devices = get(service, "devices")["devices"]
    except CommandError as error:
        return Finding("devices", Level.FAIL, str(error))
    troubles = [f'"{each["device"]}": {word}' for each in devices for word in (each["refusal"], each["clock"]) if word]
    if not troubles:
        return Finding("devices", Level.OK, f"{len(devices)} devices, nothing wrong with their messages and clocks")
    more = f"; and {len(troubles) - _MOST_SHOWN} more, in `driftline devices`" if len(troubles) > _MOST_SHOWN else ""
    return Finding("devices", Level.WARN, "; ".join(troubles[:_MOST_SHOWN]) + more)


def _kernels() -> Finding:
    import detectors  # noqa: PLC0415  the package alone, without the compiler

    folder = Path(detectors.__file__).parent / "__pycache__"
    if any(folder.glob("*.nbi")):
        return Finding("kernels", Level.OK, f"compiled, in {folder}")
    where = folder if folder.is_dir() else folder.parent
    if not os.access(where, os.W_OK) and "NUMBA_CACHE_DIR" not in os.environ:
        return Finding(
            "kernels", Level.WARN, f"{where} cannot be written: every start compiles anew; set NUMBA_CACHE_DIR"
        )
    return Finding("kernels", Level.WARN, f"not compiled yet: `{sys.executable} -m driftline.compile` saves the wait")


def _folder(data: Path) -> Finding:
    nearest = _nearest_existing(data)
    try:
        with tempfile.TemporaryFile(dir=nearest):
            pass
    except OSError as error:
        return Finding("data folder", Level.FAIL, f'"{nearest}" cannot be written: {error.strerror}')
    made = "" if data.is_dir() else ", to be made at the first start"
    return Finding("data folder", Level.OK, f'"{data}" can be written{made}')


def _disk(data: Path) -> Finding:
    free = shutil.disk_usage(_nearest_existing(data)).free
    level = Level.OK if free >= ENOUGH_DISK else Level.WARN
    advice = "" if level is Level.OK else f"; expected at least {ENOUGH_DISK / 2**30:.0f} GiB"
    return Finding("disk", level, f"{free / 2**30:.1f} GiB free{advice}")


def _clock(data: Path) -> Finding:
    now = time.time()
    written = max((path.stat().st_mtime for path in data.glob("*") if path.is_file()), default=0.0)
    shown = utc_text(int(now) * SECOND)
    if now < EARLIEST_CLOCK:
        return Finding("clock", Level.FAIL, f"it is {shown} by this machine's clock, which has never been set")
    if written > now + 60:
        return Finding(
            "clock", Level.FAIL, f"it is {shown}, yet the data folder was written {written - now:.0f} s later"
        )
    return Finding("clock", Level.OK, f"it is {shown} by this machine's clock")


def _service(service: RunningService | None) -> Finding:
    if service is None:
        return Finding("service", Level.OK, "not running on this data folder")
    try:
        health = get(service, "health", accept_red=True)
    except CommandError as error:
        return Finding("service", Level.FAIL, str(error))
    troubles = [f"{each['stage']}: {each['message']}" for each in health["stages"] if each["status"] != "green"]
    level = {"green": Level.OK, "yellow": Level.WARN}.get(health["status"], Level.FAIL)
    return Finding("service", level, "; ".join([f"process {service.pid} at {service.url}", *troubles]))


def _broker(config: Config, service: RunningService | None) -> Finding:
    settings = config.broker
    if settings.url == "auto" and service is None:
        program = shutil.which("mosquitto")
        if program is None:
            message = "auto: no mosquitto on PATH, so the embedded broker, which is slower; `apt install mosquitto`"
            return Finding("broker", Level.WARN, message)
        return Finding("broker", Level.OK, f"auto: {program} will be started")
    url = service.broker if service is not None else settings.url
    try:
        password = read_password(settings, os.environ)
    except OSError as error:
        return Finding("broker", Level.FAIL, f"broker.password_file cannot be read: {error}")
    profiles = Profiles(config.own_profiles)
    filters = [each for route in config.routes for each in topic_filters(route, profiles)]
    problem = broker_problem(settings.model_copy(update={"url": url}), password, list(dict.fromkeys(filters)))
    return Finding("broker", Level.FAIL if problem else Level.OK, f"{url}: {problem or 'accepts the connection'}")


def _kafka(config: Config) -> Finding:
    settings = config.kafka
    try:
        password = read_kafka_password(settings, os.environ)
    except OSError as error:
        return Finding("kafka", Level.FAIL, f"kafka.password_file cannot be read: {error}")
    try:
        found = partitions_of(settings, password, timeout=_KAFKA_WITHIN, make=False)
    except (KafkaAwayError, MissingExtraError) as error:
        return Finding("kafka", Level.FAIL, str(error))
    told = f"{found} partitions" if found else "not there yet; made by the first that writes or reads it"
    return Finding("kafka", Level.OK, f"{settings.place}: {told}")


def _database(data: Path, service: RunningService | None) -> Finding:
    from common.storage_errors import StorageCorruptError  # noqa: PLC0415
    from storage.embedded.database import EmbeddedStore  # noqa: PLC0415  brings the database

    path = DataFolder(data).database
    if not path.is_file():
        return Finding("database", Level.OK, "none yet; made at the first start")
    if service is not None:
        return Finding("database", Level.OK, f"{path}, {_size(path)}, held by the service")
    try:
        with EmbeddedStore(path, read_only=True) as store:
            position = store.position
    except (StorageCorruptError, OSError) as error:
        return Finding("database", Level.FAIL, str(error))
    return Finding("database", Level.OK, f"{path} opens, {_size(path)}, at journal position {position}")


def _size(database: Path) -> str:
    """What a database takes on disk, with what is written beside it and not yet into it."""
    beside = database.with_name(f"{database.name}.wal")
    kept = sum(path.stat().st_size for path in (database, beside) if path.exists())
    return f"{kept / 2**20:,.1f} MiB" if kept >= 2**20 else f"{-(-kept // 2**10)} KiB"


def _port(config: Config, service: RunningService | None) -> Finding:
    if not config.http.enabled:
        return Finding("page", Level.OK, "not served (http.enabled = false)")
    if service is not None:
        return Finding("page", Level.OK, service.url)
    if config.http.port is None:
        return Finding("page", Level.OK, "on the first free port, as none is configured")
    problem = _occupied(config.http.host, config.http.port)
    where = f"{config.http.host}:{config.http.port}"
    if problem:
        return Finding("page", Level.FAIL, f"http.port: {where}: {problem}; free it or set another one")
    return Finding("page", Level.OK, f"{where} is free")


def _occupied(host: str, port: int) -> str:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with contextlib.closing(socket.socket(family)) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return error.strerror or str(error)
    return ""


def _nearest_existing(path: Path) -> Path:
    return next(each for each in (path.absolute(), *path.absolute().parents) if each.is_dir())
