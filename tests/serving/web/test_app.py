"""The page as it is run: a real server of its own process, a real browser, the token, and what ends or prevents it."""

from __future__ import annotations

import csv
import http.client
import importlib.util
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import openpyxl
import pytest
from click.testing import CliRunner

import regulars
from features.config.load import Config
from features.errors import UsageError
from serving.web import app
from tests.browser import chromium, needs_chromium

ROOT = Path(__file__).resolve().parents[3]
TOKEN = "a-token-that-is-long-enough"  # noqa: S105


@dataclass(frozen=True)
class Server:
    """A running `regulars app`."""

    port: int
    first_line: str
    process: subprocess.Popen[str]

    def ask(self, address: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body of an answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request("GET", address, headers={name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        outcome = answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
        connection.close()
        return outcome


@pytest.fixture(scope="module")
def server(webpages: Config) -> Iterator[Server]:
    """`regulars app` on a free port, with a token of the environment; ended by Ctrl-C if no test did."""
    command = [
        sys.executable,
        str(ROOT / "regulars.py"),
        "-c",
        str(webpages.folder / "regulars.toml"),
        "app",
        "--port",
        "0",
    ]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT,
        env={**os.environ, app.TOKEN: TOKEN, "PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    assert process.stdout is not None
    first_line = process.stdout.readline()
    address = re.search(r"http://127\.0\.0\.1:(\d+)/", first_line)
    assert address, first_line + process.stdout.read()
    yield Server(int(address[1]), first_line, process)
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        process.wait(30)


def test_the_token_lets_in_and_nothing_else_does(server: Server) -> None:
    assert f"?token={TOKEN}" in server.first_line
    assert server.ask("/")[0] == 401
    status, headers, _ = server.ask(f"/models?token={TOKEN}")
    assert (status, headers["location"]) == (303, "/models")
    cookie = headers["set-cookie"].split(";")[0]
    status, headers, body = server.ask("/models", Cookie=cookie)
    assert status == 200 and b"shop-churn/1" in body and "server" not in headers
    assert server.ask("/models", Cookie=cookie, Host="evil.example")[0] == 421
    assert server.ask(f"/models?token={TOKEN}", Host="evil.example")[0] == 421


@needs_chromium
def test_an_analyst_at_work(server: Server, tmp_path: Path) -> None:
    home = f"http://127.0.0.1:{server.port}"
    with chromium(tmp_path, accept_downloads=True) as browser:
        page = browser.new_page()
        wrong: list[str] = []
        # the test of a model is read from MLflow, which this folder does not have: that part says so with status 503
        page.on("console", lambda said: None if "/models/test" in str(said.location) else wrong.append(said.text))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", lambda asked: None if asked.url.startswith((home, "data:")) else wrong.append(asked.url))

        page.goto(f"{home}/?token={TOKEN}")
        assert page.url == f"{home}/" and page.inner_text("#customers") == "300"
        assert "critical" in page.inner_text(".alerts li:first-child")
        page.locator("#spread ~ figure .mark").first.focus()
        page.keyboard.press("ArrowRight")
        assert re.fullmatch(r"risk of 10 to 20%: \d+ customers", page.inner_text(".chart-tip"))
        page.keyboard.press("Escape")
        assert page.locator(".chart-tip").is_hidden()
        page.locator("#spread ~ figure .mark").nth(9).hover()
        assert page.inner_text(".chart-tip").startswith("risk of 90 to 100%")
        for link in ("Segments", "Experiments", "Monitoring", "Models"):
            page.click(f"nav >> text={link}")
            assert page.inner_text("h1")

        page.click("nav >> text=Customers")
        page.select_option("#segment", "keep")
        page.fill("#risk_from", "20")
        page.click(".filters button")
        assert "segment=keep" in page.url and page.input_value("#risk_from") == "20"
        first_line = int(re.match(r"(\d+) customers", page.inner_text("#found"))[1])  # type: ignore[index]
        for name in ("csv", "xlsx"):
            with page.expect_download() as waiting:
                page.click(f"#{name}")
            waiting.value.save_as(tmp_path / f"list.{name}")
        assert len(list(csv.reader((tmp_path / "list.csv").open(encoding="utf-8")))) == first_line + 1
        sheet = openpyxl.load_workbook(tmp_path / "list.xlsx").worksheets[0]
        assert sheet.max_row == first_line + 1 and sheet["A1"].value == "customer_id"

        first = page.inner_text("#list tbody a >> nth=0")
        page.click("#list tbody a >> nth=0")
        assert first in page.inner_text("h1")
        page.wait_for_selector("#history ~ div svg")
        page.wait_for_selector("text=orders <so far>")
        assert "this customer" in page.inner_text("#why-churn")

        page.click("nav >> text=Plan")
        all_customers, before = page.inner_text("#in"), page.get_attribute("#marker", "cx")
        page.wait_for_selector("#budget", state="visible")  # the script shows it once it listens to it
        page.focus("#budget")
        page.keyboard.press("Home")
        page.keyboard.press("ArrowRight")
        page.keyboard.press("PageUp")
        page.wait_for_function("before => document.getElementById('in').textContent !== before", arg=all_customers)
        page.wait_for_function("() => location.search.includes('budget=')")
        assert int(page.inner_text("#in")) < int(all_customers) and page.get_attribute("#marker", "cx") != before
        assert page.locator("#who tbody tr").count() == min(int(page.inner_text("#in")), 50)
        shared = page.inner_text("#gain")
        page.reload()
        assert page.inner_text("#gain") == shared
    assert wrong == []


@needs_chromium
def test_without_script_and_narrow_everything_is_there(server: Server, tmp_path: Path) -> None:
    home = f"http://127.0.0.1:{server.port}"
    with chromium(tmp_path, java_script_enabled=False, viewport={"width": 360, "height": 700}) as browser:
        page = browser.new_page()
        page.goto(f"{home}/plan?token={TOKEN}")
        page.fill("#amount", "10")
        page.click("#slider button")
        assert "budget=10" in page.url and int(page.inner_text("#in")) <= 20
        page.goto(f"{home}/customer?id=c010")
        page.click("text=Read the orders and contacts from the log")
        assert "Amount" in page.content()


def test_ctrl_c_ends_it_quietly(server: Server) -> None:
    server.process.send_signal(signal.SIGINT)
    rest, _ = server.process.communicate(timeout=60)
    assert server.process.returncode == 130, rest
    assert "Traceback" not in rest and rest.endswith("regulars: interrupted\n")


def test_a_port_in_use_is_one_message(webpages: Config) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        outcome = CliRunner().invoke(
            regulars.cli, ["-c", str(webpages.folder / "regulars.toml"), "app", "--port", str(port)]
        )
    assert outcome.exit_code == 2
    assert outcome.output.strip() == (
        f"regulars: port {port} is in use already, perhaps by another `regulars app`; "
        "give another with --port, 0 for any"
    )


def test_a_place_that_is_not_of_this_machine() -> None:
    with pytest.raises(UsageError, match="--host 192.0.2.77: cannot be used"):
        app.listen("192.0.2.77", 0)
    with pytest.raises(UsageError, match="give an address of this machine"):
        app.listen("no.such.host.invalid", 0)


def test_the_address_holds_the_token_and_one_that_is_too_short_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(app.TOKEN, raising=False)
    assert app.own_token() == ""
    assert app.page_address("0.0.0.0", 80, "a").startswith(f"http://{socket.gethostname()}:80/?token=a")  # noqa: S104
    monkeypatch.setenv(app.TOKEN, "short")
    with pytest.raises(UsageError, match="has 5 characters"):
        app.own_token()


def test_on_this_machine_a_link_is_printed_too(webpages: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(app.TOKEN, raising=False)
    monkeypatch.setattr("uvicorn.Server.run", lambda *_, **__: None)
    monkeypatch.setattr(app, "_warm", lambda site: None)
    lines: list[str] = []
    app.serve(webpages, "127.0.0.1", 0, (), lines.append)
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/\?token=[\w-]{43}", lines[0]) and len(lines) == 3
    assert "once" in lines[1] and lines[2] == app.STOP


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(app, "find_spec", lambda name: None if name in ("uvicorn", "xlsxwriter") else real(name))
    with pytest.raises(
        UsageError, match=r"needs uvicorn and xlsxwriter, which are not installed: pip install 'regulars\[app\]'"
    ):
        app.require_app_extra()


def test_other_machines_are_refused_without_https(webpages: Config) -> None:
    with pytest.raises(UsageError, match="tls_proxy = true if a proxy in front takes https"):
        app.serve(webpages, "0.0.0.0", 0)  # noqa: S104 (refused)


def test_a_certificate_that_cannot_be_used_is_named(webpages: Config, tmp_path: Path) -> None:
    rules = webpages.app.model_copy(update={"tls_certificate": str(tmp_path / "no.pem"), "tls_key": "no.key"})
    with pytest.raises(UsageError, match="no.pem.*expected a certificate and its private key"):
        app.serve(webpages.model_copy(update={"app": rules}), "127.0.0.1", 0)


@needs_chromium
def test_a_team_signs_in_with_a_browser(webpages: Config, tmp_path: Path) -> None:
    text = (webpages.folder / "regulars.toml").read_text(encoding="utf-8")
    config = webpages.folder / "team.toml"
    config.write_text(f'{text}[app]\nusers = "{tmp_path / "users.json"}"\n', encoding="utf-8")
    run = [sys.executable, str(ROOT / "regulars.py"), "-c", str(config)]
    add = [*run, "users", "add", "ben", "--role", "groups"]
    subprocess.run(add, input="correct horse\n", text=True, check=True, capture_output=True)
    with subprocess.Popen([*run, "app", "--port", "0"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        home = process.stdout.readline().strip()
        try:
            with chromium(tmp_path) as browser:
                page = browser.new_page()
                page.goto(f"{home}plan")
                for password in ("wrong password", "correct horse"):
                    page.fill("#name", "ben")
                    page.fill("#password", password)
                    page.click("button")
                assert page.url == f"{home}plan" and "single customers" in page.inner_text("main")
                page.click("text=Sign out")
                assert page.url == f"{home}sign-in"
        finally:
            process.send_signal(signal.SIGINT)
