"""`driftline users`: who may sign in to the page."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from common.time_units import utc_text
from driftline.access.identity import Role
from driftline.cli.console import CommandError, ConfigOption, DataOption, Exit, data_folder
from driftline.cli.tables import Format, FormatOption, Rows, print_rows

if TYPE_CHECKING:
    from driftline.access.accounts import AccountBook

WHO = "command line"
NONE = (
    "No users, so nobody has to sign in: `driftline users add NAME --role admin` makes the first, see docs/sign-in.md"
)


class UserAction(StrEnum):
    """What to do with the users."""

    LIST = "list"
    ADD = "add"
    REMOVE = "remove"
    ROLE = "role"
    PASSWORD = "password"


def users(
    action: Annotated[UserAction, typer.Argument(help="What to do.")] = UserAction.LIST,
    name: Annotated[str, typer.Argument(help="The user.", metavar="[NAME]", show_default=False)] = "",
    role: Annotated[Role, typer.Option("--role", help="add, role: what the user may do.")] = Role.VIEWER,
    password_file: Annotated[
        Path | None,
        typer.Option(
            "--password-file",
            metavar="FILE",
            help='add, password: the file that holds it; "-" is stdin.',
        ),
    ] = None,
    form: FormatOption = Format.TABLE,
    config: ConfigOption = None,
    data: DataOption = None,
) -> None:
    """Users of the page: who may sign in, and what they may do.

    From the first user on, who has to be an admin, everyone has to sign in. viewer reads, operator also acts on alarms
    and devices, admin does everything. Works with and without a running service.

    Example: driftline users add maria --role admin
    """
    from driftline.access.accounts import AccountError

    if action is not UserAction.LIST and not name:
        raise CommandError(f"users {action}: NAME is missing", code=Exit.USAGE)
    book = account_book(config, data)
    columns = ["name", "role", "created"]
    if action is UserAction.LIST and not book.path.exists():
        print_rows(Rows(columns, []), form, none=NONE)
        return
    with book as accounts:
        try:
            _act(accounts, action, name, role, password_file)
        except AccountError as error:
            raise CommandError(str(error), code=Exit.USAGE) from None
        if action is UserAction.LIST:
            rows = [[user.name, user.role.value, iso(user.created)] for user in accounts.users()]
            print_rows(Rows(columns, rows), form, none=NONE)


def _act(accounts: AccountBook, action: UserAction, name: str, role: Role, password_file: Path | None) -> None:
    if action is UserAction.ADD:
        if not accounts.has_users and role is not Role.ADMIN:
            raise CommandError("--role: the first user has to be an admin", code=Exit.USAGE)
        accounts.add_user(name, role, _password(password_file))
        _done(accounts, "user added", f"{name} as {role}")
    elif action is UserAction.PASSWORD:
        accounts.set_password(name, _password(password_file))
        _done(accounts, "password changed", name)
    elif action is UserAction.ROLE:
        before = accounts.user(name)
        accounts.set_role(name, role)
        print(f"role changed: {name} is {role}")
        was = "" if before is None else before.role.value
        accounts.log(WHO, "", "role changed", name, before=was, after=role.value)
    elif action is UserAction.REMOVE:
        accounts.remove_user(name)
        _done(accounts, "user removed", name)


def _done(accounts: AccountBook, action: str, detail: str) -> None:
    accounts.log(WHO, "", action, detail)
    print(f"{action}: {detail}")


def _password(file: Path | None) -> str:
    import sys

    if file is None and sys.stdin.isatty():
        return str(typer.prompt("Password", hide_input=True, confirmation_prompt=True))
    try:
        text = sys.stdin.readline() if file is None or str(file) == "-" else file.read_text()
    except OSError as error:
        raise CommandError(f"--password-file: {file}: {error.strerror}", code=Exit.USAGE) from None
    return (text.splitlines() or [""])[0]


def account_book(config: Path | None, data: Path | None) -> AccountBook:
    """The accounts of the data folder, not open yet."""
    from driftline.access.accounts import AccountBook
    from driftline.runtime.data_folder import DataFolder

    return AccountBook(DataFolder(data_folder(config, data)).accounts)


def iso(time: int | None) -> str:
    """A time in ns as ISO 8601 in UTC; empty where there is none."""

    return "" if time is None else utc_text(time)
