"""The section [app]: who may open the web page of a team, and over which connection."""

from __future__ import annotations

from pydantic import Field, model_validator

from features.config.sections import Section


class AppConfig(Section):
    """[app]: accounts and connection of `regulars app`; without it a token opens the pages."""

    users: str = Field(
        "",
        description="file of the users who may sign in, as `regulars users add NAME` writes it; empty: no accounts, "
        "a token opens the pages",
    )
    proxy_header: str = Field(
        "",
        description="request header in which a proxy names the user whom it has signed in, such as 'X-Forwarded-User'; "
        "its users need no password here",
    )
    proxies: tuple[str, ...] = Field(
        ("127.0.0.1", "::1"), description="addresses of the proxies whose proxy_header is believed"
    )
    tls_certificate: str = Field("", description="file of the server's certificate (PEM), for https")
    tls_key: str = Field("", description="file of the certificate's private key (PEM)")
    tls_proxy: bool = Field(
        False, description="whether a proxy in front of the server takes https; the server itself then speaks http"
    )

    @model_validator(mode="after")
    def _check(self) -> AppConfig:
        if bool(self.tls_certificate) != bool(self.tls_key):
            raise ValueError("tls_certificate and tls_key go together: set both or neither")
        if self.tls_certificate and self.tls_proxy:
            raise ValueError("tls_certificate is for a server that takes https itself; remove it or tls_proxy")
        if self.proxy_header and not self.users:
            raise ValueError(
                "proxy_header needs users, the file that says which of the proxy's users may open the pages: set users"
            )
        if self.proxy_header and not self.proxies:
            raise ValueError("proxy_header is believed from proxies only: name their addresses in proxies")
        return self

    @property
    def has_tls(self) -> bool:
        """Whether browsers reach the pages by https."""
        return bool(self.tls_certificate) or self.tls_proxy
