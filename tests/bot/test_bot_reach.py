"""Who blocks the bot, and who comes back."""

from __future__ import annotations

import pytest

from sandbox.process import wait_until
from tests.bot_kit import BotWorld, Person


@pytest.fixture
def person(talking: BotWorld) -> Person:
    """Somebody whom the bot knows."""
    made = talking.somebody()
    made.write("/start")
    made.hears("Здравствуйте")
    return made


def until_reachable(world: BotWorld, person: Person, reachable: bool) -> None:
    """Waits for it to be noted."""
    statement = "SELECT unreachable_since IS NULL FROM users WHERE telegram_id = %s"
    what = "to be reachable" if reachable else "to be out of reach"
    wait_until(lambda: world.ask(statement, person.id) == [(reachable,)], seconds=10, what=what)


def test_telegram_tells_who_blocks_the_bot_and_who_takes_it_back(talking: BotWorld, person: Person) -> None:
    person.block()
    until_reachable(talking, person, False)
    person.block(False)
    until_reachable(talking, person, True)


@pytest.mark.parametrize("said", ["/help", "просто так", "/start"])
def test_any_message_brings_them_back(talking: BotWorld, person: Person, said: str) -> None:
    talking.change("UPDATE users SET unreachable_since = now() WHERE telegram_id = %s", person.id)
    person.write(said)
    until_reachable(talking, person, True)


@pytest.mark.parametrize("method", ["sendMessage", "editMessageText"])
def test_a_refusal_is_news_too(talking: BotWorld, person: Person, method: str) -> None:
    talking.trouble(method, error_code=403, description="Forbidden: bot was blocked by the user")
    if method == "sendMessage":
        person.write("/help")
    else:
        person.press("Помощь")
    until_reachable(talking, person, False)


def test_without_a_database_it_is_noted_when_there_is_one_again(talking: BotWorld, person: Person) -> None:
    talking.polling_bot(DATABASE_URL="postgresql://nobody@127.0.0.1:9/none")
    person.block()
    wait_until(lambda: "OperationalError" in talking.bot.log.read_text(), seconds=10, what="a try without a database")
    talking.polling_bot()
    until_reachable(talking, person, False)
