"""The web page of `regulars app`: over the output folder, on this machine unless it is opened wider with a token."""

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
ENDING = 3  # seconds that open answers have when the page is ended


def serve(
    config: Config, host: str, port: int, also: Sequence[str] = (), say: Callable[[str], object] = lambda line: None
) -> None:
    """Shows the page until it is interrupted; says its address once it listens.

    Args:
        config: The business whose output folder is shown.
        host: Where to listen; wider than this machine a token is asked for.
        port: On which port; 0 takes a free one.
        also: More names by which the page may be opened, such as that of a proxy before it.
        say: Takes the lines for the terminal.

    Raises:
        UsageError: The extra is not installed, the token is too short, or the place cannot be listened at.
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
        try:
            uvicorn.Server(settings).run(sockets=[door])
        except KeyboardInterrupt:
            say("ended")


def _warm(site: Site) -> None:
    """Counts and draws the first page, and imports what takes seconds, before somebody asks for it."""
    from serving.web.parts.output_reader import MissingOutput, read_scored_cutoff
    from serving.web.views.overview import overview_page

    with suppress(MissingOutput):  # the page itself says so
        overview_page(site, read_scored_cutoff(site))
    import_module("serving.web.live_queries")


def require_app_extra() -> None:
    """Refuses where a package of the extra is not installed.

    Raises:
        UsageError: One is not.
    """
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise UsageError(
            f"the page needs {' and '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} not installed: "
            "pip install 'regulars[app]', or in a checkout pip install -e '.[app]'"
        )


def access_token(wide: bool) -> str:
    """The token of the environment, else a new one where the page is opened wider; empty where none is needed.

    Raises:
        UsageError: That of the environment is too short to keep anybody out.
    """
    from serving.web.security import MIN_TOKEN_LENGTH

    given = os.environ.get(TOKEN, "")
    if given and len(given) < MIN_TOKEN_LENGTH:
        raise UsageError(
            f"{TOKEN} has {len(given)} characters; expected {MIN_TOKEN_LENGTH} or more, such as `openssl rand -hex 24`"
        )
    return given or (secrets.token_urlsafe(32) if wide else "")


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens.

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
            why = f"port {port} may not be listened at by this user; give one from 1024 on with --port"
        else:
            why = (
                f"--host {host}: cannot be listened at ({problem.strerror or problem}); give an address of this machine"
            )
        raise UsageError(why) from None


def startup_lines(host: str, port: int, token: str) -> list[str]:
    """What is said once it listens.

    >>> addresses("127.0.0.1", 8501, "")
    ['http://127.0.0.1:8501/', 'Ctrl-C ends it; nothing is written.']
    """
    name = socket.gethostname() if host in ("0.0.0.0", "::") else host  # noqa: S104 (compared, not bound)
    shown = f"[{name}]" if ":" in name else name
    query = f"?{urlencode({'token': token})}" if token else ""
    lines = [f"http://{shown}:{port}/{query}"]
    if token and not os.environ.get(TOKEN):
        lines.append(f"whoever has this address comes in; set {TOKEN} to keep the token over restarts")
    return [*lines, "Ctrl-C ends it; nothing is written."]
