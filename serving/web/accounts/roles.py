"""What a user may open: all pages, or those without single customers; and which downloads are logged."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request

from serving.web.accounts.sign_in import Accounts
from serving.web.accounts.users_file import User

DOWNLOADS = (".csv", ".xlsx")
CUSTOMER_PAGES = ("/customers", "/customer")  # and what lies under them; lists to download are all of customers


@dataclass(frozen=True)
class Visitor:
    """Who looks at a page.

    Attributes:
        name: The user's name; empty without accounts.
        sees_customers: Whether single customers are shown.
        form_token: What the button to sign out sends; empty if a proxy signed the user in.
    """

    name: str = ""
    sees_customers: bool = True
    form_token: str = ""


def visitor(request: Request) -> Visitor:
    """The visitor of a request; without accounts everybody sees customers."""
    user: User | None = getattr(request.state, "user", None)
    session = getattr(request.state, "session", None)
    if user is None:
        return Visitor()
    return Visitor(user.name, user.sees_customers, session.form_token if session else "")


def may_open(request: Request) -> bool:
    """Whether the visitor may open the page of a request."""
    path = request.url.path
    customers = path.endswith(DOWNLOADS) or path in CUSTOMER_PAGES or path.startswith(f"{CUSTOMER_PAGES[1]}/")
    return visitor(request).sees_customers or not customers


def record_download(accounts: Accounts | None, request: Request, allowed: bool) -> None:
    """Log a request for a list, whether it was allowed or not; without accounts nothing is logged.

    Args:
        accounts: The accounts, with their log.
        request: The request.
        allowed: Whether the visitor may have the list.

    Raises:
        UsageError: The log cannot be written; the list is not given then.
    """
    if accounts and request.method == "GET" and request.url.path.endswith(DOWNLOADS):
        accounts.audit_log.record(visitor(request).name, request.url.path, dict(request.query_params), allowed)
