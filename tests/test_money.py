"""Kopecks and their text: there and back without loss, and nothing but the one form is taken for money."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from krotray_core import money, plans

LARGEST = 999_999_999_999_99

MALFORMED = {
    "nothing": "",
    "only a point": ".",
    "no kopecks": "100",
    "no kopecks after the point": "100.",
    "one decimal": "100.0",
    "three decimals": "100.000",
    "no rubles": ".50",
    "a comma": "100,00",
    "thousands with a comma": "1,000.00",
    "thousands with an underscore": "1_000.00",
    "thousands with a space": "1 000.00",
    "thousands with a no-break space": "1\u00a0000.00",
    "two points": "1.000.00",
    "a leading zero": "0100.00",
    "two zeros": "00.00",
    "minus": "-1.00",
    "minus nothing": "-0.00",
    "plus": "+1.00",
    "an exponent": "1e2",
    "an exponent after the decimals": "1.00e2",
    "hexadecimal": "0x1.00",
    "NaN": "NaN",
    "infinity": "Infinity",
    "a space before": " 1.00",
    "a space after": "1.00 ",
    "a line end after": "1.00\n",
    "NUL after": "1.00\x00",
    "a currency": "1.00 RUB",
    "a sign of the ruble": "1.00₽",
    "Arabic digits": "١٠٠.٠٠",
    "Devanagari decimals": "100.०००"[:-1],
    "full-width digits": "１００.００",
    "a full-width point": "100．00",
    "a superscript": "100.0²",
    "more rubles than there are": "1234567890123.00",
}


@given(st.integers(min_value=0, max_value=LARGEST))
def test_there_and_back(kopecks: int) -> None:
    text = money.to_text(kopecks)
    assert money.from_text(text) == kopecks
    assert text.isascii()


@given(st.integers(min_value=0, max_value=LARGEST), st.integers(min_value=0, max_value=LARGEST))
def test_different_amounts_never_look_the_same(one: int, other: int) -> None:
    assert (money.to_text(one) == money.to_text(other)) == (one == other)


@given(st.text(alphabet="0123456789.,-+eE _nNaA٣", max_size=16) | st.text(max_size=16))
def test_whatever_is_taken_for_money_is_written_exactly_so(text: str) -> None:
    try:
        kopecks = money.from_text(text)
    except ValueError:
        return
    assert money.to_text(kopecks) == text


@pytest.mark.parametrize("text", MALFORMED.values(), ids=MALFORMED)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not an amount"):
        money.from_text(text)


def test_the_refusal_does_not_repeat_what_came() -> None:
    with pytest.raises(ValueError, match="not an amount") as caught:
        money.from_text("4111111111111111")
    assert "4111" not in str(caught.value)


@given(st.integers(max_value=-1))
def test_nothing_is_sold_for_less_than_nothing(kopecks: int) -> None:
    with pytest.raises(ValueError, match="negative"):
        money.to_text(kopecks)


@pytest.mark.parametrize(
    ("kopecks", "text", "shown"),
    [
        (0, "0.00", "0 ₽"),
        (1, "0.01", "0,01 ₽"),
        (10, "0.10", "0,10 ₽"),
        (99, "0.99", "0,99 ₽"),
        (100, "1.00", "1 ₽"),
        (19_950, "199.50", "199,50 ₽"),
        (25_000, "250.00", "250 ₽"),
        (1_000_000_05, "1000000.05", "1000000,05 ₽"),
    ],
)
def test_as_the_wire_and_as_a_person_read_it(kopecks: int, text: str, shown: str) -> None:
    assert money.to_text(kopecks) == text
    assert money.from_text(text) == kopecks
    assert money.to_rubles(kopecks) == shown


@given(st.integers(min_value=0, max_value=LARGEST))
def test_a_price_for_people_says_the_same_as_the_wire(kopecks: int) -> None:
    shown = money.to_rubles(kopecks)
    assert shown.endswith(" ₽")
    whole, _, rest = shown.removesuffix(" ₽").partition(",")
    assert int(whole) * 100 + int(rest or 0) == kopecks


def test_every_price_that_a_tariff_may_have_can_be_sent() -> None:
    for kopecks in (plans.CHEAPEST, plans.DEAREST):
        assert money.from_text(money.to_text(kopecks)) == kopecks
