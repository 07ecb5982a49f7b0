"""`driftline audit`: who did what, and whether the log of it is what was written."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from common.storage_errors import StorageCorruptError, StorageFullError
from driftline.cli.commands.users import account_book, iso
from driftline.cli.console import CommandError, ConfigOption, DataOption
from driftline.cli.tables import Format, FormatOption, Rows, WideOption, print_rows

if TYPE_CHECKING:
    from driftline.access.accounts import AccountBook


class AuditAction(StrEnum):
    """What to do with the log."""

    SHOW = "show"
    VERIFY = "verify"


def audit(
    action: Annotated[
        AuditAction, typer.Argument(help="show: the newest entries; verify: whether they are what was written.")
    ] = AuditAction.SHOW,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=100_000, help="show: most entries.")] = 50,
    known: Annotated[
        str, typer.Option("--hash", help="verify: a hash that was noted before, which must still be in the log.")
    ] = "",
    form: FormatOption = Format.TABLE,
    wide: WideOption = False,
    config: ConfigOption = None,
    data: DataOption = None,
) -> None:
    """Show who changed what, with what was there before and after; or verify that nobody has changed the log.

    Each entry holds a hash of itself and of the one before it. Works with and without a running service.

    Example: driftline audit verify
    """
    book = account_book(config, data)
    if not book.path.exists():
        raise CommandError(f'no accounts in "{book.path.parent}": name the service\'s folder with --data')
    try:
        with book as accounts:
            if action is AuditAction.VERIFY:
                _verify(accounts, known)
                return
            found = accounts.audit(limit)
    except (StorageCorruptError, StorageFullError, OSError) as error:
        raise CommandError(str(error)) from None
    columns = ["time", "who", "address", "action", "detail", "before", "after"]
    rows = [[iso(each.time), *(getattr(each, name) for name in columns[1:])] for each in found]
    print_rows(Rows(columns, rows), form, wide=wide, none="No entries: nobody has changed anything yet")


def _verify(accounts: AccountBook, known: str) -> None:
    state = accounts.verify_audit(known)
    if state.broken:
        raise CommandError(f"{accounts.path}: {state.broken}; {state.entries:,} entries before it are what was written")
    print(f"{state.entries:,} entries are what was written; the newest hash is {state.hash or 'none'}")
    if not known:
        print("Note it elsewhere: only verify --hash tells where the newest entries were cut off with their count.")
