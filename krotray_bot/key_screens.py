"""The key, how to connect with it, and the invitation. Pure: from words and what the core knows to text and buttons."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from hashlib import sha256
from html import escape
from urllib.parse import quote
from uuid import UUID

from krotray_bot import buttons, measure
from krotray_bot.buttons import Row, press
from krotray_bot.talk import Screen
from krotray_bot.words import Words
from krotray_core import apps
from krotray_core.apps import App, Platform
from krotray_core.cabinet import Cabinet
from krotray_core.models import Payment

TITLE = apps.TITLE  # the page that launches programs knows no other
MOST_APPS = 3  # of a platform, or below a key
MOBILE = ("android", "ios")


def key(words: Words, seen: Cabinet, now: datetime, payable: Payment | None = None, *, said: str = "") -> Screen:
    """My key, in whatever state the subscription is; `payable` is the payment that is waited for, `said` comes first."""
    home = buttons.home(words)
    match seen.state:
        case "active":
            return _working(words, seen, now, said)
        case "provisioning":
            return Screen(said + words.preparing, [[press(words.refresh, "go:key")], home])
        case "payment_pending":
            ways = buttons.paying(words, payable) if payable else [[press(words.refresh, "go:key")]]
            return Screen(said + words.awaiting_payment, [*ways, [press(words.buy, "go:buy")], home])
        case "expired":
            ended = words.date(seen.expires_at, now) if seen.expires_at else ""
            return Screen(said + words.expired.format(date=ended), [[press(words.renew, "go:buy")], home])
        case _:
            return Screen(said + words.no_key, [[press(words.buy, "go:buy")], home])


def works(words: Words, seen: Cabinet, now: datetime) -> str:
    """The one line about a running subscription."""
    until = words.date(seen.expires_at, now) if seen.expires_at else ""
    return words.works.format(date=until, days_left=words.days_left(seen.days_left))


def mark(key_: UUID) -> str:
    """Names a key without telling it: a button to replace it does so once, however often it is pressed."""
    return sha256(key_.bytes).hexdigest()[:12]


def ask_rotate(words: Words, key_: UUID) -> Screen:
    """Before a key is replaced: what that means."""
    yes = press(words.rotate, f"rotate:{mark(key_)}")
    return Screen(words.ask_rotate, [[yes], [press(words.keep_key, "go:key")]])


def nothing_to_rotate(words: Words) -> Screen:
    """There is no running subscription whose key could be replaced."""
    return Screen(words.nothing_to_rotate, [[press(words.buy, "go:buy")], buttons.home(words)])


def connect(words: Words) -> Screen:
    """How to connect: which device?"""
    each = [press(words.platforms[platform], f"on:{platform}") for platform in apps.PLATFORMS]
    pairs = [each[start : start + 2] for start in range(0, len(each), 2)]
    return Screen(words.choose_device, [*pairs, buttons.home(words)])


def platform(words: Words, shown: Platform, seen: Cabinet) -> Screen:
    """The three steps on one kind of device, with programs that take the subscription at a press."""
    link = seen.subscription_url if seen.running else None
    rows = [_app(words, app) for app in shown.apps[:MOST_APPS]]
    by_press = any(len(row) > 1 for row in rows)
    steps = words.steps if by_press else words.steps_by_hand
    text = steps.format(platform=words.platforms[shown.id], app=escape(shown.apps[0].name))
    if link is None:
        text += f"\n\n{words.key_first}"
        below = [press(words.buy, "go:buy")]
    else:
        text += f"\n\n{words.on_that_device}" if by_press and shown.id not in MOBILE else ""
        below = buttons.copy(words.copy_link, link)
        below = [*below, press(words.my_key, "go:key")]
    back = [press(words.other_device, "go:connect"), *buttons.home(words)]
    return Screen(text, buttons.rows(*rows, below, back))


def invitation(words: Words, link: str | None, came: int) -> Screen:
    """A link of one's own, and how many have come by it."""
    home = buttons.home(words)
    if link is None:
        return Screen(words.no_invitation, [[press(words.again, "go:invite")], home])
    said = words.people_came(came) if came else words.nobody_came
    share = f"https://t.me/share/url?url={quote(link, safe='')}&text={quote(words.share_text, safe='')}"
    return Screen(
        words.invitation.format(link=escape(link), came=said),
        buttons.rows(buttons.link(words.share, share), buttons.copy(words.copy_link, link), home),
    )


def _working(words: Words, seen: Cabinet, now: datetime, said: str) -> Screen:
    link = seen.subscription_url
    opening = _opening(words, apps.for_subscription(link, TITLE)) if link else []
    rows = buttons.rows(
        *opening,
        buttons.copy(words.copy_link, link),
        [press(words.connect, "go:connect"), press(words.new_key, "go:rotate")],
        [press(words.renew, "go:buy"), *buttons.home(words)],
    )
    head = said + works(words, seen, now)
    if seen.traffic:
        head += "\n" + words.used.format(volume=words.volume(seen.traffic.used_bytes))
    text = _key_text(words, head, link, seen.vless_url, one_press=bool(opening))
    if measure.units(text) > measure.LONGEST_TEXT:  # a key of such a length is for programs; they fetch it by the link
        text = _key_text(words, head, link, None, one_press=bool(opening))
    return Screen(text, rows, qr=link, caption=f"{head}\n\n{words.key_below}")


def _key_text(words: Words, head: str, link: str | None, vless_url: str | None, *, one_press: bool) -> str:
    titled = ((words.link_title, link), (words.key_title, vless_url))
    parts = [f"{title}\n<code>{escape(value)}</code>" for title, value in titled if value]
    return "\n\n".join([head, *parts, words.how_to_copy, *([words.one_press] if one_press else [])])


def _opening(words: Words, platforms: Sequence[Platform]) -> list[Row]:
    """Buttons that hand the subscription to a program: the best ones of the first platform, which the others have as well."""
    best = platforms[0].apps[:MOST_APPS] if platforms else []
    first, *others = [buttons.link(words.add_to_app.format(app=app.name), app.open_url) for app in best] or [[]]
    return buttons.rows(first, [button for row in others for button in row])


def _app(words: Words, app: App) -> Row:
    get = buttons.link(words.get_app.format(app=app.name), app.store_url)
    return [*get, *buttons.link(words.add_to_app.format(app=app.name), app.open_url)]
