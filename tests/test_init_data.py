"""initData that Telegram itself has signed: the vector that init-data-golang publishes, with its `signature` inside the check."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from pydantic import SecretStr

from krotray_core import clock, settings, telegram
from krotray_core.errors import InitDataExpired, InitDataInvalid, InitDataMissing
from sandbox.world import World

# https://github.com/Telegram-Mini-Apps/init-data-golang: the token is published with it and opens nothing.
TOKEN = "7342037359:AAHI25ES9xCOMPokpYoz-p8XVrZUdygo2J4"
SIGNED_AT = datetime.fromtimestamp(1733509682, UTC)
GENUINE = (
    "user=%7B%22id%22%3A279058397%2C%22first_name%22%3A%22Vladislav%20%2B%20-%20%3F%20%5C%2F%22%2C%22last_name%22%3A"
    "%22Kibenko%22%2C%22username%22%3A%22vdkfrost%22%2C%22language_code%22%3A%22ru%22%2C%22is_premium%22%3Atrue%2C"
    "%22allows_write_to_pm%22%3Atrue%2C%22photo_url%22%3A%22https%3A%5C%2F%5C%2Ft.me%5C%2Fi%5C%2Fuserpic%5C%2F320%5C%2F"
    "4FPEE4tmP3ATHa57u6MqTDih13LTOiMoKoLDRG4PnSA.svg%22%7D&chat_instance=8134722200314281151&chat_type=private"
    "&auth_date=1733509682&signature=TYJxVcisqbWjtodPepiJ6ghziUL94-KNpG8Pau-X7oNNLNBM72APCpi_RKiUlBvcqo5L-LAxIc3dnTzcZX_PDg"
    "&hash=a433d8f9847bd6addcc563bff7cc82c89e97ea0d90c11fe5729cae6796a36d73"
)


@pytest.fixture(autouse=True)
def then(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """That bot's settings, a minute after it was signed."""
    assert world
    theirs = settings.get().model_copy(update={"bot_token": SecretStr(TOKEN)})
    monkeypatch.setattr(settings, "get", lambda: theirs)
    monkeypatch.setattr(clock, "now", lambda: SIGNED_AT + timedelta(minutes=1))


def test_what_telegram_signed_is_believed() -> None:
    person = telegram.verify(GENUINE)
    assert (person.telegram_id, person.username, person.language_code) == (279058397, "vdkfrost", "ru")
    assert person.first_name == "Vladislav + - ? /"


@pytest.mark.parametrize(
    "forged",
    [
        GENUINE.replace("signature=", "altered="),
        GENUINE.replace("signature=T", "signature=U"),
        GENUINE.replace("279058397", "279058398"),
        GENUINE.replace("auth_date=1733509682", "auth_date=1733509683"),
        GENUINE.partition("&hash=")[0],
        GENUINE + "&hash=" + "0" * 64,
        GENUINE + "&start_param=x",
    ],
)
def test_anything_else_is_not(forged: str) -> None:
    with pytest.raises(InitDataInvalid) as caught:
        telegram.verify(forged)
    assert "hash" not in str(caught.value)


def test_it_lasts_a_day(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "now", lambda: SIGNED_AT + timedelta(hours=23, minutes=59))
    assert telegram.verify(GENUINE)
    monkeypatch.setattr(clock, "now", lambda: SIGNED_AT + timedelta(hours=24, minutes=1))
    with pytest.raises(InitDataExpired):
        telegram.verify(GENUINE)


@pytest.mark.parametrize("nothing", [None, ""])
def test_without_any_it_says_so(nothing: str | None) -> None:
    with pytest.raises(InitDataMissing):
        telegram.verify(nothing)
