"""The command `regulars users`: who may sign in to the page of a team, and what they downloaded."""

from __future__ import annotations

import sys
from typing import Any

import click

from features.errors import UsageError, printable
from features.storage.json_files import json_line

SHOWN = 20  # downloads
LIST, LOG = "list", "log"


@click.group("users", invoke_without_command=True, epilog="Example: regulars users add ann --role groups")
@click.pass_context
def users(ctx: click.Context) -> None:
    """List, add or remove the users who may sign in to `regulars app`."""
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_users)


@users.command(LIST)
@click.option("--json", "as_json", is_flag=True, help="One line of JSON for each user.")
@click.pass_obj
def list_users(path: str, as_json: bool = False) -> None:
    """List the users and what each may see."""
    file = _file(path)
    found = file.users().values()
    for user in found:
        how = "password" if user.hashed else "signed in by the proxy"
        row = {"name": user.name, "role": user.role, "signs_in": how}
        click.echo(json_line(row) if as_json else f"{user.name}  {user.role}  {how}")
    if not found and not as_json:
        click.echo(f"{file.path}: no users yet; `regulars users add NAME` adds one")


@users.command("add", epilog="Example: regulars users add ann --role groups")
@click.argument("name")
@click.option(
    "--role",
    type=click.Choice(["customers", "groups"]),
    default="customers",
    show_default=True,
    help="'groups' sees no single customer and downloads no list.",
)
@click.option("--no-password", is_flag=True, help="For a user whom the proxy signs in ([app] proxy_header).")
@click.pass_obj
def add_user(path: str, name: str, role: str, no_password: bool) -> None:
    """Add a user, or change their role and password; the password is asked for, or read from the input."""
    file = _file(path)
    file.add(name, role, "" if no_password else _ask_for_password())
    click.echo(f"{printable(name)} may sign in and sees {role}: {file.path}")


@users.command("remove", epilog="Example: regulars users remove ann")
@click.argument("name")
@click.pass_obj
def remove_user(path: str, name: str) -> None:
    """Remove a user; a session of theirs ends at once."""
    file = _file(path)
    file.remove(name)
    click.echo(f"{printable(name)} may no longer sign in: {file.path}")


@users.command(LOG)
@click.option("--json", "as_json", is_flag=True, help="All lines, as JSON.")
@click.pass_obj
def show_log(path: str, as_json: bool) -> None:
    """Show who downloaded which list, the newest last."""
    from features.config.load import load_config
    from serving.web.accounts.audit_log import audit_log_path, read_audit_log

    rows = read_audit_log(place := audit_log_path(load_config(path).output))
    for row in rows if as_json else rows[-SHOWN:]:
        click.echo(json_line(row) if as_json else _log_line(row))
    if not as_json:
        more = f"; the last {SHOWN} are shown, --json prints all" if len(rows) > SHOWN else ""
        click.echo(f"{len(rows):,} downloads in {place}{more}")


def _ask_for_password() -> str:
    """Ask twice at a terminal, without showing it; a script gives it as the first line of its input.

    Raises:
        UsageError: The input is empty.
    """
    if sys.stdin.isatty():
        ask: dict[str, Any] = {"hide_input": True, "confirmation_prompt": "Repeat it"}
        return str(click.prompt("Password (at least 10 characters)", err=True, **ask))
    password = sys.stdin.readline().rstrip("\r\n")
    if not password:
        raise UsageError("no password was given; type it at a terminal, give it as a line of input, or --no-password")
    return password


def _log_line(row: dict[str, Any]) -> str:
    more = " ".join(f"{name}={value}" for name, value in row.items() if name not in ("time", "user", "what", "allowed"))
    refused = "" if row.get("allowed") else "  refused"
    return printable(f"{row.get('time')}  {row.get('user')}  {row.get('what')}{refused}  {more}".rstrip(), keep="")


def _file(path: str) -> Any:
    from features.config.load import load_config
    from serving.web.accounts.users_file import UsersFile

    config = load_config(path)
    if not config.app.users:
        raise UsageError(f'{path}: [app] users is not set; add it, such as users = "users.json"')
    return UsersFile(config.path(config.app.users))
