"""The buttons under messages. Pure.

What a button of ours does is told by its data: `go:<screen>` turns the message over to a screen. Notices have plain `buy`,
`key`, `connect`, `help` and `home`: those are answered with a new message, for a notice stays what it is.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from telebot.types import CopyTextButton, InlineKeyboardButton, WebAppInfo

from krotray_bot.words import Words
from krotray_core import money
from krotray_core.models import Payment

LONGEST_COPY = 256  # characters in a copy button
LONGEST_LINK = 2048  # characters; an address that does not fit would cost the whole message

Row = list[InlineKeyboardButton]


def press(label: str, data: str) -> InlineKeyboardButton:
    """A button that tells the bot `data`, 64 bytes at most."""
    return InlineKeyboardButton(label, callback_data=data)


def home(words: Words) -> Row:
    """The way back to the menu."""
    return [press(words.menu, "go:home")]


def link(label: str, url: str | None) -> Row:
    """A button that opens an address; none where Telegram would refuse it, and the whole message with it."""
    return [InlineKeyboardButton(label, url=url)] if url and _opens(url) else []


def copy(label: str, text: str | None) -> Row:
    """A button that copies a text; none where it does not fit: a tap on the line copies too."""
    return [InlineKeyboardButton(label, copy_text=CopyTextButton(text))] if text and len(text) <= LONGEST_COPY else []


def cabinet(words: Words, mini_app_url: str) -> Row:
    """The way into the Mini App. Telegram opens only https as one; on a developer's machine it is a plain link."""
    if urlsplit(mini_app_url).scheme == "https":
        return [InlineKeyboardButton(words.open_cabinet, web_app=WebAppInfo(mini_app_url))]
    return link(words.open_cabinet, mini_app_url)


def paying(words: Words, payment: Payment) -> list[Row]:
    """Where to pay, and how to see that it counted."""
    check = [press(words.check, f"check:{payment.id}")]
    label = words.pay.format(price=money.to_rubles(payment.amount_kopecks))
    return rows(link(label, payment.confirmation_url), check)


def rows(*given: Row) -> list[Row]:
    """Those that have a button."""
    return [row for row in given if row]


def _opens(url: str) -> bool:
    """http or https at a host with a point in it; Telegram takes no `localhost`."""
    parts = urlsplit(url)
    return len(url) <= LONGEST_LINK and parts.scheme in ("http", "https") and "." in (parts.hostname or "")
