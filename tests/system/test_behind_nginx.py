"""Behind Debian's nginx with the file that we ship: whose webhook is believed, who is slowed down, and what is shown to nobody."""

from __future__ import annotations

import json
import re
import socket
import ssl
import subprocess
import threading
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import requests

from sandbox.process import Process, free_port, listening, wait_until
from sandbox.service import Service
from sandbox.world import FLOWER_LOGIN, ROOT, World
from tests.system.conftest import installed
from tests.system.nginx_kit import SHIPPED, Nginx

# Loopback has many addresses: one plays YooKassa's, others strangers'.
YOOKASSA, STRANGER, CROWD, GUESSER = "127.0.0.77", "127.0.0.66", "127.0.0.55", "127.0.0.44"
CLAIMS = ("X-Forwarded-For", "X-Real-IP", "Forwarded", "CF-Connecting-IP", "True-Client-IP", "X-Client-IP")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The world outside."""
    made = World(tmp_path_factory.mktemp("nginx"))
    yield made
    made.stop()


@pytest.fixture(scope="module")
def flower_port() -> int:
    """Where Flower listens."""
    return free_port()


@pytest.fixture(scope="module")
def service(world: World, flower_port: int) -> Iterator[Service]:
    """The service with the settings that the file names."""
    settings = {
        "YOOKASSA_NETWORKS": f"{YOOKASSA}/32",
        "TRUSTED_PROXIES": "127.0.0.1",
        "FLOWER_URL_PREFIX": "flower",
        "FLOWER_PORT": str(flower_port),
        "WEBHOOK_RATE_LIMIT": "100000/minute",
    }
    made = Service(world, processes=("web", "flower"), settings=settings)
    yield made
    made.stop()


@pytest.fixture(scope="module")
def nginx(
    world: World, service: Service, flower_port: int, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Nginx]:
    """nginx in front of it."""
    assert service
    made = Nginx(tmp_path_factory.mktemp("front"), web=world.web_port, flower=flower_port)
    yield made
    made.stop()


def from_(source: str, ca: str | bool = True) -> requests.Session:
    """Somebody at this address."""
    session = requests.Session()
    session.trust_env, session.verify = False, ca
    adapter = requests.adapters.HTTPAdapter(pool_maxsize=50)
    adapter.poolmanager.connection_pool_kw["source_address"] = (source, 0)
    session.mount("http://", adapter)
    session.mount("https://", adapter)
    return session


def webhook(url: str, source: str, ca: str | bool = True, **headers: str) -> int:
    """The answer to an empty webhook that comes from this address: 400 if the address is believed, else 403."""
    with from_(source, ca) as session:
        return session.post(f"{url}/api/payments/webhook", data=b"{}", headers=headers, timeout=10).status_code


def test_only_yookassa_gets_to_the_webhook(nginx: Nginx, service: Service) -> None:
    assert webhook(nginx.url, YOOKASSA, nginx.ca) == 400
    assert webhook(nginx.url, STRANGER, nginx.ca) == 403
    for name in CLAIMS:
        for claim in (YOOKASSA, f"{YOOKASSA}, 127.0.0.1", f"for={YOOKASSA}", "127.0.0.1", ""):
            assert webhook(nginx.url, STRANGER, nginx.ca, **{name: claim}) == 403, f"a stranger's own {name}: {claim}"
    assert webhook(nginx.url, YOOKASSA, nginx.ca, **{"X-Forwarded-For": STRANGER}) == 400, "nor does it do harm"
    assert webhook(service.url, STRANGER, **{"X-Forwarded-For": YOOKASSA}) == 403, "past the proxy"


@pytest.mark.usefixtures("service")  # has made the database
def test_a_proxy_that_is_not_named_is_believed_nothing(world: World, tmp_path: Path) -> None:
    settings = {"YOOKASSA_NETWORKS": f"{YOOKASSA}/32", "TRUSTED_PROXIES": "", "PORT": str(free_port())}
    web = Process("web", ["deploy/run", "web"], log=tmp_path / "web.log", env=world.environment() | settings, cwd=ROOT)
    nginx = None
    try:
        web.wait_ready(lambda: listening(int(settings["PORT"])))
        nginx = Nginx(tmp_path, web=int(settings["PORT"]))
        assert webhook(nginx.url, YOOKASSA, nginx.ca) == 403
        assert webhook(nginx.url, STRANGER, nginx.ca, **{"X-Forwarded-For": YOOKASSA}) == 403
    finally:
        web.stop()
        if nginx:
            nginx.stop()


class Echo(BaseHTTPRequestHandler):
    """Says which headers have come through."""

    def do_GET(self) -> None:
        """Any path."""
        body = json.dumps({name.lower(): self.headers.get_all(name) for name in self.headers}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing."""


def test_what_a_stranger_says_about_themselves_ends_at_nginx(tmp_path: Path) -> None:
    """From a trusted address KrotRay believes both headers; once nobody is behind it, nginx says so with one status."""
    behind = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    threading.Thread(target=behind.serve_forever, daemon=True).start()
    nginx = Nginx(tmp_path, web=behind.server_port, flower=behind.server_port)
    claimed = {"X-Request-Id": "a-strangers-own-id", "X-Real-IP": YOOKASSA}
    try:
        with from_(STRANGER, nginx.ca) as session:
            for path in ("/", "/api/payments/webhook", "/sub/x", "/flower/"):
                came = session.get(nginx.url + path, headers=claimed, timeout=10).json()
                assert came["x-real-ip"] == [STRANGER], path
                (given,) = came["x-request-id"]
                assert re.fullmatch("[0-9a-f]{32}", given), path
            log = nginx.folder / "krotray.log"
            wait_until(lambda: given in log.read_text(), seconds=5, what="the id in the log")
            behind.shutdown()
            behind.server_close()
            away = session.get(f"{nginx.url}/", timeout=10)
        assert (away.status_code, away.json()["status"], away.json()["code"]) == (503, 503, "away")
        assert away.headers["Retry-After"] == "3"
    finally:
        nginx.stop()
        behind.server_close()


def test_the_crowd_is_slowed_down_and_yookassa_never(nginx: Nginx) -> None:
    def many(source: str, method: str, path: str) -> list[requests.Response]:
        with from_(source, nginx.ca) as session, ThreadPoolExecutor(24) as pool:
            return list(
                pool.map(lambda _: session.request(method, nginx.url + path, data=b"{}", timeout=20), range(600))
            )

    crowd = many(CROWD, "GET", "/healthz")
    slowed = [answer for answer in crowd if answer.status_code == 429]
    assert slowed
    assert len(slowed) < len(crowd) - 200, "a page with all that belongs to it comes through"
    assert slowed[0].json()["code"] == "too_many_requests"
    assert slowed[0].headers["Retry-After"]
    assert {answer.status_code for answer in many(YOOKASSA, "POST", "/api/payments/webhook")} == {400}
    with from_(STRANGER, nginx.ca) as session:
        assert session.get(f"{nginx.url}/healthz", timeout=5).ok, "each address by itself"


def test_bodies_as_large_as_krotray_takes_them(nginx: Nginx) -> None:
    with from_(STRANGER, nginx.ca) as session:
        url = f"{nginx.url}/api/payments/create"
        assert session.post(url, data=b" " * 65_536, timeout=10).status_code == 401
        refused = session.post(url, data=b" " * 65_537, timeout=10)
        assert (refused.status_code, refused.json()["code"]) == (413, "too_large")


def test_headers_come_once_and_text_is_packed(nginx: Nginx) -> None:
    with from_(STRANGER, nginx.ca) as session:
        for path in ("/app/", "/app/app.js", "/healthz"):
            answer = session.get(nginx.url + path, timeout=10)
            assert answer.ok
            names = [name.lower() for name in answer.raw.headers]
            for name in ("content-security-policy", "x-content-type-options", "referrer-policy", "cache-control"):
                assert len(answer.raw.headers.getlist(name)) == 1, f"{path}: {name} in {names}"
            assert answer.headers["Strict-Transport-Security"].startswith("max-age=")
            assert not re.search(r"[0-9]", answer.headers["Server"]), "no version"
        assert session.get(f"{nginx.url}/app/app.js", timeout=10).headers["Content-Encoding"] == "gzip"


def test_metrics_are_not_for_the_outside(nginx: Nginx, service: Service) -> None:
    with from_("127.0.0.1", nginx.ca) as session:
        for path in ("/metrics", "//metrics", "/%6detrics", "/./metrics", "/metrics?x=1"):
            assert session.get(nginx.url + path, timeout=10).status_code == 404, path
        assert session.get(f"{service.url}/metrics", timeout=10).ok


def test_flower_asks_for_a_login_wherever_one_looks(nginx: Nginx, flower_port: int) -> None:
    login = tuple(FLOWER_LOGIN.split(":"))
    wait_until(lambda: _answers(f"http://127.0.0.1:{flower_port}/flower/"), seconds=20, what="Flower")
    with from_(GUESSER, nginx.ca) as session:
        for path in ("/flower/", "/flower/workers", "/flower/tasks", "/flower/broker", "/flower/api/workers"):
            assert session.get(nginx.url + path, timeout=10).status_code == 401, path
        page = session.get(f"{nginx.url}/flower/", auth=login, timeout=10)
        assert page.ok
        linked = re.findall(r'(?:href|src)="(/[^"]+)"', page.text)
        assert linked
        assert all(path.startswith("/flower/") for path in linked), linked
        asset = next(path for path in linked if ".css" in path)
        assert session.get(nginx.url + asset, auth=login, timeout=10).ok
        for path in (
            "/flower/metrics",
            "/flower/healthcheck",
            "/flower//metrics",
            "/flower/%6detrics",
            "/flower/../flower/metrics",
        ):
            assert session.get(nginx.url + path, auth=login, timeout=10).status_code == 404, path
        assert session.get(f"{nginx.url}/flower", timeout=10, allow_redirects=False).is_redirect
        guesses = [
            session.get(f"{nginx.url}/flower/", auth=("krot", str(n)), timeout=10).status_code for n in range(60)
        ]
    assert set(guesses) == {401, 429}


def _answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=2).status_code in (200, 401)
    except requests.RequestException:
        return False


def test_plain_http_only_leads_to_tls_and_proves_the_domain(nginx: Nginx) -> None:
    answer = requests.get(f"{nginx.plain}/app/?x=1", timeout=10, allow_redirects=False)
    assert (answer.status_code, answer.headers["Location"]) == (301, "https://127.0.0.1/app/?x=1")
    challenge = nginx.folder / "html" / ".well-known" / "acme-challenge" / "token"
    challenge.parent.mkdir(parents=True)
    challenge.write_text("proof")
    assert requests.get(f"{nginx.plain}/.well-known/acme-challenge/token", timeout=10).text == "proof"


def test_old_tls_is_refused(nginx: Nginx) -> None:
    context = ssl.create_default_context(cafile=nginx.ca)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    with socket.create_connection(("127.0.0.1", nginx.ports.https), timeout=5) as raw, pytest.raises(ssl.SSLError):
        context.wrap_socket(raw, server_hostname="127.0.0.1")


def test_no_subscription_link_is_kept_in_a_log(nginx: Nginx) -> None:
    token = "A" * 43
    with from_(STRANGER, nginx.ca) as session:
        session.get(f"{nginx.url}/sub/{token}?format=clash", timeout=10)
        session.get(f"{nginx.url}/open?url=https%3A%2F%2Fvpn.example.com%2Fsub%2F{token}", timeout=10)
    log = nginx.folder / "krotray.log"
    wait_until(lambda: "/sub/[hidden]" in log.read_text(), seconds=5, what="the line")
    assert all(token not in path.read_text(errors="replace") for path in nginx.folder.glob("*.log"))


def test_the_file_as_it_is_shipped_pleases_nginx(nginx: Nginx, tmp_path: Path) -> None:
    """With nothing replaced but the certificates' folder, which is empty here."""
    text, count = re.subn(
        r"/etc/letsencrypt/live/[^/]+/(fullchain|privkey)", f"{nginx.folder}/certificates/server", SHIPPED.read_text()
    )
    assert count == 2
    text = text.replace("server.pem;\n    ssl_protocols", "server.key;\n    ssl_protocols")
    (tmp_path / "site.conf").write_text(text)
    around = f"pid {tmp_path}/pid; events {{}} http {{ include {tmp_path}/site.conf; }}"
    (tmp_path / "nginx.conf").write_text(around)
    command = [installed("nginx", "nginx-light"), "-t", "-c", str(tmp_path / "nginx.conf")]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)  # noqa: S603
    assert answer.returncode == 0, answer.stderr
    assert "warn" not in answer.stderr
