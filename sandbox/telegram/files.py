"""Photos: what was uploaded is kept under a file id, and can be sent again by it. https://core.telegram.org/bots/api#sending-files"""

from __future__ import annotations

import hashlib
import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from .errors import bad_request

LARGEST_PHOTO = 10 * 1024 * 1024  # bytes
LONGEST_SIDES = 10_000  # width and height together
STEEPEST = 20  # one side to the other
MOST_KEPT = 500

_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8"
_JPEG_SIZES = frozenset(range(0xC0, 0xD0)) - {
    0xC4,
    0xC8,
    0xCC,
}  # the markers after which the size of the picture stands


@dataclass(frozen=True)
class Photo:
    """One picture."""

    file_id: str
    width: int
    height: int
    content: bytes = field(repr=False)

    @property
    def mimetype(self) -> str:
        """What a browser has to be told."""
        return "image/png" if self.content.startswith(_PNG) else "image/jpeg"

    @property
    def path(self) -> str:
        """Where it can be downloaded, behind /file/bot<token>/."""
        return f"photos/{self.unique_id}.{'png' if self.mimetype == 'image/png' else 'jpg'}"

    @property
    def unique_id(self) -> str:
        """The same for the same picture, whoever sent it."""
        return f"AQAD{self.file_id[-16:]}"

    @property
    def wire(self) -> dict[str, Any]:
        """As Telegram shows a file to the bot."""
        return {"file_id": self.file_id, "file_unique_id": self.unique_id, "file_size": len(self.content)}

    @property
    def sizes(self) -> list[dict[str, Any]]:
        """The `photo` of a message. Telegram makes smaller copies too; here there is the one."""
        return [self.wire | {"width": self.width, "height": self.height}]


class Files:
    """The pictures, the latest of them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._photos: dict[str, Photo] = {}

    def photo(self, given: bytes | str | None) -> Photo:
        """The picture that a bot sends: its content, or the id of one that it has sent before. Raises ApiError."""
        if not given:
            raise bad_request("there is no photo in the request")
        return self.find(given) if isinstance(given, str) else self._kept(given)

    def find(self, file_id: str) -> Photo:
        """A picture by its id. Raises ApiError."""
        with self._lock:
            if file_id not in self._photos:  # an address: nothing is fetched from outside here
                raise bad_request("wrong file identifier/HTTP URL specified")
            return self._photos[file_id]

    def at(self, path: str) -> Photo | None:
        """A picture by its path."""
        with self._lock:
            return next((photo for photo in self._photos.values() if photo.path == path), None)

    def _kept(self, content: bytes) -> Photo:
        if len(content) > LARGEST_PHOTO:
            raise bad_request("file is too big")
        try:
            width, height = _size(content)
        except (ValueError, IndexError, struct.error):
            raise bad_request("IMAGE_PROCESS_FAILED") from None
        if (
            not min(width, height)
            or width + height > LONGEST_SIDES
            or max(width, height) > STEEPEST * min(width, height)
        ):
            raise bad_request("PHOTO_INVALID_DIMENSIONS")
        photo = Photo(f"AgACAgIAAxkD{hashlib.sha256(content).hexdigest()}", width, height, content)
        with self._lock:
            self._photos[photo.file_id] = photo
            while len(self._photos) > MOST_KEPT:
                self._photos.pop(next(iter(self._photos)))
        return photo


def _size(content: bytes) -> tuple[int, int]:
    if content.startswith(_PNG):
        width, height = struct.unpack(">II", content[16:24])
        return width, height
    if content.startswith(_JPEG):
        for marker, at in _segments(content):
            if marker in _JPEG_SIZES:
                height, width = struct.unpack(">HH", content[at + 5 : at + 9])
                return width, height
    raise ValueError("neither PNG nor JPEG")


def _segments(content: bytes) -> Iterator[tuple[int, int]]:
    """The markers of a JPEG, and where each stands."""
    at = 2
    while content[at] == 0xFF:
        yield content[at + 1], at
        at += 2 + int(struct.unpack(">H", content[at + 2 : at + 4])[0])
