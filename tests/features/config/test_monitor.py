"""[monitor]: which values are refused, with which messages; no message contains a secret."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from features.config.load import Config
from features.errors import UsageError

MAIL = {"host": "smtp.example.com", "sender": "regulars@example.com", "to": ["analyst@example.com"]}


def test_without_the_section_nothing_is_delivered(make_config: Callable[..., Config]) -> None:
    rules = make_config().monitor
    assert (rules.webhook, rules.webhook_env, rules.mail, rules.churn) == ("", "", None, {})


def test_all_keys_together(make_config: Callable[..., Config]) -> None:
    mail = {**MAIL, "user": "me", "password_env": "SMTP_PASSWORD", "port": 25}
    section = {"psi": 0.3, "webhook": "https://chat.example/x", "churn": {"save first": 0.9, "all": 0.5}, "mail": mail}
    rules = make_config({"monitor": section}).monitor
    assert rules.mail is not None and rules.mail.starttls and rules.mail.port == 25
    assert rules.churn == {"save first": 0.9, "all": 0.5}


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ({"psy": 0.2}, "unknown key 'psy' in [monitor]; did you mean 'psi'?"),
        ({"psi": 0}, "[monitor] psi"),
        ({"false_alarms": 1}, "[monitor] false_alarms"),
        ({"churn": {"save frist": 0.5}}, "did you mean 'save first'?"),
        ({"churn": {"all": 50}}, "churn"),
        ({"webhook": "https://a.example", "webhook_env": "X"}, "set only one"),
        ({"webhook": "ftp://a.example/x"}, "not an HTTP URL"),
        ({"webhook": "https://me:hunter2@a.example/x"}, "webhook_env"),
        ({"webhook": "https://a.example/x\r\nHost: b"}, "not an HTTP URL"),
        ({"webhook_env": "https://a.example/hunter2"}, "name of an environment variable"),
        ({"mail": {**MAIL, "sender": "me"}}, "is not an e-mail address"),
        ({"mail": {**MAIL, "to": ["a@b.example\nBcc: c@d.example"]}}, "is not an e-mail address"),
        ({"mail": {**MAIL, "to": []}}, "[monitor.mail] to"),
        ({"mail": {**MAIL, "host": "smtp.example.com\n"}}, "host"),
        ({"mail": {**MAIL, "user": "me"}}, "go together"),
        ({"mail": {**MAIL, "user": "me", "password_env": "P", "starttls": False}}, "unencrypted"),
        ({"mail": {**MAIL, "password": "hunter2"}}, "unknown key 'password'"),
    ],
)
def test_impossible_values_are_refused(make_config: Callable[..., Config], section: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError) as refused:
        make_config({"monitor": section})
    assert words in str(refused.value)
    assert "hunter2" not in str(refused.value)
