"""Delivery of new alerts by webhook and e-mail; failed messages are kept, retried and reported.

A message is written to `OUTPUT/monitor/outbox/` before its alerts are recorded as raised, and stays there until the
receiver accepts it. After a crash in between, an alert may arrive twice, but none is lost. The key of a message is
a hash of its content; it is sent as `Idempotency-Key` and as Message-ID, so that receivers can detect a duplicate.
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

from features.config.load import Config
from features.config.monitor import MailConfig, MonitorConfig, check_webhook_url
from features.storage.atomic_files import write_text_atomically
from serving.language.messages import Language
from serving.monitoring.alerts import SEVERITIES, Alert, single_line

WEBHOOK, MAIL = "webhook", "mail"
TIMEOUT = 10.0  # seconds for each step of a delivery
PAUSES = (1.0, 2.0)  # seconds before each retry
RETRYABLE_STATUSES = (408, 425, 429)  # HTTP statuses worth a retry, as are all from 500 on
MAX_SUBJECT = 200  # characters of an e-mail's subject


class UndeliveredError(Exception):
    """A receiver did not accept a message: why, and whether a retry may help."""

    def __init__(self, why: str, retry: bool = True):
        super().__init__(why)
        self.retry = retry


@dataclass(frozen=True)
class AlertMessage:
    """New alerts of a cutoff for one receiver."""

    channel: str
    name: str
    cutoff: str
    alerts: tuple[dict[str, Any], ...]

    @property
    def key(self) -> str:
        """The message's name: cutoff, channel and a hash of its content."""
        identity = json.dumps([self.channel, self.name, self.cutoff, [alert["id"] for alert in self.alerts]])
        return f"{self.cutoff}-{self.channel}-{hashlib.sha256(identity.encode()).hexdigest()[:12]}"

    def to_text(self) -> str:
        """The message as the text of a file in the outbox."""
        fields = {"channel": self.channel, "name": self.name, "cutoff": self.cutoff, "alerts": list(self.alerts)}
        return json.dumps(fields, indent=1, ensure_ascii=False) + "\n"


def queue_alerts(config: Config, folder: Path, alerts: Sequence[Alert], cutoff: date) -> None:
    """Puts new alerts into the outbox, once for each receiver in the config.

    Args:
        config: The business.
        folder: The monitor's output folder.
        alerts: New alerts.
        cutoff: The cutoff that raised them.

    Raises:
        UsageError: The outbox cannot be written to.
    """
    rules = config.monitor
    channels = [(WEBHOOK, rules.webhook or rules.webhook_env), (MAIL, rules.mail)]
    for channel in (channel for channel, configured in channels if configured and alerts):
        message = AlertMessage(channel, config.name, str(cutoff), tuple(alert.to_dict() for alert in alerts))
        write_text_atomically(folder / "outbox" / f"{message.key}.json", message.to_text())


def send_queued(config: Config, folder: Path, tr: Language) -> list[str]:
    """Delivers the messages in the outbox, oldest first.

    Args:
        config: The business.
        folder: The monitor's output folder.
        tr: The language of the messages.

    Returns:
        Problems in words: messages that stay in the outbox and why, and addresses that were refused.
    """
    undelivered: dict[str, tuple[str, int]] = {}
    problems = []
    for path in sorted((folder / "outbox").glob("*.json")):
        channel = path.stem.split("-")[-2] if path.stem.count("-") > 1 else path.stem
        why, count = undelivered.get(channel, ("", 0))
        try:
            if count:  # the same receiver has just failed
                raise UndeliveredError(why)
            problems += _deliver(_read_message(path), config.monitor, tr)
            path.unlink()
        except UndeliveredError as problem:
            undelivered[channel] = (str(problem), count + 1)
    for channel, (why, count) in sorted(undelivered.items()):
        problems.append(f"{channel}: {why}; {count} message(s) kept in {folder / 'outbox'} for the next run")
    return problems


def _read_message(path: Path) -> AlertMessage:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        message = AlertMessage(
            content["channel"], content["name"], content["cutoff"], tuple(dict(alert) for alert in content["alerts"])
        )
        texts = [alert[part] for alert in message.alerts for part in ("id", "severity", "title", "text", "todo")]
        valid = message.channel in (WEBHOOK, MAIL) and all(isinstance(text, str) for text in texts)
        valid = valid and all(alert["severity"] in SEVERITIES for alert in message.alerts)
    except (OSError, ValueError, KeyError, TypeError):
        valid = False
    if not valid:
        raise UndeliveredError(f"{path.name} is not a message that regulars wrote; remove it", retry=False)
    return message


def _deliver(message: AlertMessage, rules: MonitorConfig, tr: Language) -> list[str]:
    """Sends a message, with retries where they may help; returns problems with single addresses."""
    for pause in (*PAUSES, None):
        try:
            return (
                _post(_webhook_url(rules), message, tr)
                if message.channel == WEBHOOK
                else _send_mail(_mail_section(rules), message, tr)
            )
        except UndeliveredError as problem:
            if pause is None or not problem.retry:
                raise
            time.sleep(pause)
    return []


def _mail_section(rules: MonitorConfig) -> MailConfig:
    if rules.mail is None:
        raise UndeliveredError(
            "[monitor.mail] is no longer in the config; restore it, or remove the messages", retry=False
        )
    return rules.mail


def _webhook_url(rules: MonitorConfig) -> str:
    """The webhook's URL, from the config or the environment; as it may be a secret, it is never printed."""
    if rules.webhook:
        return rules.webhook
    if not rules.webhook_env:
        raise UndeliveredError(
            "[monitor] webhook is no longer in the config; restore it, or remove the messages", retry=False
        )
    url = os.environ.get(rules.webhook_env, "")
    if not url:
        raise UndeliveredError(f"the environment variable {rules.webhook_env} (webhook_env) is not set", retry=False)
    try:
        check_webhook_url(url)
    except ValueError as problem:
        raise UndeliveredError(f"{rules.webhook_env}: {problem}", retry=False) from None
    return url


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Refuses redirects: a redirected POST would arrive as a GET, without its alerts."""

    def redirect_request(self, *_: Any) -> None:
        return None


def _post(url: str, message: AlertMessage, tr: Language) -> list[str]:
    body = {
        "name": message.name,
        "cutoff": message.cutoff,
        "text": html.escape(_message_text(message, tr), quote=False),  # chat services treat <...> as commands
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
        raise UndeliveredError(f"{host} answered {code}", retry=code >= 500 or code in RETRYABLE_STATUSES) from None
    except (OSError, HTTPException) as problem:
        reason = getattr(problem, "reason", None) or problem
        raise UndeliveredError(
            f"{host} cannot be reached ({single_line(str(reason)) or type(problem).__name__})"
        ) from None


def _send_mail(mail: MailConfig, message: AlertMessage, tr: Language) -> list[str]:
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
            f"{where} does not offer STARTTLS or a login; nothing was sent unencrypted", retry=False
        ) from None
    except smtplib.SMTPRecipientsRefused:
        raise UndeliveredError(f"{where} refused all addresses of [monitor.mail] to", retry=False) from None
    except smtplib.SMTPResponseException as problem:
        raise UndeliveredError(f"{where} answered {problem.smtp_code}", retry=400 <= problem.smtp_code < 500) from None
    except (smtplib.SMTPException, OSError) as problem:
        reason = single_line(str(problem)) or type(problem).__name__
        raise UndeliveredError(
            f"{where} cannot be reached ({reason})", retry=not isinstance(problem, ssl.SSLError)
        ) from None
    return (
        [f"mail: {where} refused {', '.join(sorted(refused))}; the other addresses got the message"] if refused else []
    )


def _password(mail: MailConfig) -> str:
    password = os.environ.get(mail.password_env, "")
    if not password:
        raise UndeliveredError(f"the environment variable {mail.password_env} (password_env) is not set", retry=False)
    return password


def alert_email(mail: MailConfig, message: AlertMessage, tr: Language) -> EmailMessage:
    """Builds the e-mail for a message; each header is one line, whatever the alerts contain.

    Args:
        mail: Sender and receivers.
        message: The alerts.
        tr: The language of the text.

    Returns:
        The e-mail.
    """
    email = EmailMessage()
    first = message.alerts[0]["title"] if message.alerts else ""
    subject = tr.many("{n} alert", "{n} alerts", len(message.alerts))
    email["Subject"] = single_line(f"[{message.name}] {subject}: {first}")[:MAX_SUBJECT]
    email["From"], email["To"] = mail.sender, ", ".join(mail.to)
    email["Date"] = formatdate()
    email["Message-ID"] = f"<{message.key}@{mail.sender.rsplit('@', 1)[1]}>"
    text = _message_text(message, tr) + "\n"
    email.set_content(text, cte=None if text.isascii() else "base64")  # not every server accepts 8-bit text
    return email


def _message_text(message: AlertMessage, tr: Language) -> str:
    lines = [tr("{name}, scores of {cutoff}", name=message.name, cutoff=message.cutoff)]
    for alert in message.alerts:
        lines += [
            "",
            f"{tr(SEVERITIES[alert['severity']]).upper()}: {single_line(alert['title'])}",
            single_line(alert["text"]),
            single_line(alert["todo"]),
        ]
    return "\n".join(lines)
