"""How commands open a store for reading by its name: the embedded database, or the external one of a sink."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from common.storage_errors import StorageCorruptError
from common.suggestions import unknown
from driftline.cli.client import running_service
from driftline.cli.console import CommandError, Exit
from driftline.config import Config
from driftline.runtime.data_folder import DataFolder
from storage.embedded.database import EmbeddedStore
from storage.external.sink_registry import external_reader
from storage.storage_settings import read_token
from storage.store import Reader

EMBEDDED = "embedded"


@contextmanager
def open_reader(name: str, config: Config, data: Path) -> Iterator[Reader]:
    """The reader of the store of that name: "embedded", in the folder `data`, or a sink's.

    Raises CommandError where there is no such store, or it does not answer.
    """
    sinks = {sink.name: sink for sink in config.sinks}
    try:
        if name in sinks:
            with closing(external_reader(sinks[name], token=read_token(sinks[name], os.environ))) as reader:
                yield reader
        elif name == EMBEDDED:
            with _embedded(data) as store:
                yield store
        else:
            raise CommandError(f"store: {unknown(name, [EMBEDDED, *sinks])}", code=Exit.USAGE)
    except StorageCorruptError as error:
        raise CommandError(str(error)) from None
    except OSError as error:
        raise CommandError(str(error), code=Exit.UNREACHABLE) from None


def _embedded(data: Path) -> EmbeddedStore:
    folder = DataFolder(data)
    if running_service(data) is not None:
        raise CommandError("the service holds the database: stop it, work on a backup, or read from a sink")
    if not folder.database.is_file():
        raise CommandError(f'no data in "{data}": name another folder with --data', code=Exit.UNREACHABLE)
    return EmbeddedStore(folder.database, read_only=True)
