"""Which pages are of single customers."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from serving.web.accounts.roles import may_open, visitor
from serving.web.accounts.users_file import User


def _request(path: str, role: str | None) -> Any:
    state = SimpleNamespace() if role is None else SimpleNamespace(user=User("ann", role), session=None)
    return SimpleNamespace(url=SimpleNamespace(path=path), state=state)


@pytest.mark.parametrize("path", ["/customers", "/customer", "/customer/history", "/plan.csv", "/customers.xlsx"])
def test_pages_of_customers_are_for_those_who_may_see_them(path: str) -> None:
    assert may_open(_request(path, "customers")) and may_open(_request(path, None))
    assert not may_open(_request(path, "groups"))


def test_other_pages_are_for_all() -> None:
    assert all(may_open(_request(path, "groups")) for path in ("/", "/plan", "/segments", "/static/app.css"))
    assert visitor(_request("/", None)).name == "" and visitor(_request("/", "groups")).name == "ann"
