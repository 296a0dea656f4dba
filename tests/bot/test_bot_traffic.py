"""How much has been used, in one line beside the key, and only where it is known. Pure."""

from __future__ import annotations

import pytest

from krotray_bot import key_screens, words
from krotray_core import speech
from krotray_core.models import Traffic
from tests.bot.test_bot_screens import NOW, cabinet

SIZES = {
    0: "0",
    49_999: "0",
    50_000: "0.1",
    1_000_000: "1",
    12_340_000: "12.3",
    999_900_000: "999.9",
    999_949_999: "999.9",
}


@pytest.mark.parametrize(("count", "said"), SIZES.items())
def test_sizes_are_those_that_people_feel(count: int, said: str) -> None:
    assert speech.volume_en(count) == f"{said} MB"
    assert speech.volume_ru(count) == f"{said} МБ".replace(".", ",")
    assert speech.volume_en(count * 1000).partition(" ")[2] in ("MB", "GB")


@pytest.mark.parametrize(
    ("count", "said"),
    [
        (999_950_000, "1 GB"),
        (12_400_000_000, "12.4 GB"),
        (999_960_000_000, "1 TB"),
        (2**53 - 1, "9007.2 TB"),
        (5 * 10**15, "5000 TB"),
    ],
)
def test_a_thousand_is_one_of_the_next(count: int, said: str) -> None:
    assert speech.volume_en(count) == said


@pytest.mark.parametrize("language", [words.RU, words.EN], ids=["ru", "en"])
def test_the_key_says_it_where_it_is_known(language: words.Words) -> None:
    seen = cabinet("active")
    line = language.used.format(volume=language.volume(12_400_000_000))
    assert line not in key_screens.key(language, seen, NOW).text
    object.__setattr__(seen, "traffic", Traffic(subscription_id=1, used_bytes=12_400_000_000, since=NOW))
    screen = key_screens.key(language, seen, NOW)
    assert line in screen.text
    assert line in (screen.caption or "")
