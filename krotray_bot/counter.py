"""How every message and every press is served: one answer each, in words also where something went wrong."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from telebot.types import CallbackQuery, Message

from krotray_bot import screens
from krotray_bot import words as languages
from krotray_bot.apologies import apology
from krotray_bot.pace import Pace, Turn
from krotray_bot.talk import Fate, Talk, Told
from krotray_bot.visit import Reply, Visit

# Buttons of notices: those messages are not screens, and stay. (`help` is where earlier ones said "How to connect".)
FROM_NOTICES = frozenset({"buy", "key", "connect", "help", "home"})
MOST_REMEMBERED = 500

Action = Callable[[Visit], Reply]


class Counter:
    """Takes visits and gives out replies. Everything here may run twice for the same update."""

    def __init__(self, talk: Talk, pace: Pace | None) -> None:
        """`pace` limits what one person may ask; None where they are trusted."""
        self._talk, self._pace = talk, pace
        # Presses whose message is away: the second one of two quick taps finds nothing to turn over. Lost at a restart,
        # when the worst is a screen shown twice.
        self._done: OrderedDict[tuple[int, int, str], None] = OrderedDict()

    def hear(self, message: Message, action: Action, *, again: str) -> Visit | None:
        """Answers a message; `again` is what the button does that is offered when that fails. None for one message too many."""
        visit = Visit.of_message(message)
        turn = self._turn(visit.chat_id)
        if turn is not Turn.SERVE:
            if turn is Turn.TELL:
                self._talk.send(visit.chat_id, screens.too_fast(visit.words))
            return None
        visit.note()
        reply = self._guarded(visit, action, again=again)
        if reply.screen:
            self._talk.send(visit.chat_id, reply.screen)
        return visit

    def press(self, call: CallbackQuery, react: Callable[[Visit, str], Reply]) -> None:
        """A button was pressed: it always gets its answer, or it would go on turning in the person's hand."""
        turn = self._turn(call.from_user.id)
        if turn is not Turn.SERVE:
            if turn is Turn.TELL:
                self._talk.answer(call.id, languages.of(call.from_user.language_code).too_fast)
            return  # the others of the same moment stay without an answer: each would cost a call to Telegram
        if call.message is None or call.message.chat.type != "private":
            self._talk.answer(call.id)
            return
        visit, data = Visit.of_press(call), call.data or ""
        pressed = (visit.chat_id, call.message.message_id, data)
        if pressed in self._done:
            self._talk.answer(call.id, chat_id=visit.chat_id)
            return
        again = f"go:{data}" if data in FROM_NOTICES else data or "go:home"
        reply = self._guarded(visit, lambda who: react(who, data), again=again)
        told = self._turn_over(call, data, reply)
        if told and told.away:
            self._done[pressed] = None
            if len(self._done) > MOST_REMEMBERED:
                self._done.popitem(last=False)
        # Last of all: whether that comes in time changes nothing, and only now it is known what there is to say.
        self._talk.answer(call.id, reply.toast or _silence(visit, told), chat_id=visit.chat_id)

    def _turn_over(self, call: CallbackQuery, data: str, reply: Reply) -> Told | None:
        """Shows what a press leads to: in the message under whose button it was, unless that is a notice."""
        if reply.screen is None:
            return None
        chat_id, message_id = call.message.chat.id, call.message.message_id
        if data in FROM_NOTICES:
            return self._talk.send(chat_id, reply.screen)
        if reply.screen.qr is not None or getattr(call.message, "photo", None):
            return self._talk.replace(chat_id, message_id, reply.screen)
        told = self._talk.show(chat_id, message_id, reply.screen)
        if reply.shown and told.message_id is not None:
            reply.shown(told.message_id)
        return told

    def _turn(self, person_id: int) -> Turn:
        return self._pace.turn(person_id) if self._pace else Turn.SERVE

    def _guarded(self, visit: Visit, action: Action, *, again: str) -> Reply:
        """The action's reply; instead of an exception one that says what happened to the money and what to do."""
        try:
            return action(visit)
        except Exception as error:
            text = apology(error, visit.words, buying=again.startswith("pay:"))
            if again.startswith("check:"):  # a new face would take away the button to pay with
                return Reply(toast=text)
            return Reply(screens.fault(visit.words, text, again))


def _silence(visit: Visit, told: Told | None) -> str | None:
    """What to say over a button whose answer cannot be seen yet."""
    match told and told.fate:
        case Fate.OWED:
            return visit.words.muted
        case Fate.DROPPED:
            return visit.words.muted_long
        case _:
            return None
