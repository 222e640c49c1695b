"""[app]: keys that go together."""

from __future__ import annotations

from typing import Any

import pytest

from features.config.app import AppConfig


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"tls_key": "a"}, "tls_certificate and tls_key go together"),
        ({"tls_certificate": "a", "tls_key": "b", "tls_proxy": True}, "remove it or tls_proxy"),
        ({"proxy_header": "X-User"}, "proxy_header needs users"),
        ({"proxy_header": "X-User", "users": "u.json", "proxies": ()}, "name their addresses in proxies"),
    ],
)
def test_keys_that_contradict_each_other_are_refused(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        AppConfig(**keys)


def test_https_is_the_servers_own_or_a_proxys() -> None:
    assert not AppConfig().has_tls and AppConfig(tls_proxy=True).has_tls
    assert AppConfig(tls_certificate="a", tls_key="b").has_tls
