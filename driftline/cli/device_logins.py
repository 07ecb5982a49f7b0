"""What `driftline devices` does with credentials: add, rotate and revoke, and what is to be entered where."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from common.extras import MissingExtraError
from driftline.access.broker_access import READER, BrokerAccess, BrokerAccessError, DeviceLogin
from driftline.access.device_snippets import (
    FIRMWARE,
    Certified,
    Entered,
    broker_lines,
    certified_broker_lines,
    certified_snippets,
    snippet,
    try_certified_line,
    try_line,
)
from driftline.cli.console import CommandError, Exit
from driftline.cli.tables import Format, Rows, print_rows

_RESTART = "Restart mosquitto: it reads the list of revoked certificates at its start."
_NO_LOGINS = "No logins: `driftline devices add DEVICE` makes one, see docs/connect/credentials.md"
_AGAIN = "Let mosquitto read its files again: `systemctl reload mosquitto`, or SIGHUP to its process."


def change_login(
    folder: Path,
    action: str,
    targets: Sequence[str],
    *,
    broker: tuple[str, int],
    profile: str,
    topics: Sequence[str],
    with_certificate: bool = False,
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
        is_new = not access.authority.exists
        if action == "add" and with_certificate:
            hosts = () if broker[0] == "BROKER" else (broker[0],)
            login, password = access.add_certified(targets[0], profile, topics, hosts), ""
        elif action == "add":
            login, password = access.add(targets[0], profile, topics)
        else:
            login, password = access.rotate(targets[0])
    except (BrokerAccessError, MissingExtraError) as error:
        raise CommandError(str(error), code=Exit.USAGE) from None
    except OSError as error:
        raise CommandError(f"{folder}: cannot be written: {error.strerror}") from None
    if login.certificate:
        _print_certified(access, login, broker, is_new=is_new)
        return
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


def _print_certified(access: BrokerAccess, login: DeviceLogin, broker: tuple[str, int], *, is_new: bool) -> None:
    """Print where a device's certificate is, and what is to be entered where."""
    authority = access.authority
    certificate, key = map(str, authority.client(login.name))
    entered = Certified(broker[0], broker[1], login, str(authority.certificate), certificate, key)
    print(f"user         {login.name} (the name in the certificate)\ncertificate  {certificate}\nkey          {key}")
    print(f"authority    {authority.certificate}\ntopics       {', '.join(login.topics)}   (it publishes on no others)")
    if is_new:
        server = (str(authority.server[0]), str(authority.server[1]))
        print("\nOnce, in mosquitto's configuration (another server certificate may be put in place of this one):\n")
        print(
            certified_broker_lines(
                port=broker[1], acl=str(access.acl), authority=str(authority.certificate), server=server,
                revoked=str(authority.revoked),
            )
        )  # fmt: skip
        own = authority.client(READER)
        print(
            f'\nand in driftline.toml, so that Driftline may sign in:\n\n[broker]\nurl = "mqtts://{broker[0]}:{broker[1]}"'
        )
        print(f'tls_ca = "{authority.certificate}"\ntls_certificate = "{own[0]}"\ntls_key = "{own[1]}"')
    print(f"\n{_RESTART}\n\nTo try it:\n\n{try_certified_line(entered)}")
    for firmware, piece in certified_snippets(entered).items():
        print(f"\n{firmware}:\n\n{piece}")


def print_logins(folder: Path, form: Format) -> None:
    """Print who may sign in at the broker, and on which topics."""
    try:
        logins = BrokerAccess(folder).logins()
    except BrokerAccessError as error:
        raise CommandError(str(error)) from None
    rows = [[x.name, x.profile, ", ".join(x.topics), "certificate" if x.certificate else "password"] for x in logins]
    print_rows(Rows(["device", "profile", "topics", "by"], rows), form, none=_NO_LOGINS)
