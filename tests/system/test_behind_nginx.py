"""Behind Debian's nginx: whose webhook is believed, when a proxy stands in front."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from sandbox.process import Process, free_port, listening
from sandbox.service import Service
from sandbox.world import World
from tests.system.conftest import installed

# Loopback has many addresses: one plays YooKassa's, one a stranger's.
YOOKASSA, STRANGER = "127.0.0.77", "127.0.0.66"

CONFIGURATION = """
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass {upstream};
            proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
        }}
    }}
}}
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The world outside."""
    made = World(tmp_path_factory.mktemp("nginx"))
    yield made
    made.stop()


def nginx(folder: Path, upstream: str) -> tuple[Process, str]:
    """A running nginx in front of `upstream`, and its address."""
    port = free_port()
    configuration = folder / "nginx.conf"
    configuration.write_text(CONFIGURATION.format(folder=folder, port=port, upstream=upstream))
    program = installed("nginx", "nginx-light")
    process = Process("nginx", [program, "-c", str(configuration), "-p", str(folder)], log=folder / "nginx.log")
    process.wait_ready(lambda: listening(port))
    return process, f"http://127.0.0.1:{port}"


def status(url: str, source: str, **headers: str) -> int:
    """The answer to an empty webhook that comes from this address: 400 if the address is believed, else 403."""
    with requests.Session() as session:
        session.trust_env = False
        adapter = requests.adapters.HTTPAdapter()
        adapter.poolmanager.connection_pool_kw["source_address"] = (source, 0)
        session.mount("http://", adapter)
        return session.post(f"{url}/api/payments/webhook", data=b"{}", headers=headers, timeout=10).status_code


@pytest.mark.parametrize("trusted", [True, False])
def test_only_a_trusted_proxy_is_believed_about_who_called(world: World, tmp_path: Path, trusted: bool) -> None:
    settings = {"YOOKASSA_NETWORKS": f"{YOOKASSA}/32", "TRUSTED_PROXIES": "127.0.0.1" if trusted else ""}
    service = Service(world, processes=("web",), settings=settings)
    try:
        process, url = nginx(tmp_path, service.url)
        try:
            assert status(url, YOOKASSA) == (400 if trusted else 403)
            assert status(url, STRANGER) == 403
            assert status(url, STRANGER, **{"X-Forwarded-For": YOOKASSA}) == 403, "a stranger's own header"
            assert status(service.url, STRANGER, **{"X-Forwarded-For": YOOKASSA}) == 403, "past the proxy"
            assert status(service.url, YOOKASSA) == 400
            assert requests.get(f"{url}/metrics", timeout=10).status_code == (200 if trusted else 403)
        finally:
            process.stop()
    finally:
        service.stop()
