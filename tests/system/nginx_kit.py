"""Debian's nginx with the file that we ship, on ports and in folders of the test's own."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from sandbox.process import Process, free_port, listening
from sandbox.world import ROOT
from tests.system.conftest import installed
from tests.tls_kit import Authority

SHIPPED = ROOT / "deploy" / "nginx" / "krotray.conf"

AROUND = """
daemon off;
user root; # pytest keeps its folders from others
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
    types {{ text/html html; }}
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {site};
}}
"""


class Ports(NamedTuple):
    """Where nginx listens, and what stands behind it."""

    http: int
    https: int
    web: int
    flower: int


def moved(text: str, ports: Ports, *, host: str, certificates: Path, folder: Path) -> str:
    """The shipped text with only addresses, the host's name and folders replaced. Fails where the file names others."""
    changes = [
        (r"listen \[::\]:.*\n", "", 2),
        (r"listen 80;", f"listen 127.0.0.1:{ports.http};", 1),
        (r"listen 443 ", f"listen 127.0.0.1:{ports.https} ", 1),
        (r"127\.0\.0\.1:8000", f"127.0.0.1:{ports.web}", 3),
        (r"127\.0\.0\.1:5555", f"127.0.0.1:{ports.flower}", 2),
        (r"/etc/letsencrypt/live/[^/]+/fullchain", f"{certificates}/server", 1),
        (r"/etc/letsencrypt/live/[^/]+/privkey\.pem", f"{certificates}/server.key", 1),
        (r"/var/log/nginx", str(folder), 2),
        (r"/var/www/html", str(folder / "html"), 1),
        (
            r"server_name vpn\.example\.com|https://vpn\.example\.com",
            lambda m: m[0].replace("vpn.example.com", host),
            3,
        ),
    ]
    for pattern, new, count in changes:
        text, made = re.subn(pattern, new, text)
        assert made == count, f"{pattern}: {made} times"
    return text


class Nginx:
    """nginx in front of a web process; `url` is its TLS side, `plain` the other, `ca` whom to trust."""

    def __init__(self, folder: Path, *, web: int, flower: int | None = None) -> None:
        self.folder, self.ports = folder, Ports(free_port(), free_port(), web, flower or free_port())
        authority = Authority(folder / "certificates")
        self.ca = str(authority.ca)
        (folder / "html").mkdir()
        site = folder / "krotray.conf"
        site.write_text(
            moved(SHIPPED.read_text(), self.ports, host="127.0.0.1", certificates=authority.folder, folder=folder)
        )
        self._process = start(folder, site, self.ports)
        self.url, self.plain = f"https://127.0.0.1:{self.ports.https}", f"http://127.0.0.1:{self.ports.http}"

    def stop(self) -> None:
        """Ends it."""
        self._process.stop()


def start(folder: Path, site: Path, ports: Ports) -> Process:
    """A running nginx with this site and nothing else."""
    around = folder / "nginx.conf"
    around.write_text(AROUND.format(folder=folder, site=site))
    program = installed("nginx", "nginx-light")
    process = Process("nginx", [program, "-c", str(around), "-p", str(folder)], log=folder / "nginx.log")
    process.wait_ready(lambda: listening(ports.https) and listening(ports.http))
    return process
