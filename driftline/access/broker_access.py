"""Credentials of devices at a mosquitto broker: its password file and its list of who may publish where.

Both files are written whole from a list that Driftline keeps, which holds the hashes of passwords and never a password.
A device may have a certificate in place of a password: then the broker takes its user name from that.
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
from driftline.access.local_authority import LocalAuthority

READER = "driftline"
"""The user that Driftline itself signs in as: it reads everything, and publishes what is its own."""
_READERS_OWN = ("driftline/#", "homeassistant/+/driftline/#", "spBv1.0/+/NCMD/+", "spBv1.0/STATE/+")
"""Alarms, notices and streams; sensors for Home Assistant; births asked for, and the state as a Sparkplug host."""

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
    """One device at the broker: its user name, the profile, the topics that are its own, and its password's hash, or
    the serial number (hex) of its certificate."""

    name: str
    profile: str
    topics: tuple[str, ...]
    password: str
    certificate: str = ""


class BrokerAccess:
    """The logins of a folder. Every change is written at once; the broker reads its files again when told to."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.passwords = folder / "passwords"
        self.acl = folder / "acl"
        self.reader_password = folder / f"{READER}.password"
        self.authority = LocalAuthority(folder / "certificates")
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
        own = self._own_topics(name, profile, topics)
        password = new_password()
        login = DeviceLogin(name, profile, own, hashed(password))
        self._write([*self.logins(), login])
        return login, password

    def add_certified(
        self, name: str, profile: str = "", topics: Sequence[str] = (), hosts: Sequence[str] = ()
    ) -> DeviceLogin:
        """A new device with a certificate of the local authority, which is made at its first use, with certificates for
        Driftline itself and for a broker that devices reach at `hosts`. Raises BrokerAccessError, MissingExtraError.
        """
        own = self._own_topics(name, profile, topics)
        if not self.authority.exists:
            self.authority.issue_server([*dict.fromkeys([*hosts, "localhost", "127.0.0.1"])])
            self.authority.issue(READER)
        login = DeviceLogin(name, profile, own, "", f"{self.authority.issue(name):x}")
        self._write([*self.logins(), login])
        return login

    def _own_topics(self, name: str, profile: str, topics: Sequence[str]) -> tuple[str, ...]:
        """The topics of a device that is to be new. Raises BrokerAccessError."""
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
        return own

    def rotate(self, name: str) -> tuple[DeviceLogin, str]:
        """Another password for a device, or another certificate where it has one: then the password is empty. Raises
        BrokerAccessError.
        """
        if before := self._found(name).certificate:
            login = replace(self._found(name), certificate=f"{self.authority.issue(name):x}")
            self._write([login if each.name == name else each for each in self.logins()], revoked=before)
            return login, ""
        password = new_password()
        login = replace(self._found(name), password=hashed(password))
        self._write([login if each.name == name else each for each in self.logins()])
        return login, password

    def revoke(self, name: str) -> None:
        """Let the device sign in no more. Raises BrokerAccessError."""
        revoked = self._found(name).certificate
        self._write([each for each in self.logins() if each.name != name], revoked=revoked)

    def _found(self, name: str) -> DeviceLogin:
        logins = {each.name: each for each in self.logins()}
        if name not in logins:
            raise BrokerAccessError(f"DEVICE: {unknown(name, logins, 'device')}")
        return logins[name]

    def _revoked(self) -> list[str]:
        """Serial numbers of certificates that hold no more."""
        try:
            return list(json.loads(self._list.read_bytes()).get("revoked", ()))
        except FileNotFoundError:
            return []

    def _write(self, logins: Sequence[DeviceLogin], revoked: str = "") -> None:
        self.folder.mkdir(mode=0o750, parents=True, exist_ok=True)
        if not self.reader_password.exists():
            _put(self.reader_password, new_password() + "\n", 0o600)
        reader = hashed(self.reader_password.read_text().strip())
        logins = sorted(logins, key=lambda each: each.name)
        lines = [f"{READER}:{reader}", *(f"{each.name}:{each.password}" for each in logins if each.password)]
        own = "".join(f"topic write {each}\n" for each in _READERS_OWN)
        rules = [f"user {READER}\ntopic read #\ntopic read $SYS/#\n{own}"]
        for each in logins:
            rules.append(
                "\n".join([f"user {each.name}", *(f"topic readwrite {topic}" for topic in each.topics)]) + "\n"
            )
        # The list first: what a kill leaves behind is written again by the next change.
        gone = [*self._revoked(), *([revoked] if revoked else [])]
        listed = {"devices": [asdict(each) for each in logins], "revoked": gone}
        _put(self._list, json.dumps(listed, indent=1) + "\n", 0o600)
        if revoked:
            self.authority.revoke([int(each, 16) for each in gone])
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
