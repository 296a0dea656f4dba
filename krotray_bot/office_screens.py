"""What admins see: the business, a server, a person, a present. Pure: from words and what the core knows to text and buttons."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from html import escape

from krotray_bot import measure
from krotray_bot.buttons import press
from krotray_bot.talk import Screen
from krotray_bot.words import Words
from krotray_core import money
from krotray_core.models import Payment, Server, User
from krotray_core.stats import About, Stats

BAR_CELLS = 5
MOST_SERVER_BUTTONS = 60  # Telegram takes a hundred in all
GIFTS = (7, 30)  # days
LONGEST_ERROR = 200
# What may stand after a list of servers: one line more.
ROOM_FOR_SERVERS = measure.LONGEST_TEXT - 100


def stats(words: Words, seen: Stats) -> Screen:
    """The whole business at a glance."""
    office = words.office
    text = office.stats.format(
        active=seen.active,
        new=seen.new_users,
        today=money.to_rubles(seen.revenue_today),
        month=money.to_rubles(seen.revenue_month),
        waiting=seen.waiting,
        open=seen.open_payments,
    )
    if seen.flagged_payments:
        text += "\n" + office.flagged.format(number=seen.flagged_payments)
    text += f"\n\n{_fleet(words, seen.servers, ROOM_FOR_SERVERS - measure.units(text))}"
    return Screen(text, [[press(office.refresh, "adm:stats"), press(office.servers, "adm:servers")]])


def servers(words: Words, known: Sequence[Server], *, asked: bool = False) -> Screen:
    """Which server? `asked` when there is none of the name that was asked for."""
    office = words.office
    if not known:
        return Screen(office.no_servers, [[press(office.refresh, "adm:servers")]])
    rows = [[press(f"{_light(one)} {one.name}", f"adm:server:{one.id}")] for one in known[:MOST_SERVER_BUTTONS]]
    return Screen(office.unknown_server if asked else office.choose_server, rows)


def server(words: Words, one: Server, now: datetime) -> Screen:
    """One server and what can be done about it."""
    office = words.office
    since = words.date(one.state_since, now) if one.state_since else "—"
    state = {True: office.up, False: office.down, None: office.unseen}[one.is_up]
    lines = [_server(one, name=f"<b>{measure.shown(one.name)}</b>"), state.format(since=since)]
    lines += [office.disabled] if not one.enabled else []
    lines += [office.closed] if one.draining else []
    lines += [office.evacuating] if one.evacuating_since else []
    if one.last_error and not one.is_up:
        lines.append(office.last_error.format(error=escape(measure.cut(one.last_error, LONGEST_ERROR))))
    change = press(office.close, f"adm:close?:{one.id}") if _is_open(one) else press(office.open, f"adm:open?:{one.id}")
    rows = [[change], [press(office.refresh, f"adm:server:{one.id}"), press(office.servers, "adm:servers")]]
    return Screen("\n".join(lines), rows)


def ask_server(words: Words, one: Server, *, close: bool) -> Screen:
    """Before a server is closed to newcomers, or opened."""
    office = words.office
    text = (office.ask_close if close else office.ask_open).format(name=f"<b>{measure.shown(one.name)}</b>")
    yes = press(office.yes, f"adm:{'close' if close else 'open'}:{one.id}")
    return Screen(text, [[yes, press(office.no, f"adm:server:{one.id}")]])


def person(words: Words, seen: About, now: datetime, *, said: str = "", namesakes: Sequence[User] = ()) -> Screen:
    """One person: who, what they have, what they paid. `said` comes first."""
    office, user, has = words.office, seen.user, seen.cabinet
    username = f" @{measure.shown(user.username)}" if user.username else ""
    lines = [
        office.card.format(
            name=_name(user), username=username, telegram_id=user.telegram_id, since=words.date(user.created_at, now)
        )
    ]
    if seen.invited_by:
        by = seen.invited_by
        lines.append(office.invited_by.format(name=_name(by), telegram_id=by.telegram_id))
    if seen.came:
        lines.append(office.brought.format(number=seen.came))
    if user.unreachable_since:
        lines.append(office.unreachable.format(since=words.date(user.unreachable_since, now)))
    lines += ["", f"<b>{office.states[has.state]}</b>"]
    if has.running and has.expires_at:
        ends = words.date(has.expires_at, now)
        lines.append(office.ends.format(date=ends, days_left=words.days_left(has.days_left)))
    if has.subscription and has.subscription.waiting_since:
        lines.append(office.waits)
    if has.server_name:
        lines.append(office.on_server.format(name=measure.shown(has.server_name)))
    lines += ["", office.payments if seen.payments else office.no_payments]
    lines += [_payment(words, payment, now) for payment in seen.payments]
    if namesakes:
        others = ", ".join(f"<code>{other.telegram_id}</code>" for other in namesakes)
        lines += ["", office.namesakes.format(others=others)]
    gifts = [press(office.gift.format(days=office.days(days)), f"adm:gift:{user.telegram_id}:{days}") for days in GIFTS]
    head = f"{said}\n\n" if said else ""
    return Screen(head + "\n".join(lines), [gifts, [press(office.refresh, f"adm:user:{user.telegram_id}")]])


def ask_grant(words: Words, telegram_id: int, user: User | None, days: int, event: str) -> Screen:
    """Before days are given. `event` names this very present: its button gives it once, however often it is pressed."""
    office = words.office
    ask = office.ask_grant if user else office.ask_grant_stranger
    text = ask.format(days=office.days(days), name=_name(user) if user else "", telegram_id=telegram_id)
    yes = press(office.yes, f"adm:give:{telegram_id}:{days}:{event}")
    return Screen(text, [[yes, press(office.no, f"adm:user:{telegram_id}")]])


def note(text: str) -> Screen:
    """A line, such as how a command is written."""
    return Screen(text)


def bar(active: int, room: int) -> str:
    """ "▓▓▓░░ 12/20": empty only without anybody, full only without room."""
    filled = min(max(round(BAR_CELLS * active / room), 1), BAR_CELLS - 1) if 0 < active < room else 0
    filled = BAR_CELLS if active >= room else filled
    return f"{'▓' * filled}{'░' * (BAR_CELLS - filled)} {active}/{room}"


def _fleet(words: Words, known: Sequence[Server], room: int) -> str:
    """A line a server, as many as fit."""
    lines: list[str] = []
    for one in known:
        line = _server(one, name=measure.shown(one.name))
        room -= measure.units(line) + 1
        if room < 0:
            lines.append(words.office.more_servers.format(number=len(known) - len(lines)))
            break
        lines.append(line)
    return "\n".join(lines) or words.office.no_servers


def _server(one: Server, *, name: str) -> str:
    return f"{_light(one)} {name} {bar(one.active_users, one.max_users)}{'' if _is_open(one) else ' 🔒'}"


def _light(one: Server) -> str:
    return {True: "🟢", False: "🔴", None: "⚪"}[one.is_up]


def _is_open(one: Server) -> bool:
    return one.enabled and not one.draining


def _name(user: User) -> str:
    return measure.shown(user.first_name) or "—"


def _payment(words: Words, payment: Payment, now: datetime) -> str:
    office = words.office
    state = office.payment_flagged if payment.flagged_at else office.payment_states[payment.status]
    back = f" (−{money.to_rubles(payment.refunded_kopecks)})" if payment.refunded_kopecks else ""
    price = money.to_rubles(payment.amount_kopecks)
    return f"{words.date(payment.created_at, now)} · {price}{back} · {words.methods[payment.method]} · {state}"
