"""The admins' commands: how things are, a server, a person, a present. For everybody else these do not exist.

Everything here may run twice for the same update.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable

from telebot import TeleBot
from telebot.types import CallbackQuery, Message

from krotray_bot import office_screens
from krotray_bot.counter import Action, Counter
from krotray_bot.talk import Talk
from krotray_bot.visit import Reply, Visit
from krotray_core import clock, ledger, moving, provisioning, servers, settings, stats, subscriptions, users
from krotray_core.errors import NotFound
from krotray_core.models import Server, User
from krotray_tasks import access

log = logging.getLogger(__name__)

MARK = "adm:"  # what the data of our buttons begin with
_TELEGRAM_ID = re.compile(r"[1-9][0-9]{0,15}", re.ASCII)
_USERNAME = re.compile(r"@?[A-Za-z][A-Za-z0-9_]{2,31}", re.ASCII)
_DAYS = re.compile(r"[0-9]{1,6}", re.ASCII)


class Office:
    """The handlers of the admins' commands and buttons."""

    def __init__(self, talk: Talk) -> None:
        self._counter = Counter(talk, pace=None)

    def register(self, bot: TeleBot) -> None:
        """Has the library call us; before the desk, which answers whatever nobody else has taken."""
        for command, action in (
            ("stats", _stats),
            ("server", _server_asked),
            ("user", _user_asked),
            ("grant", _grant_asked),
        ):
            bot.register_message_handler(
                self._hearing(action, command), commands=[command], chat_types=["private"], func=_is_admins
            )
        bot.register_callback_query_handler(self.on_press, func=lambda call: _is_ours(call.data) and _is_admins(call))

    def on_press(self, call: CallbackQuery) -> None:
        """A button of ours was pressed."""
        self._counter.press(call, _react_safely)

    def _hearing(self, action: Action, command: str) -> Callable[[Message], None]:
        def on_command(message: Message) -> None:
            # Tried once more, a command without the words behind it tells how it is written.
            self._counter.hear(message, action, again=f"{MARK}{command}")

        return on_command


def _is_admins(update: Message | CallbackQuery) -> bool:
    return update.from_user is not None and update.from_user.id in settings.get().admin_telegram_ids


def _is_ours(data: str | None) -> bool:
    return (data or "").startswith(MARK)


def _react_safely(visit: Visit, data: str) -> Reply:
    try:
        return _react(visit, data)
    except (NotFound, ValueError):  # a server that is gone meanwhile, or a button that nobody made
        return Reply(office_screens.servers(visit.words, servers.everyone(), asked=True))


def _react(visit: Visit, data: str) -> Reply:
    match data.split(":")[1:]:
        case ["server", server_id]:
            reply = _server(visit, _found(server_id))
        case [("close?" | "open?") as wish, server_id]:
            reply = Reply(office_screens.ask_server(visit.words, _found(server_id), close=wish == "close?"))
        case [("close" | "open") as wish, server_id]:
            reply = _switch(visit, _found(server_id), close=wish == "close")
        case ["servers" | "server"]:
            reply = Reply(office_screens.servers(visit.words, servers.everyone()))
        case ["user"]:
            reply = Reply(office_screens.note(visit.words.office.how_user))
        case ["user", telegram_id]:
            reply = _user(visit, telegram_id)
        case ["grant"]:
            reply = Reply(office_screens.note(visit.words.office.how_grant))
        case ["gift", telegram_id, days]:
            reply = _ask_grant(visit, telegram_id, days)
        case ["give", telegram_id, days, event]:
            reply = _give(visit, int(telegram_id), int(days), event)
        case _:
            reply = _stats(visit)
    return reply


def _stats(visit: Visit) -> Reply:
    return Reply(office_screens.stats(visit.words, stats.count()))


def _server_asked(visit: Visit) -> Reply:
    """/server, with a name (which may hold spaces) or without one."""
    name = " ".join(visit.said)
    try:
        if name:
            return _server(visit, servers.by_name(name))
    except NotFound:
        pass
    return Reply(office_screens.servers(visit.words, servers.everyone(), asked=bool(name)))


def _found(server_id: str) -> Server:
    return provisioning.find(int(server_id))


def _server(visit: Visit, server: Server) -> Reply:
    return Reply(office_screens.server(visit.words, server, clock.now()))


def _switch(visit: Visit, server: Server, *, close: bool) -> Reply:
    """Closes a server to newcomers, or opens it, whichever of its switches it was that kept it closed."""
    log.info("admin %s %s server %s", visit.person.telegram_id, "closes" if close else "opens", server.name)
    moving.drain(server.name, on=close)
    if not close:
        if not server.enabled:
            servers.switch(server.name, enabled=True)
        access.seat_waiting()
    return _server(visit, provisioning.find(server.id))


def _user_asked(visit: Visit) -> Reply:
    """/user, with a Telegram id or a name."""
    if not visit.said:
        return Reply(office_screens.note(visit.words.office.how_user))
    return _user(visit, visit.said[0])


def _user(visit: Visit, whom: str, *, said: str = "") -> Reply:
    user, *namesakes = _known(whom) or [None]
    if user is None:
        return Reply(office_screens.note(visit.words.office.unknown_user))
    about = stats.about(user)
    return Reply(office_screens.person(visit.words, about, clock.now(), said=said, namesakes=namesakes))


def _known(whom: str) -> list[User]:
    """Who is meant by an id, or by a name: then everybody who has had it, the newest first."""
    if _TELEGRAM_ID.fullmatch(whom):
        try:
            return [users.find(int(whom))]
        except NotFound:
            return []
    return users.named(whom) if _USERNAME.fullmatch(whom) else []


def _grant_asked(visit: Visit) -> Reply:
    """/grant, with whom and how many days."""
    match visit.said:
        case [whom, days]:
            return _ask_grant(visit, whom, days)
        case _:
            return Reply(office_screens.note(visit.words.office.how_grant))


def _ask_grant(visit: Visit, whom: str, days: str) -> Reply:
    """The question before a present. Its button carries the name of this very visit: that is how it counts once."""
    office, most = visit.words.office, subscriptions.LONGEST.days
    user = next(iter(_known(whom)), None)
    if user is None and not _TELEGRAM_ID.fullmatch(whom):
        return Reply(office_screens.note(office.unknown_user))
    if not _DAYS.fullmatch(days):
        return Reply(office_screens.note(office.how_grant))
    if not 1 <= int(days) <= most:
        return Reply(office_screens.note(office.days_out_of_range.format(most=most)))
    telegram_id = user.telegram_id if user else int(whom)
    return Reply(office_screens.ask_grant(visit.words, telegram_id, user, int(days), visit.event))


def _give(visit: Visit, telegram_id: int, days: int, event: str) -> Reply:
    admin = visit.person.telegram_id
    with ledger.acting(f"admin {admin}"):
        changed = subscriptions.grant(telegram_id, days, once=f"telegram {admin} {event}")
    access.converge_all(changed.servers)
    return _user(visit, str(telegram_id), said=visit.words.office.granted.format(days=visit.words.office.days(days)))
