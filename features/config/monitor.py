"""The section [monitor]: the thresholds of alerts, and where alerts are sent."""

from __future__ import annotations

import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from features.config.rfm_rules import suggest_name
from features.config.sections import Section
from features.config.segments import SEGMENTS, TIERS
from features.sources.source import VARIABLE_NAME

ALL_CUSTOMERS = "all"
LIFECYCLES = ("new", "active", "slipping", "dormant")
CUSTOMER_GROUPS = (ALL_CUSTOMERS, *SEGMENTS, *TIERS, *LIFECYCLES)
MAIL_ADDRESS = re.compile(r"[^\s@<>,;:\"()\[\]\\\x00-\x1f\x7f]+@[^\s@<>,;:\"()\[\]\\\x00-\x1f\x7f]+")
HOST_NAME = re.compile(r"[A-Za-z0-9_.:-]+")
PositiveNumber = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Share = Annotated[float, Field(gt=0, le=1)]


class MailConfig(Section):
    """[monitor.mail]: alerts by e-mail through an SMTP server."""

    host: str = Field(description="host name of the SMTP server")
    port: int = Field(587, ge=1, le=65535, description="port of the SMTP server")
    sender: str = Field(description="address that alerts are sent from")
    to: tuple[str, ...] = Field(min_length=1, description="addresses that alerts are sent to")
    starttls: bool = Field(True, description="whether to require an encrypted connection (STARTTLS)")
    user: str = Field("", description="user name for the SMTP login; empty: no login")
    password_env: str = Field("", description="environment variable that holds the password of `user`")

    @model_validator(mode="after")
    def _check(self) -> MailConfig:
        if not HOST_NAME.fullmatch(self.host):
            raise ValueError("host is not a host name; expected a name such as 'smtp.example.com', without a port")
        for address in (self.sender, *self.to):
            if not MAIL_ADDRESS.fullmatch(address):
                raise ValueError(f"{address!r} is not an e-mail address; expected one such as 'analyst@example.com'")
        if bool(self.user) != bool(self.password_env):
            raise ValueError(
                "user and password_env go together: set both (the user name, and the environment variable that "
                "holds the password) or neither"
            )
        if self.user and not self.starttls:
            raise ValueError(
                "starttls = false would send the password unencrypted; remove user, or set starttls = true"
            )
        _check_variable("password_env", self.password_env)
        return self


class MonitorConfig(Section):
    """[monitor]: thresholds of alerts, and where alerts are sent."""

    deviations: PositiveNumber = Field(
        4.0,
        description="alert if a figure of the log is more than this many robust standard deviations from its history",
    )
    missing: Share = Field(
        0.02,
        description="smallest change in a column's share of missing values that raises an alert (0.02: 2 "
        "percentage points)",
    )
    set_aside: Share = Field(
        0.01, description="smallest share of new rows set aside that raises an alert, if it was lower before"
    )
    duplicates: Share = Field(
        0.05, description="smallest share of duplicate rows that raises an alert, if it was lower before"
    )
    new_levels: Share = Field(
        0.1, description="smallest share of rows with a value not seen before that raises an alert"
    )
    psi: PositiveNumber = Field(
        0.2, description="smallest population stability index (PSI) of a feature or score that raises an alert"
    )
    false_alarms: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.01,
        description="probability of a drift alert for any feature at a cutoff where no feature has drifted, of a "
        "behaviour alert where nothing has changed, and of a performance alert where the model is right",
    )
    behaviour: Share = Field(
        0.05,
        description="smallest relative change of a behaviour that raises an alert: share of customers without an "
        "order, mean order amount, share of a category",
    )
    auc: Share = Field(0.03, description="smallest fall of the AUC below its estimate that raises an alert")
    calibration: Share = Field(
        0.1,
        description="smallest gap between predicted and actual churners that raises an alert, as a share of predicted",
    )
    total: Share = Field(
        0.15,
        description="smallest gap between predicted and actual value that raises an alert, as a share of predicted",
    )
    churn: dict[str, Share] = Field(
        {}, description="highest mean churn probability by segment, tier or lifecycle (or 'all')"
    )
    value: dict[str, PositiveNumber] = Field(
        {}, description="lowest mean value by segment, tier or lifecycle (or 'all')"
    )
    value_at_risk: dict[str, PositiveNumber] = Field(
        {}, description="highest total value at risk by segment, tier or lifecycle (or 'all')"
    )
    webhook: str = Field("", description="URL to which new alerts are posted as JSON; empty: none")
    webhook_env: str = Field("", description="environment variable that holds this URL, if the URL is a secret")
    mail: MailConfig | None = None

    @model_validator(mode="after")
    def _check(self) -> MonitorConfig:
        for key, limits in (("churn", self.churn), ("value", self.value), ("value_at_risk", self.value_at_risk)):
            for name in limits:
                if name not in CUSTOMER_GROUPS:
                    raise ValueError(
                        f"{key} names {name!r}, which is not a customer group; {suggest_name(name, CUSTOMER_GROUPS)}"
                    )
        if self.webhook and self.webhook_env:
            raise ValueError("webhook and webhook_env both give the URL; set only one of them")
        _check_variable("webhook_env", self.webhook_env)
        if self.webhook:
            check_webhook_url(self.webhook)
        return self


def check_webhook_url(url: str) -> None:
    """Raise ValueError, without repeating the URL, if it is not an HTTP URL or holds a user or password.

    >>> check_webhook_url("https://chat.example/hooks/42")
    """
    try:
        parts = urlsplit(url)
        is_http = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_http = False
    if not is_http or re.search(r"[\s\x00-\x1f\x7f]", url):
        raise ValueError("webhook is not an HTTP URL; expected one such as 'https://chat.example/hooks/42'")
    if parts.username or parts.password:
        raise ValueError(
            "webhook must not contain a user or password; put the URL into an environment variable and set "
            "webhook_env to the name of the variable"
        )


def _check_variable(key: str, name: str) -> None:
    if name and not VARIABLE_NAME.fullmatch(name):
        raise ValueError(f"{key} must be the name of an environment variable, such as ALERTS_PASSWORD")
