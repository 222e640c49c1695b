"""Real receivers on this machine for what the monitor sends: a web server and an SMTP server, each in a thread."""

from __future__ import annotations

import base64
import datetime
import json
import socketserver
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass
class Web:
    """What a web server got, and what it answers: one status each time, the last of them from then on."""

    port: int = 0
    answers: list[int] = field(default_factory=lambda: [200])
    got: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)


@dataclass
class Post:
    """What an SMTP server got: letters as received, their receivers, and who logged in."""

    port: int = 0
    letters: list[str] = field(default_factory=list)
    receivers: list[list[str]] = field(default_factory=list)
    logins: list[tuple[str, str, bool]] = field(default_factory=list)
    refuses: tuple[str, ...] = ()
    greeting: str = "220 here"
    password: str = "right"  # noqa: S105 (of nobody)


@contextmanager
def web() -> Iterator[Web]:
    """A web server that keeps what is posted."""
    kept = Web()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:  # noqa: N802 (its name there)
            body = self.rfile.read(int(self.headers["Content-Length"]))
            kept.got.append(json.loads(body))
            kept.headers.append(dict(self.headers.items()))
            kept.paths.append(self.path)
            status = kept.answers.pop(0) if len(kept.answers) > 1 else kept.answers[0]
            self.send_response(status)
            if status == 302:
                self.send_header("Location", "/elsewhere")
            self.end_headers()

        def do_GET(self) -> None:  # noqa: N802
            kept.paths.append(f"GET {self.path}")
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            return

    with _running(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as port:
        kept.port = port
        yield kept


@contextmanager
def post(tls: Path | None = None) -> Iterator[Post]:
    """An SMTP server; with the certificate and key in a folder it offers STARTTLS, and a login after that."""
    kept = Post()

    class Handler(socketserver.StreamRequestHandler):
        def say(self, line: str) -> None:
            self.wfile.write(line.encode() + b"\r\n")

        def handle(self) -> None:
            self.say(kept.greeting)
            secure, receivers = False, list[str]()
            while line := self.rfile.readline().decode().strip():
                word = line.split()[0].upper()
                if word == "EHLO":
                    offers = ["AUTH PLAIN"] if secure else ["STARTTLS"] if tls else []
                    lines = ["localhost", *offers]
                    for place, offer in enumerate(lines, start=1):
                        self.say(f"250{' ' if place == len(lines) else '-'}{offer}")
                elif word == "STARTTLS" and tls:
                    self.say("220 go on")
                    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                    context.load_cert_chain(tls / "cert.pem", tls / "key.pem")
                    try:
                        self.request = context.wrap_socket(self.request, server_side=True)
                    except ssl.SSLError:
                        return
                    self.rfile, self.wfile = self.request.makefile("rb"), self.request.makefile("wb", 0)
                    secure = True
                elif word == "AUTH":
                    _, user, password = base64.b64decode(line.split()[2]).decode().split("\0")
                    kept.logins.append((user, password, secure))
                    self.say("235 welcome" if password == kept.password else "535 no")
                elif word == "RCPT":
                    address = line.split("<")[1].split(">")[0]
                    refused = address in kept.refuses
                    receivers += [] if refused else [address]
                    self.say("550 nobody" if refused else "250 yes")
                elif word == "DATA":
                    self.say("354 go on")
                    body = []
                    while (text := self.rfile.readline().decode().rstrip("\r\n")) != ".":
                        body.append(text)
                    kept.letters.append("\n".join(body))
                    kept.receivers.append(receivers)
                    self.say("250 taken")
                elif word == "QUIT":
                    self.say("221 bye")
                    return
                else:
                    self.say("250 yes")

    with _running(socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)) as port:
        kept.port = port
        yield kept


@contextmanager
def _running(server: socketserver.TCPServer) -> Iterator[int]:
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def make_certificate(folder: Path) -> Path:
    """Writes cert.pem and key.pem for localhost, signed by nobody else; returns the certificate."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    start = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(start)
        .not_valid_after(start.replace(year=2120))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "key.pem").write_bytes(key.private_bytes(*private))
    return folder / "cert.pem"
