"""Credentials of devices at a mosquitto broker: its password file and its list of who may publish where.

Both files are written whole from a list that Driftline keeps, which holds the hashes of passwords and never a password.
The format of hashes is that of `mosquitto_passwd`: `$7$` for PBKDF2 with SHA-512, iterations, salt, hash.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import secrets
import string
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from common.suggestions import unknown

READER = "driftline"
"""The user that Driftline itself signs in as: it reads everything, and publishes nothing."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_TOPIC = re.compile(r"[^#+\s\0]+(/#)?")
_ITERATIONS = 1_000
_SALT_BYTES, _HASH_BYTES, _PASSWORD_LETTERS = 12, 64, 24
_LETTERS = string.ascii_letters + string.digits
_GENERATED = "# Written by `driftline devices add`, rotate and revoke: changes by hand are lost.\n"

_TOPICS: dict[str, tuple[str, ...]] = {
    "": ("{name}/#",),
    "common": ("{name}/#",),
    "esphome": ("{name}/#", "homeassistant/#"),
    "homie": ("homie/{name}/#", "homie/5/{name}/#"),
    "owntracks": ("owntracks/{name}/#",),
    "senml": ("senml/{name}/#",),
    "shelly": ("{name}/#",),
    "shelly_gen1": ("shellies/{name}/#",),
    "tasmota": ("tele/{name}/#", "stat/{name}/#", "cmnd/{name}/#", "tasmota/discovery/#"),
    "telegraf": ("telegraf/{name}/#",),
    "wled": ("wled/{name}/#",),
    "zigbee2mqtt": ("zigbee2mqtt/#",),
}
"""The topics of a device by its profile; those of others are named with --topic."""


class BrokerAccessError(ValueError):
    """What was asked cannot be done; the message names what was given and what was expected."""


@dataclass(frozen=True, slots=True)
class DeviceLogin:
    """One device at the broker: its user name, the profile, the topics that are its own, and its password's hash."""

    name: str
    profile: str
    topics: tuple[str, ...]
    password: str


class BrokerAccess:
    """The logins of a folder. Every change is written at once; the broker reads its files again when told to."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.passwords = folder / "passwords"
        self.acl = folder / "acl"
        self.reader_password = folder / f"{READER}.password"
        self._list = folder / "devices.json"

    def logins(self) -> list[DeviceLogin]:
        """All devices, by name. Raises BrokerAccessError where the list cannot be read."""
        try:
            saved = json.loads(self._list.read_bytes())
            return [DeviceLogin(**{**each, "topics": tuple(each["topics"])}) for each in saved["devices"]]
        except FileNotFoundError:
            return []
        except (ValueError, KeyError, TypeError) as error:
            raise BrokerAccessError(f"{self._list}: not the list of devices that it was: {error}") from None

    def add(self, name: str, profile: str = "", topics: Sequence[str] = ()) -> tuple[DeviceLogin, str]:
        """A new device, and its password, which is kept nowhere. Raises BrokerAccessError."""
        if not _NAME.fullmatch(name) or name == READER:
            expected = f'a name of letters, digits, "_", "." and "-", at most 64, and not "{READER}"'
            raise BrokerAccessError(f'DEVICE: got "{name}", expected {expected}')
        logins = self.logins()
        if any(each.name == name for each in logins):
            raise BrokerAccessError(f'DEVICE: "{name}" is there already; rotate gives it another password')
        own = tuple(topics) or tuple(each.format(name=name) for each in _TOPICS.get(profile, ()))
        if not own:
            raise BrokerAccessError(f'--topic: missing: which topics does a device of profile "{profile}" publish on?')
        for topic in own:
            if not _TOPIC.fullmatch(topic):
                raise BrokerAccessError(f'--topic: got "{topic}", expected a topic, or one with /# at its end')
        password = new_password()
        login = DeviceLogin(name, profile, own, hashed(password))
        self._write([*logins, login])
        return login, password

    def rotate(self, name: str) -> tuple[DeviceLogin, str]:
        """Another password for a device. Raises BrokerAccessError."""
        password = new_password()
        login = replace(self._found(name), password=hashed(password))
        self._write([login if each.name == name else each for each in self.logins()])
        return login, password

    def revoke(self, name: str) -> None:
        """Let the device sign in no more. Raises BrokerAccessError."""
        self._found(name)
        self._write([each for each in self.logins() if each.name != name])

    def _found(self, name: str) -> DeviceLogin:
        logins = {each.name: each for each in self.logins()}
        if name not in logins:
            raise BrokerAccessError(f"DEVICE: {unknown(name, logins, 'device')}")
        return logins[name]

    def _write(self, logins: Sequence[DeviceLogin]) -> None:
        self.folder.mkdir(mode=0o750, parents=True, exist_ok=True)
        if not self.reader_password.exists():
            _put(self.reader_password, new_password() + "\n", 0o600)
        reader = hashed(self.reader_password.read_text().strip())
        logins = sorted(logins, key=lambda each: each.name)
        lines = [f"{READER}:{reader}", *(f"{each.name}:{each.password}" for each in logins)]
        rules = [f"user {READER}\ntopic read #\ntopic read $SYS/#\n"]
        for each in logins:
            rules.append(
                "\n".join([f"user {each.name}", *(f"topic readwrite {topic}" for topic in each.topics)]) + "\n"
            )
        # The list first: what a kill leaves behind is written again by the next change.
        _put(self._list, json.dumps({"devices": [asdict(each) for each in logins]}, indent=1) + "\n", 0o600)
        _put(self.passwords, "\n".join(lines) + "\n", 0o640)
        _put(self.acl, _GENERATED + "\n".join(rules), 0o640)


def new_password() -> str:
    """A password that a person may have to type, and a shell reads as it is: 142 bits of letters and digits."""
    return "".join(secrets.choice(_LETTERS) for _ in range(_PASSWORD_LETTERS))


def hashed(password: str) -> str:
    """A password's hash with a salt of its own, as mosquitto reads it."""
    salt = secrets.token_bytes(_SALT_BYTES)
    made = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, _ITERATIONS, _HASH_BYTES)
    return f"$7${_ITERATIONS}${base64.b64encode(salt).decode()}${base64.b64encode(made).decode()}"


def _put(path: Path, text: str, mode: int) -> None:
    """Write a file whole, in place of the one before."""
    new = path.with_name(path.name + ".new")
    new.unlink(missing_ok=True)
    handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(handle, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
