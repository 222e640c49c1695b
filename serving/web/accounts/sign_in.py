"""The door of a shared page: users sign in with a password or through a proxy; the only pages that accept a form."""

from __future__ import annotations

import hmac
import ipaddress
import math
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from threading import Semaphore
from typing import Any
from urllib.parse import parse_qs, urlencode

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import Scope

from features.config.load import Config
from features.errors import DataError, UsageError, printable
from serving.language.messages import N_
from serving.web.accounts.audit_log import AuditLog, audit_log_path
from serving.web.accounts.sessions import LoginThrottle, Session, Sessions
from serving.web.accounts.users_file import User, UsersFile
from serving.web.parts.visits import address_of, cookie_of, is_from_elsewhere, led_on

SIGN_IN, SIGN_OUT = "/sign-in", "/sign-out"
OPEN = (SIGN_IN, "/static/")  # what a visitor may fetch before
MOST_BYTES = 10_000  # of a form
AT_ONCE = 2  # passwords that are hashed at the same time; each takes 32 MB
NO_USER = N_("The proxy has signed in {name}, who is not among the users. `regulars users add {name}` adds them.")
WRONG = N_("The name or the password is wrong.")
TOO_OFTEN = N_("Too many attempts. Try again in {n} s.")
STALE = N_("This form is too old. Sign in again.")
SIGN_IN_FIRST = N_("Sign in first.")


@dataclass(frozen=True)
class Accounts:
    """What the pages of a team share.

    Attributes:
        users: The file of the users.
        sessions: Who is signed in.
        audit_log: The log of downloads.
        throttle: Who has to wait.
        header: The header in which a proxy names the user; empty: none does.
        proxies: The addresses of these proxies.
        secure: Whether browsers reach the pages by https, so that cookies are sent by https only.
    """

    users: UsersFile
    sessions: Sessions
    audit_log: AuditLog
    throttle: LoginThrottle
    header: str = ""
    proxies: tuple[str, ...] = ()
    secure: bool = False

    @property
    def cookie(self) -> str:
        """The name of the cookie; browsers accept the prefix `__Host-` by https only, for this host only."""
        return "__Host-regulars_session" if self.secure else "regulars_session"

    @property
    def form_cookie(self) -> str:
        """The name of the cookie that a form of a visitor must repeat."""
        return "__Host-regulars_form" if self.secure else "regulars_form"

    def set_cookie(self, answer: Response, name: str, value: str) -> None:
        """Give a visitor a cookie that only this server sees and no script can read.

        Args:
            answer: The answer that brings it.
            name: The cookie's name.
            value: Its value.
        """
        answer.set_cookie(name, value, httponly=True, samesite="strict", secure=self.secure, path="/")


def open_accounts(config: Config) -> Accounts | None:
    """The accounts of a config; None if it has none.

    Raises:
        DataError: The file of the users is damaged.
        UsageError: It names nobody.
    """
    rules = config.app
    if not rules.users:
        return None
    users = UsersFile(config.path(rules.users))
    if not users.users():
        raise UsageError(f"{users.path}: names no user yet; `regulars users add NAME` adds one")
    header = rules.proxy_header.lower()
    log = AuditLog(audit_log_path(config.output))
    return Accounts(users, Sessions(), log, LoginThrottle(), header, rules.proxies, rules.has_tls)


class AccountDoor:
    """Lets in users who have signed in, and leads others to the form.

    Args:
        accounts: The accounts.
        tr: The language of the answers.
    """

    posts = (SIGN_IN, SIGN_OUT)

    def __init__(self, accounts: Accounts, tr: Callable[..., str]) -> None:
        self._accounts, self._tr = accounts, tr

    def ask(self, scope: Scope) -> Response | None:
        """Refuse a request, or lead it to the form; None lets it in, with its user in the request's state."""
        headers, path = Headers(scope=scope), scope["path"]
        if path.startswith(OPEN):
            return None
        try:
            users = self._accounts.users.users()
        except DataError as problem:
            return self._say(str(problem), 503)
        proxied = self._proxied(scope, headers)
        session = None if proxied else self._accounts.sessions.find(cookie_of(headers, self._accounts.cookie))
        user = users.get(proxied or (session.user if session else ""))
        if user:
            scope.setdefault("state", {}).update(user=user, session=session)
            return None
        if proxied:
            return self._say(self._tr(NO_USER, name=printable(proxied[:80], keep="")), 403)
        if is_from_elsewhere(headers) and scope["method"] == "GET":
            return led_on(address_of(scope))  # a browser leaves the cookie out of a visit that another site began
        if scope["method"] != "GET" or headers.get("x-part"):
            return self._say(self._tr(SIGN_IN_FIRST), 401)
        return RedirectResponse(f"{SIGN_IN}?{urlencode({'next': address_of(scope)})}", 303)

    def _proxied(self, scope: Scope, headers: Headers) -> str:
        """The user whom a proxy names; empty if none does, or if it is no proxy that is believed."""
        client = scope.get("client")
        if not self._accounts.header or not client or not _is_one_of(client[0], self._accounts.proxies):
            return ""
        return headers.get(self._accounts.header, "").strip()

    def _say(self, message: str, status: int) -> Response:
        return PlainTextResponse(f"{message}\n", status)


def _is_one_of(address: str, known: tuple[str, ...]) -> bool:
    try:
        found = ipaddress.ip_address(address)
        return any(found in ipaddress.ip_network(each, strict=False) for each in known)
    except ValueError:
        return address in known


class SignIn:
    """The form to sign in, and what it and the button to sign out send.

    Args:
        accounts: The accounts.
        tr: The language of the answers.
        page: Writes the form's page from its content.
    """

    def __init__(self, accounts: Accounts, tr: Callable[..., str], page: Callable[..., Response]) -> None:
        self._accounts, self._tr, self._page = accounts, tr, page
        self._room = Semaphore(AT_ONCE)

    async def sign_in(self, request: Request) -> Response:
        """Show the form, or read it."""
        if request.method != "POST":
            return self._form(request, own_address(request.query_params.get("next", "")))
        form = await _read_form(request)
        target = own_address(form.get("next", ""))
        token = cookie_of(request.headers, self._accounts.form_cookie)
        if not token or not hmac.compare_digest(token.encode(), form.get("form_token", "").encode()):
            return self._form(request, target, self._tr(STALE), 403)
        name, address = form.get("name", "").strip()[:80], request.client.host if request.client else ""
        keys = (f"name {name}", f"address {address}")
        if wait := self._accounts.throttle.wait(*keys):
            answer = self._form(request, target, self._tr(TOO_OFTEN, n=math.ceil(wait)), 429)
            answer.headers["Retry-After"] = str(math.ceil(wait))
            return answer
        user = await run_in_threadpool(self._check, name, form.get("password", ""))
        if user is None:
            self._accounts.throttle.failed(*keys)
            return self._form(request, target, self._tr(WRONG), 401)
        self._accounts.throttle.passed(*keys)
        answer = RedirectResponse(target, 303)
        self._accounts.set_cookie(answer, self._accounts.cookie, self._accounts.sessions.begin(user.name))
        return answer

    async def sign_out(self, request: Request) -> Response:
        """End the session of the button's form."""
        form = await _read_form(request)
        session: Session | None = request.state.session
        if session and hmac.compare_digest(session.form_token.encode(), form.get("form_token", "").encode()):
            self._accounts.sessions.end(cookie_of(request.headers, self._accounts.cookie))
        return RedirectResponse(SIGN_IN, 303)

    def _check(self, name: str, password: str) -> User | None:
        with self._room:
            return self._accounts.users.sign_in(name, password)

    def _form(self, request: Request, target: str, message: str = "", status: int = 200) -> Response:
        token = cookie_of(request.headers, self._accounts.form_cookie) or secrets.token_urlsafe(32)
        answer = self._page(status, target=target, message=message, form_token=token)
        self._accounts.set_cookie(answer, self._accounts.form_cookie, token)
        return answer


async def _read_form(request: Request) -> dict[str, str]:
    """The fields of a form; none if it is longer than any of ours."""
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > MOST_BYTES:
            return {}
    fields: dict[str, list[Any]] = parse_qs(body.decode("utf-8", "replace"), keep_blank_values=True)
    return {name: values[0] for name, values in fields.items()}


def own_address(text: str) -> str:
    """An address of these pages; that of the first page in place of any other.

    >>> own_address("/customers?tier=high"), own_address("//evil.example"), own_address("https://evil.example")
    ('/customers?tier=high', '/', '/')
    """
    ours = text.startswith("/") and not text.startswith(("//", "/\\")) and text.isprintable()
    return text if ours else "/"
