"""The web server of `regulars app`: it shows the output folder, on this machine unless opened wider with a token."""

from __future__ import annotations

import errno
import os
import secrets
import socket
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from importlib import import_module
from importlib.util import find_spec
from threading import Thread
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from features.config.load import Config
from features.errors import UsageError

if TYPE_CHECKING:
    from serving.web.parts.output_reader import Site

NEEDED = ("starlette", "uvicorn", "xlsxwriter")
TOKEN = "REGULARS_TOKEN"  # noqa: S105 (the variable's name)
ENDING = 3  # seconds for open answers when the server stops


def serve(
    config: Config, host: str, port: int, also: Sequence[str] = (), say: Callable[[str], object] = lambda line: None
) -> None:
    """Serve the pages until interrupted; print the address once the server listens.

    Args:
        config: The business whose output folder is shown.
        host: Where to listen; if wider than this machine, a token is needed.
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

    wide = not is_local(host)
    token = access_token(wide)
    site = open_site(config)
    with closing(site.connection), closing(listen(host, port)) as door:
        app = create_application(site, allowed_hosts(host, also), wide, token)
        for line in startup_lines(host, door.getsockname()[1], token):
            say(line)
        settings = uvicorn.Config(
            app, log_level="warning", access_log=False, server_header=False, date_header=False, lifespan="off",
            timeout_graceful_shutdown=ENDING, ws="none",
        )  # fmt: skip
        Thread(target=_warm, args=(site,), daemon=True).start()
        uvicorn.Server(settings).run(sockets=[door])


def _warm(site: Site) -> None:
    """Prepare the first page and import slow modules before somebody asks for them."""
    from serving.web.parts.output_reader import MissingOutput, read_scored_cutoff
    from serving.web.views.overview import overview_page

    with suppress(MissingOutput):  # the page itself says what is missing
        overview_page(site, read_scored_cutoff(site))
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


def access_token(wide: bool) -> str:
    """Read the token from the environment, or make one if the page is opened wider; empty if none is needed.

    Raises:
        UsageError: The token of the environment is too short to be safe.
    """
    from serving.web.security import MIN_TOKEN_LENGTH

    given = os.environ.get(TOKEN, "")
    if given and len(given) < MIN_TOKEN_LENGTH:
        raise UsageError(
            f"{TOKEN} has {len(given)} characters; expected {MIN_TOKEN_LENGTH} or more, such as `openssl rand -hex 24`"
        )
    return given or (secrets.token_urlsafe(32) if wide else "")


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


def startup_lines(host: str, port: int, token: str) -> list[str]:
    """Write the lines that are printed once the server listens.

    Args:
        host: Where it listens.
        port: On which port.
        token: The token of the address; empty if none is needed.

    Returns:
        The address and what to know about it.

    >>> startup_lines("127.0.0.1", 8501, "")
    ['http://127.0.0.1:8501/', 'Press Ctrl-C to stop; nothing is written.']
    """
    name = socket.gethostname() if host in ("0.0.0.0", "::") else host  # noqa: S104 (compared, not bound)
    shown = f"[{name}]" if ":" in name else name
    query = f"?{urlencode({'token': token})}" if token else ""
    lines = [f"http://{shown}:{port}/{query}"]
    if token and not os.environ.get(TOKEN):
        lines.append(f"anyone with this address has access; set {TOKEN} to keep the token over restarts")
    return [*lines, "Press Ctrl-C to stop; nothing is written."]
