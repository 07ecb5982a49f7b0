"""What `driftline devices` does with credentials: add, rotate and revoke, and what is to be entered where."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from driftline.access.broker_access import READER, BrokerAccess, BrokerAccessError
from driftline.access.device_snippets import FIRMWARE, Entered, broker_lines, snippet, try_line
from driftline.cli.console import CommandError, Exit
from driftline.cli.tables import Format, Rows, print_rows

_AGAIN = "Let mosquitto read its files again: `systemctl reload mosquitto`, or SIGHUP to its process."


def change_login(
    folder: Path, action: str, targets: Sequence[str], *, broker: tuple[str, int], profile: str, topics: Sequence[str]
) -> None:
    """Add, rotate or revoke one device's login, and print what is to be entered. Raises CommandError."""
    if len(targets) != 1:
        raise CommandError(f"DEVICE: {len(targets)} are given, expected one", code=Exit.USAGE)
    access = BrokerAccess(folder.absolute())
    first = not access.passwords.exists()
    try:
        if action == "revoke":
            access.revoke(targets[0])
            print(f'"{targets[0]}" may sign in no more.\n{_AGAIN}')
            print("A connection that it still holds ends when mosquitto restarts.")
            return
        if action == "add":
            login, password = access.add(targets[0], profile, topics)
        else:
            login, password = access.rotate(targets[0])
    except BrokerAccessError as error:
        raise CommandError(str(error), code=Exit.USAGE) from None
    except OSError as error:
        raise CommandError(f"{folder}: cannot be written: {error.strerror}") from None
    entered = Entered(*broker, login, password)
    print(f"user      {login.name}\npassword  {password}   (shown this once)")
    print(f"topics    {', '.join(login.topics)}   (it publishes on no others)")
    if first:
        print("\nOnce, in mosquitto's configuration (mosquitto 2.1 has the same as plugins and still reads these):\n")
        print("allow_anonymous false")
        print(broker_lines(str(access.passwords), str(access.acl)))
        print(f'\nand in driftline.toml, so that Driftline may sign in:\n\n[broker]\nusername = "{READER}"')
        print(f'password_file = "{access.reader_password}"')
    print(f"\n{_AGAIN}\n\nTo try it:\n\n{try_line(entered)}")
    for firmware in [profile] if profile in FIRMWARE else FIRMWARE:
        print(f"\n{firmware}:\n\n{snippet(entered, firmware)}")


def print_logins(folder: Path, form: Format) -> None:
    """Print who may sign in at the broker, and on which topics."""
    try:
        logins = BrokerAccess(folder).logins()
    except BrokerAccessError as error:
        raise CommandError(str(error)) from None
    print_rows(Rows(["device", "profile", "topics"], [[x.name, x.profile, ", ".join(x.topics)] for x in logins]), form)
