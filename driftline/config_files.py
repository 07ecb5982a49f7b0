"""The files that a configuration names: whether the one who asks can read them, and whether they hold what they should.

Asked by `driftline check`, at the start and at each reload. Other commands read the configuration without them, since
not everyone who may ask a service may read its secrets.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator
from pathlib import Path

from driftline.config import Config
from driftline.config_errors import ConfigError
from functions.runner import load_error
from workflows.definition import read_definition


def check_files(config: Config) -> None:
    """Raise ConfigError with one line for each file that cannot be used: its place, the file, and why."""
    errors = [
        f"{place}: {file} cannot be read: {why}" for place, file in _secrets(config) if (why := _unreadable(file))
    ]
    errors += _certificates(config)
    errors += _functions(config)
    errors += _workflows(config)
    if errors:
        raise ConfigError(errors)


def backup_folder_error(config: Config) -> str:
    """Why backups could not be made in their folder; empty where they can. Nothing is made.

    Asked by `driftline check` alone: a disk that is away for a while must not keep a service from starting.
    """
    folder = config.backup.folder
    if folder is None:
        return ""
    if folder.resolve() == Path(config.data).resolve():
        return f"backup.folder: {folder} is the data folder: expected another folder, best on another disk"
    there = next(each for each in (folder.absolute(), *folder.absolute().parents) if os.path.lexists(each))
    if not there.is_dir():
        return f"backup.folder: {folder} cannot be made: {there} is no folder"
    if not os.access(there, os.W_OK | os.X_OK):
        return f"backup.folder: {folder} cannot be written: {there} is not yours to write"
    return ""


def _secrets(config: Config) -> Iterator[tuple[str, Path]]:
    named = [
        ("broker.password_file", config.broker.password_file),
        ("kafka.password_file", config.kafka.password_file),
        ("http.admin_password_file", config.http.admin_password_file),
        *((f"sinks[{number}].token_file", sink.token_file) for number, sink in enumerate(config.sinks)),
        *((f"notices[{number}].secret_file", notice.secret_file) for number, notice in enumerate(config.notices)),
    ]
    return ((place, file) for place, file in named if file is not None)


def _functions(config: Config) -> Iterator[str]:
    """Functions whose file does not load; each is run, in a process of its own."""
    for number, function in enumerate(config.functions):
        if error := load_error(function):
            yield f"functions[{number}].{error}"


def _workflows(config: Config) -> Iterator[str]:
    """Everything that is wrong with the definitions of workflows."""
    functions = [function.name for function in config.functions]
    for number, workflow in enumerate(config.workflows):
        _, mistakes = read_definition(workflow.file, functions)
        yield from (f"workflows[{number}].file: {mistake}" for mistake in mistakes)


def _unreadable(file: Path) -> str:
    try:
        file.read_text()
    except OSError as error:
        return error.strerror or str(error)
    except UnicodeDecodeError:
        return "not UTF-8"
    return ""


def _certificates(config: Config) -> Iterator[str]:
    try:
        if config.broker.tls_ca is not None:
            ssl.create_default_context(cafile=config.broker.tls_ca)
    except OSError as error:
        yield f"broker.tls_ca: {config.broker.tls_ca}: expected certificates (PEM): {_reason(error)}"
    broker = config.broker
    try:
        if broker.tls_certificate is not None:
            ssl.create_default_context().load_cert_chain(broker.tls_certificate, broker.tls_key)
    except OSError as error:
        yield f"broker.tls_certificate: {broker.tls_certificate}: expected a certificate and its key: {_reason(error)}"
    http = config.http
    try:
        if http.tls_certificate is not None:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(http.tls_certificate, http.tls_key)
    except OSError as error:
        yield (
            f"http.tls_certificate: {http.tls_certificate} with the key {http.tls_key}: expected a certificate chain "
            f"and its key (PEM): {_reason(error)}"
        )


def _reason(error: OSError) -> str:
    return getattr(error, "reason", None) or error.strerror or str(error)
