"""[monitor]: what is still as usual, from which size on a change matters, and who is told."""

from __future__ import annotations

import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from features.config.rfm_rules import suggest_name
from features.config.sections import SEGMENTS, TIERS, Section
from features.sources.source import VARIABLE_NAME

ALL_CUSTOMERS = "all"
LIFECYCLES = ("new", "active", "slipping", "dormant")
CUSTOMER_GROUPS = (ALL_CUSTOMERS, *SEGMENTS, *TIERS, *LIFECYCLES)
MAIL_ADDRESS = re.compile(r"[^\s@<>,;:\"()\[\]\\\x00-\x1f\x7f]+@[^\s@<>,;:\"()\[\]\\\x00-\x1f\x7f]+")
HOST_NAME = re.compile(r"[A-Za-z0-9_.:-]+")
PositiveNumber = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Share = Annotated[float, Field(gt=0, le=1)]


class MailConfig(Section):
    """[monitor.mail]: alerts by e-mail, through an SMTP server."""

    host: str = Field(description="the SMTP server")
    port: int = Field(587, ge=1, le=65535, description="its port")
    sender: str = Field(description="the address that alerts come from")
    to: tuple[str, ...] = Field(min_length=1, description="the addresses that they go to")
    starttls: bool = Field(True, description="whether the connection must be encrypted (STARTTLS)")
    user: str = Field("", description="who logs in; empty: nobody does")
    password_env: str = Field("", description="environment variable with the password of `user`")

    @model_validator(mode="after")
    def _check(self) -> MailConfig:
        if not HOST_NAME.fullmatch(self.host):
            raise ValueError("host is not the name of a server; expected such as 'smtp.example.com', without a port")
        for address in (self.sender, *self.to):
            if not MAIL_ADDRESS.fullmatch(address):
                raise ValueError(f"{address!r} is not an address; expected such as 'analyst@example.com'")
        if bool(self.user) != bool(self.password_env):
            raise ValueError(
                "user and password_env go together: who logs in, and the environment variable with the password"
            )
        if self.user and not self.starttls:
            raise ValueError("starttls = false would send the password of user in the clear; leave user out, or it on")
        _check_variable("password_env", self.password_env)
        return self


class MonitorConfig(Section):
    """[monitor]: thresholds of alerts, and where they are delivered."""

    deviations: PositiveNumber = Field(
        4.0, description="how many robust standard deviations from the log's own history are still usual"
    )
    missing: Share = Field(0.02, description="change of a column's missing share that matters (0.02: two points)")
    set_aside: Share = Field(0.01, description="share of new rows set aside that matters, where it was less before")
    duplicates: Share = Field(0.05, description="share of rows that repeat another that matters, where it was less")
    new_levels: Share = Field(0.1, description="share of rows with a value never seen before that matters")
    psi: PositiveNumber = Field(
        0.2, description="population stability index from which drift of a feature or score matters"
    )
    false_alarms: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.01, description="probability that any feature is called moved at a cutoff where none is"
    )
    auc: Share = Field(0.03, description="fall of the AUC below what was estimated that matters")
    calibration: Share = Field(0.1, description="gap between leavers said and come that matters, as a share of said")
    total: Share = Field(0.15, description="gap between value said and come that matters, as a share of said")
    churn: dict[str, Share] = Field({}, description="by segment, tier or lifecycle (or 'all'): highest mean risk")
    value: dict[str, PositiveNumber] = Field(
        {}, description="by segment, tier or lifecycle (or 'all'): least mean value"
    )
    webhook: str = Field("", description="URL that new alerts are posted to as JSON; empty: none")
    webhook_env: str = Field("", description="environment variable with that URL, where it is a secret itself")
    mail: MailConfig | None = None

    @model_validator(mode="after")
    def _check(self) -> MonitorConfig:
        for key, limits in (("churn", self.churn), ("value", self.value)):
            for name in limits:
                if name not in CUSTOMER_GROUPS:
                    raise ValueError(
                        f"{key} names {name!r}, which is no group of customers; {suggest_name(name, CUSTOMER_GROUPS)}"
                    )
        if self.webhook and self.webhook_env:
            raise ValueError("webhook and webhook_env name the same URL in two ways; give one")
        _check_variable("webhook_env", self.webhook_env)
        if self.webhook:
            check_webhook_url(self.webhook)
        return self


def check_webhook_url(url: str) -> None:
    """Raises ValueError, without repeating the URL, where alerts cannot be posted to it.

    >>> refuse_bad_url("https://chat.example/hooks/42")
    """
    try:
        parts = urlsplit(url)
        is_http = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_http = False
    if not is_http or re.search(r"[\s\x00-\x1f\x7f]", url):
        raise ValueError("webhook is not a URL of HTTP; expected such as 'https://chat.example/hooks/42'")
    if parts.username or parts.password:
        raise ValueError(
            "webhook must not hold a user or password; put the whole URL into the environment and name the variable in "
            "webhook_env"
        )


def _check_variable(key: str, name: str) -> None:
    if name and not VARIABLE_NAME.fullmatch(name):
        raise ValueError(f"{key} must be the name of an environment variable, such as ALERTS_PASSWORD")
