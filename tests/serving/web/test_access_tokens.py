"""A token of one's own opens the pages as often as it is shown, a link once."""

from __future__ import annotations

from serving.web.access_tokens import FixedToken, LinkToken

OWN = "a-token-that-is-long-enough"  # noqa: S105


def test_a_fixed_token_stays() -> None:
    token = FixedToken(OWN)
    assert [token.opens(OWN), token.opens(OWN), token.opens(OWN[:-1]), token.opens("é")] == [True, True, False, False]
    assert OWN not in token.cookie and token.cookie == FixedToken(OWN).cookie, "also after a restart"


def test_a_link_is_used_up() -> None:
    links: list[str] = []
    token = LinkToken(links.append)
    assert not token.opens("") and len(links) == 1 and len(links[0]) >= 40
    assert token.opens(links[0]) and not token.opens(links[0])
    assert len(links) == 2 and token.opens(links[1]) and token.cookie not in links


def test_without_a_terminal_no_further_link_is_announced() -> None:
    links: list[str] = []
    token = LinkToken(links.append, more=False)
    assert token.opens(links[0]) and not token.opens(links[0]) and len(links) == 1
