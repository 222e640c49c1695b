"""New alerts brought to people: a webhook and e-mail; what cannot be delivered is kept, tried again, and said.

A message lies in `OUTPUT/monitor/outbox/` from before the alerts count as told until its receiver took it. So an alert
may arrive twice, after a death between the two, but none is lost. A message's name is drawn from what is in it; it goes
along as `Idempotency-Key` and as Message-ID, by which a receiver knows a second copy.
"""

from __future__ import annotations

import hashlib
import html
import json
import os
import smtplib
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from email.message import EmailMessage
from email.utils import formatdate
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from features.atomic_files import write_text_atomically
from features.config.load import Config
from features.config.monitor import MailConfig, MonitorConfig, check_webhook_url
from serving.language.messages import Language
from serving.monitoring.alerts import SEVERITIES, Alert, single_line

WEBHOOK, MAIL = "webhook", "mail"
TIMEOUT = 10.0  # seconds, of each step of a delivery
PAUSES = (1.0, 2.0)  # seconds before another try
RETRYABLE_STATUSES = (408, 425, 429)  # of HTTP: worth another try, as are all from 500 on
MAX_SUBJECT = 200  # characters of a subject


class UndeliveredError(Exception):
    """A receiver did not take a message: why, and whether another try may do."""

    def __init__(self, why: str, again: bool = True):
        super().__init__(why)
        self.again = again


@dataclass(frozen=True)
class AlertMessage:
    """New alerts of a cutoff, on their way to one receiver."""

    channel: str
    name: str
    cutoff: str
    alerts: tuple[dict[str, Any], ...]

    @property
    def key(self) -> str:
        """Names the message by what is in it."""
        told = json.dumps([self.channel, self.name, self.cutoff, [alert["id"] for alert in self.alerts]])
        return f"{self.cutoff}-{self.channel}-{hashlib.sha256(told.encode()).hexdigest()[:12]}"

    def to_text(self) -> str:
        """The message as a file of the outbox."""
        held = {"channel": self.channel, "name": self.name, "cutoff": self.cutoff, "alerts": list(self.alerts)}
        return json.dumps(held, indent=1, ensure_ascii=False) + "\n"


def queue_alerts(config: Config, folder: Path, alerts: Sequence[Alert], cutoff: date) -> None:
    """Puts new alerts into the outbox, once for each receiver of the config.

    Raises:
        UsageError: The outbox cannot be written to.
    """
    rules = config.monitor
    wanted = [(WEBHOOK, rules.webhook or rules.webhook_env), (MAIL, rules.mail)]
    for channel in (channel for channel, there in wanted if there and alerts):
        message = AlertMessage(channel, config.name, str(cutoff), tuple(alert.to_dict() for alert in alerts))
        write_text_atomically(folder / "outbox" / f"{message.key}.json", message.to_text())


def send_queued(config: Config, folder: Path, tr: Language) -> list[str]:
    """Delivers what lies in the outbox, oldest first; returns what is to be said: what stays there, and why."""
    kept: dict[str, tuple[str, int]] = {}
    said = []
    for path in sorted((folder / "outbox").glob("*.json")):
        channel = path.stem.split("-")[-2] if path.stem.count("-") > 1 else path.stem
        why, count = kept.get(channel, ("", 0))
        try:
            if count:  # its receiver did not answer just now
                raise UndeliveredError(why)
            said += _deliver(_read(path), config.monitor, tr)
            path.unlink()
        except UndeliveredError as problem:
            kept[channel] = (str(problem), count + 1)
    for channel, (why, count) in sorted(kept.items()):
        said.append(f"{channel}: {why}; {count} message(s) kept in {folder / 'outbox'} for the next run")
    return said


def _read(path: Path) -> AlertMessage:
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
        message = AlertMessage(
            held["channel"], held["name"], held["cutoff"], tuple(dict(alert) for alert in held["alerts"])
        )
        texts = [alert[part] for alert in message.alerts for part in ("id", "severity", "title", "text", "todo")]
        whole = message.channel in (WEBHOOK, MAIL) and all(isinstance(text, str) for text in texts)
        whole = whole and all(alert["severity"] in SEVERITIES for alert in message.alerts)
    except (OSError, ValueError, KeyError, TypeError):
        whole = False
    if not whole:
        raise UndeliveredError(f"{path.name} is not a message that regulars wrote; remove it", again=False)
    return message


def _deliver(message: AlertMessage, rules: MonitorConfig, tr: Language) -> list[str]:
    """Sends a message, with a few tries where another may help; returns what is to be said although it went out."""
    for pause in (*PAUSES, None):
        try:
            return _post(_url(rules), message, tr) if message.channel == WEBHOOK else _mail(_to(rules), message, tr)
        except UndeliveredError as problem:
            if pause is None or not problem.again:
                raise
            time.sleep(pause)
    return []


def _to(rules: MonitorConfig) -> MailConfig:
    if rules.mail is None:
        raise UndeliveredError("[monitor.mail] is no longer there; give it again, or remove the messages", again=False)
    return rules.mail


def _url(rules: MonitorConfig) -> str:
    """The webhook's URL, from the config or the environment; it is never shown."""
    if rules.webhook:
        return rules.webhook
    if not rules.webhook_env:
        raise UndeliveredError(
            "[monitor] webhook is no longer there; give it again, or remove the messages", again=False
        )
    url = os.environ.get(rules.webhook_env, "")
    if not url:
        raise UndeliveredError(f"the environment variable {rules.webhook_env} (webhook_env) is not set", again=False)
    try:
        check_webhook_url(url)
    except ValueError as problem:
        raise UndeliveredError(f"{rules.webhook_env}: {problem}", again=False) from None
    return url


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirected POST would arrive as a GET, without its alerts."""

    def redirect_request(self, *_: Any) -> None:
        return None


def _post(url: str, message: AlertMessage, tr: Language) -> list[str]:
    body = {
        "name": message.name,
        "cutoff": message.cutoff,
        "text": html.escape(_text(message, tr), quote=False),  # chats take <...> for commands
        "alerts": list(message.alerts),
    }
    headers = {"Content-Type": "application/json", "User-Agent": "regulars", "Idempotency-Key": message.key}
    request = urllib.request.Request(url, json.dumps(body).encode(), headers, method="POST")  # noqa: S310 (checked)
    host = urlsplit(url).netloc
    try:
        with urllib.request.build_opener(_NoRedirect).open(request, timeout=TIMEOUT):
            return []
    except urllib.error.HTTPError as problem:
        code = problem.code
        problem.close()
        raise UndeliveredError(f"{host} answered {code}", again=code >= 500 or code in RETRYABLE_STATUSES) from None
    except (OSError, HTTPException) as problem:
        reason = getattr(problem, "reason", None) or problem
        raise UndeliveredError(
            f"{host} is not reached ({single_line(str(reason)) or type(problem).__name__})"
        ) from None


def _mail(mail: MailConfig, message: AlertMessage, tr: Language) -> list[str]:
    where = f"{mail.host}:{mail.port}"
    try:
        with smtplib.SMTP(mail.host, mail.port, timeout=TIMEOUT) as server:
            if mail.starttls:
                server.starttls(context=ssl.create_default_context())
            if mail.user:
                server.login(mail.user, _password(mail))
            refused = server.send_message(alert_email(mail, message, tr))
    except smtplib.SMTPNotSupportedError:
        raise UndeliveredError(
            f"{where} offers no STARTTLS or no login; nothing was sent in the clear", again=False
        ) from None
    except smtplib.SMTPRecipientsRefused:
        raise UndeliveredError(f"{where} takes none of the addresses in [monitor.mail] to", again=False) from None
    except smtplib.SMTPResponseException as problem:
        raise UndeliveredError(f"{where} answered {problem.smtp_code}", again=400 <= problem.smtp_code < 500) from None
    except (smtplib.SMTPException, OSError) as problem:
        told = single_line(str(problem)) or type(problem).__name__
        raise UndeliveredError(
            f"{where} is not reached ({told})", again=not isinstance(problem, ssl.SSLError)
        ) from None
    return [f"mail: {where} refused {', '.join(sorted(refused))}; the other addresses have it"] if refused else []


def _password(mail: MailConfig) -> str:
    password = os.environ.get(mail.password_env, "")
    if not password:
        raise UndeliveredError(f"the environment variable {mail.password_env} (password_env) is not set", again=False)
    return password


def alert_email(mail: MailConfig, message: AlertMessage, tr: Language) -> EmailMessage:
    """Alerts as an e-mail; its headers hold one line each, whatever is in them."""
    made = EmailMessage()
    first = message.alerts[0]["title"] if message.alerts else ""
    subject = tr.many("{n} alert", "{n} alerts", len(message.alerts))
    made["Subject"] = single_line(f"[{message.name}] {subject}: {first}")[:MAX_SUBJECT]
    made["From"], made["To"] = mail.sender, ", ".join(mail.to)
    made["Date"] = formatdate()
    made["Message-ID"] = f"<{message.key}@{mail.sender.rsplit('@', 1)[1]}>"
    text = _text(message, tr) + "\n"
    made.set_content(text, cte=None if text.isascii() else "base64")  # not every server takes eight bits
    return made


def _text(message: AlertMessage, tr: Language) -> str:
    lines = [tr("{name}, scores of {cutoff}", name=message.name, cutoff=message.cutoff)]
    for alert in message.alerts:
        lines += [
            "",
            f"{tr(SEVERITIES[alert['severity']]).upper()}: {single_line(alert['title'])}",
            single_line(alert["text"]),
            single_line(alert["todo"]),
        ]
    return "\n".join(lines)
