"""What a message looks like on the way from hello to paid. Pure: from words and what the core knows to text and buttons."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from html import escape

from krotray_bot import buttons, key_screens, measure
from krotray_bot.buttons import Row, press
from krotray_bot.talk import Screen
from krotray_bot.words import Words
from krotray_core import money, plans
from krotray_core.cabinet import Cabinet
from krotray_core.models import Payment, Plan

LONGEST_CONSENT = 1900  # characters, each of which Telegram may count as two
MOST_AT_ONCE = 4  # tariffs whose ways to pay fit on one screen


def home(words: Words, *, name: str, mini_app_url: str, seen: Cabinet | None, now: datetime) -> Screen:
    """The greeting and the main menu, with one line about a running subscription."""
    called = measure.shown(name)
    text = words.greeting.format(name=f", {called}" if called else "")
    if seen and seen.state == "active":
        text += "\n\n" + key_screens.works(words, seen, now)
    return Screen(text, menu(words, mini_app_url))


def not_understood(words: Words, mini_app_url: str, *, email_tried: bool = False) -> Screen:
    """An answer to anything that is neither a command nor a button; `email_tried` when there is an address somewhere in it."""
    text = f"{words.email_hint}\n\n{words.not_understood}" if email_tried else words.not_understood
    return Screen(text, menu(words, mini_app_url))


def menu(words: Words, mini_app_url: str) -> list[Row]:
    """The main menu's buttons."""
    return buttons.rows(
        buttons.cabinet(words, mini_app_url),
        [press(words.buy, "go:buy")],
        [press(words.my_key, "go:key"), press(words.connect, "go:connect")],
        [press(words.invite, "go:invite"), press(words.help, "go:help")],
    )


def terms(sold: Plan | Payment) -> str:
    """What somebody saw of a tariff, for the button under it: at another price or length it is not what they chose."""
    return f"{sold.months}-{sold.days}-{sold.amount_kopecks}"


def tariffs(words: Words, on_sale: Sequence[Plan], *, changed: bool = False) -> Screen:
    """What is on sale; `changed` when it is not what the person pressed on."""
    rows = [[press(_plan_label(words, plan, on_sale), f"plan:{plan.code}:{terms(plan)}")] for plan in on_sale]
    text = words.choose_plan
    if not on_sale:
        rows, text = [[press(words.my_key, "go:key")]], words.nothing_on_sale
    return Screen(f"{words.plans_changed}\n\n{text}" if changed else text, [*rows, buttons.home(words)])


def methods(words: Words, plan: Plan) -> Screen:
    """How to pay for a tariff."""
    text = words.choose_method.format(months=words.months(plan.months), price=money.to_rubles(plan.amount_kopecks))
    rows = [[press(words.methods[method], f"pay:{plan.code}:{terms(plan)}:{method}")] for method in plans.METHODS]
    return Screen(text, [*rows, [press(words.back, "go:buy")]])


def to_pay(words: Words, payment: Payment) -> Screen:
    """The payment's own message: where to pay, and how to see that it counted."""
    price = money.to_rubles(payment.amount_kopecks)
    text = words.to_pay.format(months=words.months(payment.months), price=price, method=words.methods[payment.method])
    receipt = payment.request.get("receipt")
    if receipt:
        text += words.receipt_goes_to.format(email=escape(receipt["customer"]["email"]))
    return Screen(text, [*buttons.paying(words, payment), [press(words.back, "go:buy")]])


def making_bill(words: Words, again: str) -> Screen:
    """The payment is being made, and this message will show it; `again` is what was pressed."""
    return Screen(words.making_bill, [[press(words.again, again)], [press(words.back, "go:buy")]])


def too_fast(words: Words) -> Screen:
    """More than anybody can read."""
    return Screen(words.too_fast, [buttons.home(words)])


def ask_email(words: Words, consent: str | None) -> Screen:
    """Before the first payment: where the receipt goes. `consent` is what the owner wants to be read beside it."""
    if consent and len(consent) > LONGEST_CONSENT:
        consent = measure.cut(consent, LONGEST_CONSENT)
    text = f"{words.ask_email}\n\n{escape(consent)}" if consent else words.ask_email
    return Screen(text, [[press(words.back, "go:buy")]])


def email_wrong(words: Words) -> Screen:
    """That was to be an e-mail address, and is none."""
    return Screen(words.email_wrong, [buttons.home(words)])


def email_kept(words: Words, email: str, on_sale: Sequence[Plan]) -> Screen:
    """The address is kept: everything that can be bought is one press away, for we do not remember what they had chosen."""
    kept = words.email_kept.format(email=escape(email))
    if not 1 <= len(on_sale) <= MOST_AT_ONCE:
        below = tariffs(words, on_sale)
        return Screen(f"{kept}\n\n{below.text}", below.rows)
    rows = [
        [press(f"{_plan(words, plan)} · {words.methods[method]}", f"pay:{plan.code}:{terms(plan)}:{method}")]
        for plan in on_sale
        for method in plans.METHODS
    ]
    return Screen(f"{kept}\n\n{words.choose_both}", [*rows, buttons.home(words)])


def too_many_open(words: Words, payable: Payment | None) -> Screen:
    """No new payment before one of the open ones is paid or has run out; `payable` is the latest of them."""
    return Screen(words.too_many_open, [*(buttons.paying(words, payable) if payable else []), buttons.home(words)])


def checked(words: Words, payment: Payment, seen: Cabinet, now: datetime) -> Screen:
    """How a payment ended."""
    if payment.flagged_at is not None:
        return Screen(words.flagged, [[press(words.my_key, "go:key")], buttons.home(words)])
    back = money.to_rubles(payment.refunded_kopecks)
    if payment.status == "succeeded":
        said = words.paid + (words.part_returned.format(price=back) if payment.refunded_kopecks else "")
        return key_screens.key(words, seen, now, said=said)
    elsewhere = [[press(words.buy, "go:buy")], buttons.home(words)]
    if payment.status == "refunded":
        return Screen(words.refunded.format(price=back), elsewhere)
    # One press tries again, by the same way first; at another price by now, it shows the tariffs instead.
    ways = sorted(plans.METHODS, key=lambda method: method != payment.method)
    again = [[press(words.pay_by[method], f"pay:{payment.plan_code}:{terms(payment)}:{method}")] for method in ways]
    return Screen(words.reasons.get(payment.cancel_reason or "", words.canceled), [*again, *elsewhere])


def help_page(words: Words, support_url: str | None = None) -> Screen:
    """What to do when something does not work, and where to ask."""
    ways = [press(words.my_key, "go:key"), press(words.connect, "go:connect")]
    return Screen(words.help_text, buttons.rows(ways, buttons.link(words.ask, support_url), buttons.home(words)))


def fault(words: Words, text: str, again: str) -> Screen:
    """Something went wrong: what, and a button that does the same once more."""
    return Screen(text, [[press(words.again, again)], buttons.home(words)])


def _plan_label(words: Words, plan: Plan, on_sale: Sequence[Plan]) -> str:
    label = _plan(words, plan)
    shortest = min(on_sale, key=lambda other: other.months)
    saved = shortest.amount_kopecks * plan.months // shortest.months - plan.amount_kopecks
    return label + (words.saving.format(price=money.to_rubles(saved)) if saved > 0 else "")


def _plan(words: Words, plan: Plan) -> str:
    return words.plan.format(months=words.months(plan.months), price=money.to_rubles(plan.amount_kopecks))
