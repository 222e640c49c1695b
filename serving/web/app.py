"""The web server of `regulars app`: it shows the output folder to whoever has the printed link or the token."""

from __future__ import annotations

import errno
import os
import socket
import sys
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from threading import Thread
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from features.config.load import Config
from features.errors import UsageError
from serving.web.access_tokens import MIN_TOKEN_LENGTH, AccessToken, FixedToken, LinkToken

if TYPE_CHECKING:
    from serving.web.parts.output_reader import Site

NEEDED = ("starlette", "uvicorn", "xlsxwriter")
TOKEN = "REGULARS_TOKEN"  # noqa: S105 (the variable's name)
ONCE = f"This address opens the pages once, in one browser. Set {TOKEN} to use a token of your own."
ONCE_OF_MANY = f"{ONCE} When it has been used, the next one is printed."
STOP = "Press Ctrl-C to stop; nothing is written."
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
        UsageError: The extra is not installed, the token is too short, or the host or port cannot be used.
    """
    require_app_extra()
    import uvicorn

    from serving.web.parts.output_reader import open_site
    from serving.web.routes import create_application
    from serving.web.security import allowed_hosts, is_local

    given, site = own_token(), open_site(config)
    with closing(site.connection), closing(listen(host, port)) as door:
        address = partial(page_address, host, door.getsockname()[1])
        more = sys.stdout.isatty()  # a log of what is printed must not hold a link that still opens the pages
        token: AccessToken = FixedToken(given) if given else LinkToken(lambda link: say(address(link)), more)
        app = create_application(site, allowed_hosts(host, also), not is_local(host), token)
        for line in ([address(given)] if given else [ONCE_OF_MANY if more else ONCE]) + [STOP]:
            say(line)
        settings = uvicorn.Config(
            app, log_level="warning", access_log=False, server_header=False, date_header=False, lifespan="off",
            timeout_graceful_shutdown=ENDING, ws="none",
        )  # fmt: skip
        warming = Thread(target=_warm, args=(site,), daemon=True)
        warming.start()
        try:
            uvicorn.Server(settings).run(sockets=[door])
        finally:
            warming.join(IMPORTS)  # libraries abort the process if it ends while they are being imported


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


def page_address(host: str, port: int, token: str) -> str:
    """The address at which the pages open.

    Args:
        host: Where the server listens.
        port: On which port.
        token: The secret of the address.

    Returns:
        The URL.

    >>> page_address("127.0.0.1", 8501, "a+b")
    'http://127.0.0.1:8501/?token=a%2Bb'
    """
    name = socket.gethostname() if host in ("0.0.0.0", "::") else host  # noqa: S104 (compared, not bound)
    shown = f"[{name}]" if ":" in name else name
    return f"http://{shown}:{port}/?{urlencode({'token': token})}"
