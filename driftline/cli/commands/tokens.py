"""`driftline tokens`: what programs show the API to say who they are."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from driftline.access.identity import Role
from driftline.cli.commands.users import WHO, account_book, iso
from driftline.cli.console import CommandError, ConfigOption, DataOption, Exit
from driftline.cli.tables import Format, FormatOption, Rows, print_rows

NONE = "No tokens: make one with `driftline tokens add NAME`, see docs/sign-in.md"


class TokenAction(StrEnum):
    """What to do with the tokens."""

    LIST = "list"
    ADD = "add"
    REMOVE = "remove"


def tokens(
    action: Annotated[TokenAction, typer.Argument(help="What to do.")] = TokenAction.LIST,
    name: Annotated[str, typer.Argument(help="The token.", metavar="[NAME]", show_default=False)] = "",
    role: Annotated[Role, typer.Option("--role", help="add: what its bearer may do.")] = Role.VIEWER,
    lifetime: Annotated[
        str, typer.Option("--lifetime", metavar="DURATION", help="add: how long it lasts; for good if not given.")
    ] = "",
    form: FormatOption = Format.TABLE,
    config: ConfigOption = None,
    data: DataOption = None,
) -> None:
    """API tokens: programs send one as `Authorization: Bearer TOKEN` where people have to sign in.

    add prints the new token, which is shown this once. Works with and without a running service.

    Example: driftline tokens add grafana --role viewer --lifetime 365d
    """
    from common.durations import parse_duration
    from driftline.access.accounts import AccountError

    if action is not TokenAction.LIST and not name:
        raise CommandError(f"tokens {action}: NAME is missing", code=Exit.USAGE)
    book = account_book(config, data)
    columns = ["name", "role", "created", "expires", "used"]
    if action is TokenAction.LIST and not book.path.exists():
        print_rows(Rows(columns, []), form, none=NONE)
        return
    with book as accounts:
        try:
            if action is TokenAction.ADD:
                print(accounts.add_token(name, role, parse_duration(lifetime) if lifetime else None))
                accounts.log(WHO, "", "token added", f"{name} as {role}")
            elif action is TokenAction.REMOVE:
                accounts.remove_token(name)
                accounts.log(WHO, "", "token removed", name)
                print(f"token removed: {name}")
            else:
                rows = [
                    [token.name, token.role.value, iso(token.created), iso(token.expires), iso(token.used)]
                    for token in accounts.tokens()
                ]
                print_rows(Rows(columns, rows), form, none=NONE)
        except (AccountError, ValueError) as error:
            raise CommandError(str(error), code=Exit.USAGE) from None
