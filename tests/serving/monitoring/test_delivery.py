"""Alerts reach real receivers; failed messages are kept, retried and reported; secrets are never shown."""

from __future__ import annotations

import email
import json
import socket
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any

import pytest

from features.config.load import Config
from serving.language.messages import get_language
from serving.monitoring import delivery
from serving.monitoring.alerts import Alert
from serving.monitoring.delivery import queue_alerts, send_queued
from tests.receivers import make_certificate, post, web

TR, CUTOFF = get_language("en"), date(2024, 1, 2)
ALERT = Alert(
    "0123456789ab", "critical", "Days are missing", "Since <two> & more days.", "2024-01-02", "data", "Look.", None
)
MAIL = {"host": "127.0.0.1", "sender": "regulars@shop.example", "to": ["a@shop.example", "b@shop.example"]}


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "PAUSES", (0.0, 0.0))


@pytest.fixture
def deliver(make_config: Callable[..., Config], tmp_path: Path) -> Callable[..., list[str]]:
    """Puts alerts into the outbox of a config with a [monitor] and sends what lies there."""

    def run(section: dict[str, Any], *alerts: Alert) -> list[str]:
        config = make_config({"monitor": section})
        queue_alerts(config, tmp_path, alerts, CUTOFF)
        return send_queued(config, tmp_path, TR)

    return run


def outbox(folder: Path) -> list[Path]:
    return sorted((folder / "outbox").glob("*"))


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def test_a_webhook_gets_new_alerts_as_json(deliver: Callable[..., list[str]], tmp_path: Path) -> None:
    with web() as server:
        assert deliver({"webhook": f"http://127.0.0.1:{server.port}/hook"}, ALERT) == []
    (got,), (headers,) = server.got, server.headers
    assert got["alerts"] == [ALERT.to_dict()] and (got["name"], got["cutoff"]) == ("test", "2024-01-02")
    assert "CRITICAL: Days are missing\nSince &lt;two&gt; &amp; more days.\nLook." in got["text"]
    assert headers["Content-Type"] == "application/json" and headers["Idempotency-Key"].startswith(
        "2024-01-02-webhook-"
    )
    assert outbox(tmp_path) == []


def test_without_a_new_alert_nobody_is_told(deliver: Callable[..., list[str]]) -> None:
    with web() as server:
        assert deliver({"webhook": f"http://127.0.0.1:{server.port}"}) == []
    assert server.got == []


def test_a_webhook_that_is_down_is_said_and_tried_again(deliver: Callable[..., list[str]], tmp_path: Path) -> None:
    port = free_port()
    (problem,) = deliver({"webhook": f"http://127.0.0.1:{port}/secret-path"}, ALERT)
    assert (
        f"127.0.0.1:{port} cannot be reached" in problem and "1 message(s) kept" in problem and "secret" not in problem
    )
    (file,) = outbox(tmp_path)
    (problem,) = deliver({"webhook": f"http://127.0.0.1:{port}/x"}, replace(ALERT, id="ffffffffffff"))
    assert "2 message(s) kept" in problem
    with web() as server:
        assert deliver({"webhook": f"http://127.0.0.1:{server.port}/x"}) == []
    assert [got["alerts"][0]["id"] for got in server.got] and len(server.got) == 2
    assert outbox(tmp_path) == []
    assert json.dumps(ALERT.to_dict()) in json.dumps([alert for got in server.got for alert in got["alerts"]])
    assert file.name.startswith("2024-01-02-webhook-")


@pytest.mark.parametrize(
    ("answers", "tries", "words"),
    [([503, 429, 200], 3, ""), ([500], 3, "answered 500"), ([404], 1, "answered 404"), ([302], 1, "answered 302")],
)
def test_it_tries_again_where_that_may_help(
    deliver: Callable[..., list[str]], answers: list[int], tries: int, words: str
) -> None:
    with web() as server:
        server.answers = answers
        problem = deliver({"webhook": f"http://127.0.0.1:{server.port}/x"}, ALERT)
    assert len(server.got) == tries and words in "".join(problem) and bool(problem) == bool(words)
    assert set(server.paths) == {"/x"}  # no redirect was followed


def test_a_server_that_says_nothing_is_given_up(
    deliver: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "TIMEOUT", 0.1)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        port = silent.getsockname()[1]
        (problem,) = deliver({"webhook": f"http://127.0.0.1:{port}/x"}, ALERT)
        assert "cannot be reached" in problem
        (problem,) = deliver({"mail": {**MAIL, "port": port, "starttls": False}}, ALERT)[:1]
        assert "cannot be reached" in problem


def test_a_url_that_is_a_secret_comes_from_the_environment(
    deliver: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    (problem,) = deliver({"webhook_env": "ALERTS_URL"}, ALERT)
    assert "ALERTS_URL (webhook_env) is not set" in problem
    monkeypatch.setenv("ALERTS_URL", "hunter2")
    (problem,) = deliver({"webhook_env": "ALERTS_URL"})
    assert "ALERTS_URL: webhook is not an HTTP URL" in problem and "hunter2" not in problem
    with web() as server:
        monkeypatch.setenv("ALERTS_URL", f"http://127.0.0.1:{server.port}/T0/B0")
        assert deliver({"webhook_env": "ALERTS_URL"}) == []
    assert server.paths == ["/T0/B0"]


def test_a_letter_arrives_with_every_alert(deliver: Callable[..., list[str]], tmp_path: Path) -> None:
    with post() as server:
        section = {"mail": {**MAIL, "port": server.port, "starttls": False}}
        assert deliver(section, ALERT, replace(ALERT, id="f" * 12, title="另一个")) == []
    letter = email.message_from_bytes(server.letters[0].encode(), policy=default)
    assert isinstance(letter, EmailMessage)
    assert server.receivers == [["a@shop.example", "b@shop.example"]]
    assert letter["Subject"] == "[test] 2 alerts: Days are missing"
    assert letter["Message-ID"].startswith("<2024-01-02-mail-") and letter["Date"]
    assert server.letters[0].isascii()
    body = letter.get_content()
    assert "Since <two> & more days." in body and "另一个" in body
    assert outbox(tmp_path) == []


def test_no_text_makes_another_header(deliver: Callable[..., list[str]]) -> None:
    bad = replace(ALERT, title="x\r\nBcc: thief@evil.example\r\n\r\nbody", text="y\r\n.\r\nMAIL FROM:<z@evil.example>")
    with post() as server:
        assert deliver({"mail": {**MAIL, "port": server.port, "starttls": False}}, bad) == []
    letter = email.message_from_bytes(server.letters[0].encode(), policy=default)
    assert letter["Bcc"] is None and "Bcc: thief@evil.example" in letter["Subject"]
    assert server.receivers == [["a@shop.example", "b@shop.example"]] and len(server.letters) == 1


def test_an_address_that_is_refused_is_said_and_the_others_have_it(
    deliver: Callable[..., list[str]], tmp_path: Path
) -> None:
    with post() as server:
        server.refuses = ("b@shop.example",)
        (problem,) = deliver({"mail": {**MAIL, "port": server.port, "starttls": False}}, ALERT)
        assert "refused b@shop.example" in problem and outbox(tmp_path) == []
        server.refuses = tuple(MAIL["to"])
        (problem,) = deliver({"mail": {**MAIL, "port": server.port, "starttls": False}}, ALERT)
    assert "refused all addresses" in problem and len(outbox(tmp_path)) == 1
    assert server.receivers == [["a@shop.example"]]


def test_nothing_is_sent_in_the_clear_where_encryption_is_asked_for(
    deliver: Callable[..., list[str]], tmp_path: Path
) -> None:
    with post() as server:
        (problem,) = deliver({"mail": {**MAIL, "port": server.port}}, ALERT)
    assert "nothing was sent unencrypted" in problem and server.letters == [] and len(outbox(tmp_path)) == 1


def test_a_login_goes_over_an_encrypted_line_only(
    deliver: Callable[..., list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = make_certificate(tmp_path)
    mail = {**MAIL, "host": "localhost", "user": "me", "password_env": "SMTP_SECRET"}
    with post(tmp_path) as server:
        section = {"mail": {**mail, "port": server.port}}
        (problem,) = deliver(section, ALERT)
        assert "cannot be reached" in problem and server.logins == []  # nobody vouches for the certificate
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        (problem,) = deliver(section)
        assert "SMTP_SECRET (password_env) is not set" in problem
        monkeypatch.setenv("SMTP_SECRET", "hunter2")
        (problem,) = deliver(section)
        assert "answered 535" in problem and "hunter2" not in problem
        monkeypatch.setenv("SMTP_SECRET", "right")
        assert deliver(section) == []
    assert server.logins == [("me", "hunter2", True), ("me", "right", True)] and len(server.letters) == 1


def test_a_busy_mail_server_is_asked_again_and_a_closed_one_is_not(deliver: Callable[..., list[str]]) -> None:
    for greeting, words in (("421 busy", "answered 421"), ("554 no", "answered 554")):
        with post() as server:
            server.greeting = greeting
            (problem,) = deliver({"mail": {**MAIL, "port": server.port, "starttls": False}}, ALERT)
        assert words in problem


def test_messages_whose_receiver_left_the_config_are_said(deliver: Callable[..., list[str]], tmp_path: Path) -> None:
    deliver({"webhook": f"http://127.0.0.1:{free_port()}"}, ALERT)
    (problem,) = deliver({})
    assert "[monitor] webhook is no longer in the config" in problem and len(outbox(tmp_path)) == 1


def test_a_broken_message_is_said_and_stops_no_other(deliver: Callable[..., list[str]], tmp_path: Path) -> None:
    (tmp_path / "outbox").mkdir()
    (tmp_path / "outbox" / "2024-01-01-mail-x.json").write_text("{")
    with web() as server:
        (problem,) = deliver({"webhook": f"http://127.0.0.1:{server.port}"}, ALERT)
    assert "is not a message that regulars wrote" in problem and len(server.got) == 1
