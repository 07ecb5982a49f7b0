"""Who a request comes from, and whether its CSRF token is right. What HTTP frameworks are made of stays outside."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import secrets
from collections.abc import Mapping

from common.durations import parse_duration
from driftline.access.accounts import AccountBook
from driftline.access.attempts import Attempts
from driftline.access.identity import Identity, IdentityKind, Role
from driftline.http.http_settings import HttpSettings

COOKIE = "driftline_session"
CSRF_HEADER = "x-csrf-token"
_TOKEN_SCHEMES = ("bearer", "token")
"""How programs say that a token follows; the second is that of InfluxDB's clients."""


class SignInError(Exception):
    """A sign-in was refused. `wait` is the number of seconds before the next attempt, 0 where it may be at once."""

    def __init__(self, message: str, *, wait: float = 0.0) -> None:
        super().__init__(message)
        self.wait = wait


class NoAccountError(Exception):
    """The service would be reachable from the network without anyone who could sign in."""


class Gate:
    """Decides who a request comes from, by session cookie, API token, or a trusted proxy's header.

    Where the service listens on loopback alone and has no users, everyone who reaches it may do everything.
    `local_token` is a secret of this run that the command line finds in the data folder.
    """

    def __init__(self, settings: HttpSettings, accounts: AccountBook, attempts: Attempts | None = None) -> None:
        self.accounts = accounts
        self.local_token = secrets.token_urlsafe(32)
        self._settings = settings
        self._attempts = attempts or Attempts()
        self._idle = parse_duration(settings.session_idle)
        self._proxies = [ipaddress.ip_network(each, strict=False) for each in settings.proxies]

    def check(self) -> None:
        """Raises NoAccountError where the settings open the service to a network and nobody could sign in."""
        if self._settings.on_loopback or self._settings.proxy_user_header or self.accounts.has_users:
            return
        raise NoAccountError(
            f'http.host: "{self._settings.host}" can be reached from the network, and nobody may sign in yet; add '
            "someone with `driftline users add NAME --role admin`, or set http.admin_password_file"
        )

    @property
    def needs_sign_in(self) -> bool:
        """Whether requests have to show who they come from."""
        return not self._settings.on_loopback or bool(self._settings.proxy_user_header) or self.accounts.has_users

    def identify(self, headers: Mapping[str, str], cookies: Mapping[str, str], peer: str) -> Identity | None:
        """Who the request comes from; None where it does not show. `headers` by lower-case name."""
        address = self.address(headers, peer)
        scheme, _, text = headers.get("authorization", "").partition(" ")
        if scheme.lower() in _TOKEN_SCHEMES:
            return self._by_token(text.strip(), address)
        if cookie := cookies.get(COOKIE):
            user = self.accounts.session(cookie, self._idle)
            if user is not None:
                return Identity(user.name, user.role, IdentityKind.SESSION, cookie, address)
        header = self._settings.proxy_user_header.lower()
        if header and self.is_proxy(peer) and (name := headers.get(header, "").strip()):
            known = self.accounts.user(name)
            role = known.role if known else Role(self._settings.proxy_role)
            return Identity(name, role, IdentityKind.PROXY, name, address)
        return None if self.needs_sign_in else Identity("local", Role.ADMIN, IdentityKind.OPEN, "", address)

    def sign_in(self, name: str, password: str, address: str) -> str:
        """A new session's id. Raises SignInError."""
        wait = self._attempts.wait_seconds(name, address)
        if wait > 0:
            self.accounts.log(name, address, "sign-in refused", "too many failures")
            raise SignInError(f"too many failed attempts; try again in {wait:.0f} s", wait=wait)
        user = self.accounts.check_password(name, password)
        if user is None:
            self._attempts.failed(name, address)
            self.accounts.log(name, address, "sign-in failed")
            raise SignInError("name or password is wrong")
        self._attempts.succeeded(name, address)
        self.accounts.log(name, address, "signed in")
        return self.accounts.begin_session(name)

    def csrf_token(self, identity: Identity) -> str:
        """What a browser has to send with everything that changes something, in the header X-CSRF-Token."""
        text = f"{identity.kind}:{identity.key}".encode()
        return hmac.new(self.accounts.secret, text, hashlib.sha256).hexdigest()

    def csrf_fits(self, identity: Identity, headers: Mapping[str, str]) -> bool:
        """Whether the request holds the CSRF token that its identity needs."""
        given = headers.get(CSRF_HEADER, "").encode()
        return not identity.needs_csrf_token or hmac.compare_digest(given, self.csrf_token(identity).encode())

    def is_proxy(self, peer: str) -> bool:
        """Whether the peer is a proxy that is trusted by name."""
        try:
            address = ipaddress.ip_address(peer)
        except ValueError:
            return False
        return any(address in network for network in self._proxies)

    def address(self, headers: Mapping[str, str], peer: str) -> str:
        """The client's address: the last one that a trusted proxy names, else the peer's."""
        if self.is_proxy(peer):
            named = headers.get("x-forwarded-for", "").rpartition(",")[2].strip()
            try:
                return str(ipaddress.ip_address(named))
            except ValueError:
                return peer
        return peer

    def is_encrypted(self, headers: Mapping[str, str], peer: str, scheme: str) -> bool:
        """Whether the client's connection is HTTPS, to this server or to a trusted proxy."""
        return scheme == "https" or (self.is_proxy(peer) and headers.get("x-forwarded-proto", "").lower() == "https")

    def _by_token(self, text: str, address: str) -> Identity | None:
        if hmac.compare_digest(text.encode(), self.local_token.encode()):
            return Identity("command line", Role.ADMIN, IdentityKind.TOKEN, "", address)
        token = self.accounts.token(text)
        return Identity(f"token {token.name}", token.role, IdentityKind.TOKEN, "", address) if token else None
