"""Every screen in both languages is one that Telegram takes, whatever people call themselves. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from html import unescape
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from krotray_bot import key_screens, measure, office_screens, screens, words
from krotray_bot.talk import Screen
from krotray_bot.words import Words
from krotray_core import apps, reasons
from krotray_core.cabinet import Cabinet
from krotray_core.models import Payment, Plan, Server, Subscription, User
from krotray_core.stats import About, Stats
from sandbox.telegram.entities import length, parse_html
from sandbox.telegram.markup import keyboard_of

NOW = datetime(2026, 12, 1, tzinfo=UTC)
MINI_APP = "https://vpn.example.com/app/"
LINK = "https://vpn.example.com/sub/" + "t" * 32
VLESS = f"vless://{uuid4()}@vpn.example.com:443?security=reality&pbk={'k' * 43}&sni=a.example#KrotRay%20Amsterdam"
NAMES = [
    "Анна",
    "",
    None,
    "<b>Bold</b> & </code>",
    "👩‍👩‍👧‍👦" * 20,
    "مريم",
    "\u202eevil\u2066",
    "a\x00b\ud800",
    "x" * 5000,
]
LANGUAGES = pytest.mark.parametrize("language", [words.RU, words.EN], ids=["ru", "en"])


def cabinet(state: str, vless_url: str | None = VLESS) -> Cabinet:
    """Somebody's subscription."""
    row = Subscription(uuid=uuid4(), status="active", expires_at=NOW + timedelta(days=12))
    active = state == "active"
    return Cabinet(
        state,  # type: ignore[arg-type] # each of the five
        row if state != "no_subscription" else None,
        row.expires_at,
        12,
        vless_url if active else None,
        subscription_url=LINK if state in ("active", "provisioning", "expired") else None,
        server_name="Amsterdam <1>" if active else None,
    )


def payment(**changes: object) -> Payment:
    """A payment for a month by card."""
    row: dict[str, object] = {"id": uuid4(), "plan_code": "1m", "months": 1, "days": 30, "amount_kopecks": 100_00}
    row |= {"method": "card", "request": {}, "refunded_kopecks": 0, "created_at": NOW, "status": "pending"}
    return Payment(**row | {"confirmation_url": "https://yookassa.example/pay/1"} | changes)


def plan(code: str, months: int) -> Plan:
    """A tariff with the longest code that there may be."""
    return Plan(code=code, months=months, days=months * 30, amount_kopecks=10**9)


def user(name: str | None) -> User:
    """Somebody of this name."""
    row = {"id": 1, "telegram_id": 2**52, "created_at": NOW, "unreachable_since": NOW}
    return User(**row, first_name=name, username=name)


def server(number: int, name: str) -> Server:
    """One of the fleet, in some state."""
    states = {"is_up": (True, False, None)[number % 3], "enabled": number % 5 > 0, "draining": number % 7 == 0}
    when = {"state_since": NOW, "evacuating_since": NOW if number % 2 else None}
    room = {"active_users": number, "max_users": 100, "last_error": "<b>" * 500}
    return Server(id=10**9 + number, name=name, **states, **when, **room)


def peoples(said: Words, name: str | None) -> Iterator[Screen]:
    """What people see."""
    known = {"words": said, "mini_app_url": MINI_APP}
    sale = [plan("a" * 16, 1), plan("3m", 3)]
    for state in ("no_subscription", "payment_pending", "provisioning", "active", "expired"):
        seen = cabinet(state)
        yield screens.home(**known, name=name or "", seen=seen, now=NOW)
        yield key_screens.key(said, seen, NOW, payment(), said=said.paid)
        for one in apps.for_subscription(LINK if seen.running else None, key_screens.TITLE):
            yield key_screens.platform(said, one, seen)
    yield key_screens.key(said, cabinet("active", VLESS + "x" * 5000), NOW)
    yield key_screens.key(said, cabinet("active", VLESS + "x" * 1500), NOW)
    yield screens.not_understood(**known, email_tried=True)
    yield screens.tariffs(said, sale, changed=True)
    yield screens.tariffs(said, [])
    yield screens.methods(said, sale[0])
    yield screens.to_pay(said, payment(request={"receipt": {"customer": {"email": "<a>&@example.com"}}}))
    yield screens.ask_email(said, "<b>😀" * 5000)
    yield screens.email_wrong(said)
    yield screens.email_kept(said, "a&b@example.com", sale)
    yield screens.too_many_open(said, payment())
    for reason in (*reasons.RU, None):
        yield screens.checked(said, payment(status="canceled", cancel_reason=reason), cabinet("expired"), NOW)
    for status, back in (("succeeded", 0), ("succeeded", 1), ("refunded", 100_00)):
        yield screens.checked(said, payment(status=status, refunded_kopecks=back), cabinet("active"), NOW)
    yield screens.checked(said, payment(flagged_at=NOW), cabinet("active"), NOW)
    yield screens.help_page(said, "https://t.me/krotray_help")
    yield screens.fault(said, said.away, "pay:" + "x" * 60)
    yield key_screens.connect(said)
    yield key_screens.ask_rotate(said, uuid4())
    yield key_screens.nothing_to_rotate(said)
    yield key_screens.invitation(said, "https://t.me/krotray_bot?start=ref_abcdefgh", 3)
    yield key_screens.invitation(said, None, 0)


def admins(said: Words, name: str | None) -> Iterator[Screen]:
    """What admins see."""
    fleet = [server(number, (name or "x")[:64] or "x") for number in range(1, 90)]
    for known in ([], fleet):
        yield office_screens.stats(said, Stats(1, 2, 3, 4, 5, 6, 7, known))
        yield office_screens.servers(said, known, asked=True)
    for one in fleet[:8]:
        yield office_screens.server(said, one, NOW)
        yield office_screens.ask_server(said, one, close=True)
    payments = [payment(status="succeeded"), payment(flagged_at=NOW), payment(refunded_kopecks=1, status="succeeded")]
    for state in ("no_subscription", "payment_pending", "provisioning", "active", "expired"):
        about = About(user(name), cabinet(state), user(name), 5, payments)
        yield office_screens.person(said, about, NOW, said=said.office.granted.format(days="7"), namesakes=[user(name)])
    event = "q" + "9" * 20
    yield office_screens.ask_grant(said, 2**52, user(name), 3650, event)
    yield office_screens.ask_grant(said, 2**52, None, 3650, event)
    for line in (said.office.how_user, said.office.how_grant, said.office.unknown_user):
        yield office_screens.note(line)


def check(screen: Screen) -> str:
    """Telegram takes it: its own parser, its limits, its keyboard. Returns what is read."""
    text, _ = parse_html(screen.text)
    assert text.strip()
    assert length(text) == measure.units(screen.text) <= measure.LONGEST_TEXT
    caption, _ = parse_html(screen.caption)
    assert length(caption) <= measure.LONGEST_CAPTION
    keyboard_of({"inline_keyboard": [[button.to_dict() for button in row] for row in screen.rows]})
    assert all(screen.rows), "no empty rows"
    return text


@LANGUAGES
@pytest.mark.parametrize("name", NAMES)
def test_telegram_takes_every_screen(language: Words, name: str | None) -> None:
    for screen in (*peoples(language, name), *admins(language, name)):
        assert "{" not in check(screen), "everything is filled in"


@LANGUAGES
@given(name=st.text(max_size=300))
def test_no_name_reaches_beyond_itself(language: Words, name: str) -> None:
    said = check(screens.home(language, name=name, mini_app_url=MINI_APP, seen=None, now=NOW))
    frame = check(screens.home(language, name="", mini_app_url=MINI_APP, seen=None, now=NOW))
    before, _, after = frame.partition(".")
    assert said.startswith(before)
    assert said.endswith("." + after)
    assert said.count("\n") == frame.count("\n")
    opened = sum(sign in "\u2066\u2067\u2068" for sign in said)
    assert opened == said.count("\u2069")
    assert not set(said) & set("\u202a\u202b\u202c\u202d\u202e\u200e\u200f\0")


@pytest.mark.parametrize("name", ["Анна", "Мария <3", "O'Neil & Söhne", "👩‍👩‍👧‍👦", "李雷"])
def test_ordinary_names_are_shown_as_they_are(name: str) -> None:
    assert unescape(measure.shown(name)) == name


@LANGUAGES
def test_no_screen_for_people_is_a_dead_end(language: Words) -> None:
    for screen in peoples(language, "Anna"):
        assert screen.rows, screen.text
        assert "!" not in screen.text, "look.md: calm"


@LANGUAGES
def test_a_key_can_always_be_copied_and_scanned(language: Words) -> None:
    screen = key_screens.key(language, cabinet("active"), NOW)
    assert screen.qr == LINK
    text = check(screen)
    assert LINK in text
    assert VLESS in text
    copied = [button.copy_text.text for row in screen.rows for button in row if button.copy_text]
    assert copied == [LINK]
    assert measure.units(screen.text) <= measure.LONGEST_CAPTION, "an ordinary key fits under its picture"
    longest = check(key_screens.key(language, cabinet("active", "vless://" + "x" * 5000), NOW))
    assert LINK in longest
    assert "vless://" not in longest


@LANGUAGES
def test_the_programs_of_each_platform_take_the_subscription(language: Words) -> None:
    for one in apps.for_subscription(LINK, key_screens.TITLE):
        screen = key_screens.platform(language, one, cabinet("active"))
        links = [button.url for row in screen.rows for button in row if button.url]
        assert links[:2] == [one.apps[0].store_url, one.apps[0].open_url]
        assert one.apps[0].name in screen.text
        assert language.key_first not in screen.text
    bare = apps.for_subscription(None, key_screens.TITLE)[0]
    screen = key_screens.platform(language, bare, cabinet("no_subscription"))
    assert language.key_first in screen.text
    assert "go:buy" in [button.callback_data for row in screen.rows for button in row]


def test_on_a_machine_without_a_name_buttons_that_telegram_would_refuse_are_left_out() -> None:
    seen = cabinet("active")
    local = Cabinet(
        seen.state, seen.subscription, seen.expires_at, 12, VLESS, subscription_url="http://localhost/sub/t"
    )
    check(key_screens.key(words.RU, local, NOW))
    check(key_screens.platform(words.RU, apps.for_subscription("http://localhost/sub/t", "x")[0], local))
    check(screens.home(words.RU, name="", mini_app_url="http://localhost:8000/app/", seen=None, now=NOW))


@pytest.mark.parametrize(
    ("active", "room", "shown"),
    [
        (0, 100, "░░░░░"),
        (1, 100, "▓░░░░"),
        (50, 100, "▓▓░░░"),
        (99, 100, "▓▓▓▓░"),
        (100, 100, "▓▓▓▓▓"),
        (1, 1, "▓▓▓▓▓"),
    ],
)
def test_load_bars(active: int, room: int, shown: str) -> None:
    assert office_screens.bar(active, room) == f"{shown} {active}/{room}"


@given(room=st.integers(1, 10**6), data=st.data())
def test_a_bar_is_full_only_without_room_and_empty_only_without_people(room: int, data: st.DataObject) -> None:
    active = data.draw(st.integers(0, room))
    cells = office_screens.bar(active, room).split()[0]
    assert len(cells) == office_screens.BAR_CELLS
    assert ("▓" not in cells) == (active == 0)
    assert ("░" not in cells) == (active == room)


def test_the_mark_of_a_key_does_not_tell_it() -> None:
    key = UUID("00112233-4455-4677-8899-aabbccddeeff")
    assert key_screens.mark(key) == key_screens.mark(UUID(str(key))) != key_screens.mark(uuid4())
    assert not any(part in key_screens.mark(key) for part in str(key).split("-"))


@LANGUAGES
def test_commands_have_their_texts(language: Words) -> None:
    assert len(language.commands) == len(words.COMMANDS)
    assert len(language.office.commands) == len(words.OFFICE_COMMANDS)
    assert set(language.platforms) == set(apps.PLATFORMS)
    for text in (*language.commands, *language.office.commands):
        assert 1 <= len(text) <= 256
    assert not re.search(r"[<>]", "".join(language.platforms.values()))
