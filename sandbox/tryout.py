"""Does a key work? A real VPN client is given the link, or the subscription, and fetches a page through the tunnel."""

from __future__ import annotations

import base64
import binascii
import secrets
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import unquote, urlsplit

import requests

from sandbox.parts import vpn
from sandbox.process import PartFailed

PROGRAM = "v2rayNG/1.10.0"  # one that is given a plain list of links
FETCH_SECONDS = 10
LARGEST_SUBSCRIPTION = 256 * 1024  # bytes

Problem = Literal["not_a_link", "subscription_unreadable", "refused"]


class NoWayError(Exception):
    """The tunnel could not even be tried; `problem` says why."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        self.problem = problem


@dataclass(frozen=True, slots=True)
class Tryout:
    """What came of it."""

    problem: Problem | None
    """None: the page came through the tunnel."""
    server: str = ""
    """The link's own name for its server."""
    links: int = 1
    """How many links the subscription held."""
    seen_as: str = ""
    """The address that the page saw, and without the tunnel:"""
    seen_without: str = ""
    milliseconds: int = 0
    """From asking for the page to having it."""


def try_key(given: str, hello_url: str) -> Tryout:
    """Connects with a vless:// link or a subscription's address, and fetches `hello_url` + "/" + a word made up for this moment.

    The page has to answer that word and the address that it saw. Takes seconds; never raises for what somebody typed.
    """
    try:
        links = _links(given.strip())
    except NoWayError as error:
        return Tryout(error.problem)
    link = links[0]
    server, word = unquote(urlsplit(link).fragment), secrets.token_urlsafe(12)
    url = f"{hello_url}/{word}"
    try:
        with tempfile.TemporaryDirectory() as folder, vpn(link, Path(folder)) as client:
            began = time.monotonic()
            answer = client.fetch(url)
            milliseconds = round((time.monotonic() - began) * 1000)
    except (PartFailed, ValueError):  # a link that no client starts with
        return Tryout("not_a_link", server, len(links))
    seen_as = _seen(answer, word)
    if not seen_as:
        return Tryout("refused", server, len(links))
    direct = requests.get(url, timeout=FETCH_SECONDS).text
    return Tryout(None, server, len(links), seen_as, _seen(direct, word), milliseconds)


def _seen(answer: str | None, word: str) -> str:
    """The address in a page's answer, if it is the answer to this word."""
    said, _, address = (answer or "").partition(" ")
    return address.strip() if said == word else ""


def _links(given: str) -> list[str]:
    """The vless links behind what somebody has in hand. Raises NoWayError."""
    if given.startswith("vless://"):
        return [given]
    if not given.startswith(("http://", "https://")):
        raise NoWayError("not_a_link")
    try:
        with requests.get(given, headers={"User-Agent": PROGRAM}, timeout=FETCH_SECONDS, stream=True) as answer:
            answer.raise_for_status()
            body = answer.raw.read(LARGEST_SUBSCRIPTION, decode_content=True)
        lines = base64.b64decode(body, validate=False).decode().split()
    except (requests.RequestException, binascii.Error, UnicodeError, OSError):
        raise NoWayError("subscription_unreadable") from None
    links = [line for line in lines if line.startswith("vless://")]
    if not links:
        raise NoWayError("subscription_unreadable")
    return links
