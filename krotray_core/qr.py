"""QR codes, as SVG and PNG. Pure: text in, picture out.

Always dark on white with its quiet zone, so that cameras read it from a screen in a dark theme too.
"""

from __future__ import annotations

import io
from typing import TypedDict

import segno
from segno import DataOverflowError, QRCode

from krotray_core.errors import Invalid

# What a QR code of the largest size can hold at error correction M, in bytes.
MOST_BYTES = 2331
QUIET_ZONE = 4  # modules, as the standard asks
PNG_SCALE = 10


class _Colours(TypedDict):
    dark: str
    light: str
    border: int


_LOOK: _Colours = {"dark": "#000", "light": "#fff", "border": QUIET_ZONE}


def svg(text: str) -> str:
    """A scalable picture without a size of its own, fit for a file or for a page. Raises Invalid when it is too much text."""
    out = io.BytesIO()
    _code(text).save(out, kind="svg", omitsize=True, svgclass=None, lineclass=None, **_LOOK)
    return out.getvalue().decode()


def png(text: str) -> bytes:
    """A picture of ten pixels a module, for a chat. Raises Invalid when it is too much text."""
    out = io.BytesIO()
    _code(text).save(out, kind="png", scale=PNG_SCALE, **_LOOK)
    return out.getvalue()


def _code(text: str) -> QRCode:
    try:
        return segno.make_qr(text, error="m", boost_error=False)
    except (DataOverflowError, ValueError) as error:
        raise Invalid("this text does not fit into a QR code") from error
