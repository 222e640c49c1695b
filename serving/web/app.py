"""The web server of `regulars app`: it shows the output folder to whoever has the printed link or the token."""

from __future__ import annotations

import errno
import os
import socket
import ssl
import sys
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from threading import Thread
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from features.config.load import Config
from features.errors import UsageError
from serving.web.access_tokens import MIN_TOKEN_LENGTH, AccessToken, FixedToken, LinkToken

if TYPE_CHECKING:
    from serving.web.parts.output_reader import Site
    from serving.web.security import Door

NEEDED = ("starlette", "uvicorn", "xlsxwriter")
TOKEN = "REGULARS_TOKEN"  # noqa: S105 (the variable's name)
ONCE = f"This address opens the pages once, in one browser. Set {TOKEN} to use a token of your own."
ONCE_OF_MANY = f"{ONCE} When it has been used, the next one is printed."
STOP = "Press Ctrl-C to stop; nothing is written."
SIGN_IN = "Users sign in with their name and password; `regulars users` lists, adds and removes them."
STOP_WITH_LOG = "Press Ctrl-C to stop; downloads are logged in {log}."
ENDING, IMPORTS = 3, 15  # seconds for open answers, and for imports under way, when the server stops


def serve(
    config: Config, host: str, port: int, also: Sequence[str] = (), say: Callable[[str], object] = lambda line: None
) -> None:
    """Serve the pages until interrupted; print the address once the server listens.

    Args:
        config: The business whose output folder is shown.
        host: Where to listen.
        port: On which port; 0 takes a free one.
        also: More host names by which the pages may be opened, such as that of a proxy.
        say: Takes the lines for the terminal.

    Raises:
        UsageError: The extra is not installed, the token is too short, the host or port cannot be used, other machines
            could reach the pages without https, or there are accounts but no users.
        DataError: The file of the users is damaged.
    """
    require_app_extra()
    import uvicorn

    from serving.web.accounts.sign_in import AccountDoor, open_accounts
    from serving.web.parts.output_reader import open_site
    from serving.web.routes import create_application
    from serving.web.security import allowed_hosts, is_local
    from serving.web.token_door import TokenDoor

    require_tls(config, host)
    accounts, site = open_accounts(config), open_site(config)
    with closing(site.connection), closing(listen(host, port)) as socket_:
        address = partial(page_address, host, socket_.getsockname()[1], tls=bool(config.app.tls_certificate))
        if accounts:
            door: Door = AccountDoor(accounts, site.tr)
            lines = [address(), SIGN_IN, STOP_WITH_LOG.format(log=accounts.audit_log.path)]
        else:
            token, lines = _token(own_token(), address, say)
            door = TokenDoor(token, site.tr, config.app.has_tls)
        for line in lines:
            say(line)
        app = create_application(site, allowed_hosts(host, also), not is_local(host), door, accounts)
        settings = uvicorn.Config(
            app, log_level="warning", access_log=False, server_header=False, date_header=False, lifespan="off",
            timeout_graceful_shutdown=ENDING, ws="none", proxy_headers=False, **_certificate(config),
        )  # fmt: skip
        warming = Thread(target=_warm, args=(site,), daemon=True)
        warming.start()
        try:
            uvicorn.Server(settings).run(sockets=[socket_])
        finally:
            warming.join(IMPORTS)  # libraries abort the process if it ends while they are being imported


def _token(given: str, address: Callable[[str], str], say: Callable[[str], object]) -> tuple[AccessToken, list[str]]:
    """The token that opens the pages, and the lines that say how; a link of one use is printed by itself."""
    if given:
        return FixedToken(given), [address(given), STOP]
    more = sys.stdout.isatty()  # a log of what is printed must not hold a link that still opens the pages
    return LinkToken(lambda link: say(address(link)), more), [ONCE_OF_MANY if more else ONCE, STOP]


def _certificate(config: Config) -> dict[str, Any]:
    """The server's certificate and key as uvicorn takes them; none without https of our own.

    Raises:
        UsageError: They cannot be used.
    """
    if not config.app.tls_certificate:
        return {}
    certificate, key = str(config.path(config.app.tls_certificate)), str(config.path(config.app.tls_key))
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key)
    except OSError as problem:  # ssl.SSLError is one, too
        raise UsageError(
            f"[app] tls_certificate {certificate}, tls_key {key}: cannot be used ({problem.strerror or problem}); "
            "expected a certificate and its private key, both in PEM form"
        ) from None
    return {"ssl_certfile": certificate, "ssl_keyfile": key}


def require_tls(config: Config, host: str) -> None:
    """Refuse to be reachable from other machines without https.

    Raises:
        UsageError: The host can be reached from elsewhere, and neither the server nor a proxy has a certificate.
    """
    from serving.web.security import is_local

    if not is_local(host) and not config.app.has_tls:
        raise UsageError(
            f"--host {host} can be reached from other machines, which would send tokens and passwords unencrypted; set "
            "[app] tls_certificate and tls_key, or tls_proxy = true if a proxy in front takes https"
        )


def _warm(site: Site) -> None:
    """Prepare the first page and import slow modules before somebody asks for them."""
    from serving.web.parts.output_reader import MissingOutput, read_scored_cutoff
    from serving.web.views.over_time import history_charts
    from serving.web.views.overview import overview_page

    with suppress(MissingOutput):  # the page itself says what is missing
        at = read_scored_cutoff(site)
        overview_page(site, at)
        history_charts(site, at)
    import_module("serving.web.live_queries")


def require_app_extra() -> None:
    """Check that the packages of the extra are installed.

    Raises:
        UsageError: One is missing.
    """
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise UsageError(
            f"the page needs {' and '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} not installed: "
            "pip install 'regulars[app]', or in a checkout pip install -e '.[app]'"
        )


def own_token() -> str:
    """Read the user's own token from the environment; empty if there is none.

    Raises:
        UsageError: The token is too short to be safe.
    """
    given = os.environ.get(TOKEN, "")
    if given and len(given) < MIN_TOKEN_LENGTH:
        raise UsageError(
            f"{TOKEN} has {len(given)} characters; expected {MIN_TOKEN_LENGTH} or more, such as `openssl rand -hex 24`"
        )
    return given


def listen(host: str, port: int) -> socket.socket:
    """Open a socket that listens.

    Raises:
        UsageError: The port is taken or not allowed, or the host is not of this machine.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family)
    except OSError as problem:
        if problem.errno == errno.EADDRINUSE:
            why = (
                f"port {port} is in use already, perhaps by another `regulars app`; give another with --port, 0 for any"
            )
        elif problem.errno in (errno.EACCES, errno.EPERM):
            why = f"port {port} may not be used by this user; give one from 1024 on with --port"
        else:
            why = f"--host {host}: cannot be used ({problem.strerror or problem}); give an address of this machine"
        raise UsageError(why) from None


def page_address(host: str, port: int, token: str = "", tls: bool = False) -> str:
    """The address at which the pages open.

    Args:
        host: Where the server listens.
        port: On which port.
        token: The secret of the address; empty: none.
        tls: Whether the server takes https.

    Returns:
        The URL.

    >>> page_address("127.0.0.1", 8501, "a+b"), page_address("::1", 443, tls=True)
    ('http://127.0.0.1:8501/?token=a%2Bb', 'https://[::1]:443/')
    """
    name = socket.gethostname() if host in ("0.0.0.0", "::") else host  # noqa: S104 (compared, not bound)
    shown = f"[{name}]" if ":" in name else name
    return f"http{'s' if tls else ''}://{shown}:{port}/" + (f"?{urlencode({'token': token})}" if token else "")
