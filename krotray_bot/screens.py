"""What a message looks like in each situation. Pure: from words and what the core knows to text and buttons."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from html import escape
from urllib.parse import urlsplit

from telebot.types import CopyTextButton, InlineKeyboardButton, WebAppInfo

from krotray_bot.talk import Screen
from krotray_bot.words import Words
from krotray_core import money, plans
from krotray_core.cabinet import Cabinet
from krotray_core.models import Payment, Plan

LONGEST_COPY = 256  # characters in a copy button
MOST_AT_ONCE = 4  # tariffs whose ways to pay fit on one screen

Row = list[InlineKeyboardButton]


def home(words: Words, *, name: str, mini_app_url: str, seen: Cabinet | None, now: datetime) -> Screen:
    """The greeting and the main menu, with one line about a running subscription."""
    text = words.greeting.format(name=escape(name))
    if seen and seen.state == "active":
        text += "\n\n" + _works(words, seen, now)
    return Screen(text, menu(words, mini_app_url))


def not_understood(words: Words, mini_app_url: str, *, email_tried: bool = False) -> Screen:
    """An answer to anything that is neither a command nor a button; `email_tried` when there is an address somewhere in it."""
    text = f"{words.email_hint}\n\n{words.not_understood}" if email_tried else words.not_understood
    return Screen(text, menu(words, mini_app_url))


def menu(words: Words, mini_app_url: str) -> list[Row]:
    """The main menu's buttons."""
    rows = [_cabinet(words, mini_app_url), [_press(words.buy, "buy")]]
    return [*filter(None, rows), [_press(words.my_key, "key"), _press(words.help, "help")]]


def terms(sold: Plan | Payment) -> str:
    """What somebody saw of a tariff, for the button under it: at another price or length it is not what they chose."""
    return f"{sold.months}-{sold.days}-{sold.amount_kopecks}"


def tariffs(words: Words, on_sale: Sequence[Plan], *, changed: bool = False) -> Screen:
    """What is on sale; `changed` when it is not what the person pressed on."""
    rows = [[_press(_plan_label(words, plan, on_sale), f"plan:{plan.code}:{terms(plan)}")] for plan in on_sale]
    text = words.choose_plan
    if not on_sale:
        rows, text = [[_press(words.my_key, "key")]], words.nothing_on_sale
    return Screen(f"{words.plans_changed}\n\n{text}" if changed else text, [*rows, [_press(words.menu, "home")]])


def methods(words: Words, plan: Plan) -> Screen:
    """How to pay for a tariff."""
    text = words.choose_method.format(months=words.months(plan.months), price=money.to_rubles(plan.amount_kopecks))
    rows = [[_press(words.methods[method], f"pay:{plan.code}:{terms(plan)}:{method}")] for method in plans.METHODS]
    return Screen(text, [*rows, [_press(words.back, "buy")]])


def to_pay(words: Words, payment: Payment) -> Screen:
    """The payment's own message: where to pay, and how to see that it counted."""
    price = money.to_rubles(payment.amount_kopecks)
    text = words.to_pay.format(months=words.months(payment.months), price=price, method=words.methods[payment.method])
    receipt = payment.request.get("receipt")
    if receipt:
        text += words.receipt_goes_to.format(email=escape(receipt["customer"]["email"]))
    return Screen(text, [*_paying(words, payment), [_press(words.back, "buy")]])


def ask_email(words: Words, consent: str | None) -> Screen:
    """Before the first payment: where the receipt goes. `consent` is what the owner wants to be read beside it."""
    text = f"{words.ask_email}\n\n{escape(consent)}" if consent else words.ask_email
    return Screen(text, [[_press(words.back, "buy")]])


def email_wrong(words: Words) -> Screen:
    """That was to be an e-mail address, and is none."""
    return Screen(words.email_wrong, [[_press(words.menu, "home")]])


def email_kept(words: Words, email: str, on_sale: Sequence[Plan]) -> Screen:
    """The address is kept: everything that can be bought is one press away, for we do not remember what they had chosen."""
    kept = words.email_kept.format(email=escape(email))
    if not 1 <= len(on_sale) <= MOST_AT_ONCE:
        below = tariffs(words, on_sale)
        return Screen(f"{kept}\n\n{below.text}", below.rows)
    rows = [
        [_press(f"{_plan(words, plan)} · {words.methods[method]}", f"pay:{plan.code}:{terms(plan)}:{method}")]
        for plan in on_sale
        for method in plans.METHODS
    ]
    return Screen(f"{kept}\n\n{words.choose_both}", [*rows, [_press(words.menu, "home")]])


def too_many_open(words: Words, payable: Payment | None) -> Screen:
    """No new payment before one of the open ones is paid or has run out; `payable` is the latest of them."""
    return Screen(words.too_many_open, [*(_paying(words, payable) if payable else []), [_press(words.menu, "home")]])


def checked(words: Words, payment: Payment, seen: Cabinet, now: datetime) -> Screen:
    """How a payment ended."""
    if payment.flagged_at is not None:
        return Screen(words.flagged, [[_press(words.my_key, "key")], [_press(words.menu, "home")]])
    back = money.to_rubles(payment.refunded_kopecks)
    if payment.status == "succeeded":
        below = key(words, seen, now)
        said = words.paid + (words.part_returned.format(price=back) if payment.refunded_kopecks else "")
        return Screen(said + below.text, below.rows)
    elsewhere = [[_press(words.buy, "buy")], [_press(words.menu, "home")]]
    if payment.status == "refunded":
        return Screen(words.refunded.format(price=back), elsewhere)
    # One press tries again, by the same way first; at another price by now, it shows the tariffs instead.
    ways = sorted(plans.METHODS, key=lambda method: method != payment.method)
    again = [[_press(words.pay_by[method], f"pay:{payment.plan_code}:{terms(payment)}:{method}")] for method in ways]
    return Screen(words.reasons.get(payment.cancel_reason or "", words.canceled), [*again, *elsewhere])


def key(words: Words, seen: Cabinet, now: datetime, payable: Payment | None = None) -> Screen:
    """My key, in whatever state the subscription is; `payable` is the payment that is waited for."""
    back = [_press(words.menu, "home")]
    match seen.state:
        case "active":
            more = [_press(words.renew, "buy"), _press(words.help, "help")]
            return Screen(_key_text(words, seen, now), [*_copy(words, seen), more, back])
        case "provisioning":
            return Screen(words.preparing, [[_press(words.refresh, "key")], back])
        case "payment_pending":
            paying = _paying(words, payable) if payable else [[_press(words.refresh, "key")]]
            return Screen(words.awaiting_payment, [*paying, [_press(words.buy, "buy")], back])
        case "expired":
            ended = words.date(seen.expires_at, now) if seen.expires_at else ""
            return Screen(words.expired.format(date=ended), [[_press(words.renew, "buy")], back])
        case _:
            return Screen(words.no_key, [[_press(words.buy, "buy")], back])


def help_page(words: Words) -> Screen:
    """How to connect."""
    return Screen(words.help_text, [[_press(words.my_key, "key")], [_press(words.menu, "home")]])


def fault(words: Words, text: str, again: str) -> Screen:
    """Something went wrong: what, and a button that does the same once more."""
    return Screen(text, [[_press(words.again, again)], [_press(words.menu, "home")]])


def _key_text(words: Words, seen: Cabinet, now: datetime) -> str:
    parts = [_works(words, seen, now)]
    for title, value in ((words.link_title, seen.subscription_url), (words.key_title, seen.vless_url)):
        if value:
            parts.append(f"{title}\n<code>{escape(value)}</code>")
    return "\n\n".join([*parts, words.how_to_copy])


def _works(words: Words, seen: Cabinet, now: datetime) -> str:
    until = words.date(seen.expires_at, now) if seen.expires_at else ""
    return words.works.format(date=until, days_left=words.days_left(seen.days_left))


def _copy(words: Words, seen: Cabinet) -> list[Row]:
    link = seen.subscription_url
    if not link or len(link) > LONGEST_COPY:  # Telegram would refuse the whole message; a tap on the line copies too
        return []
    return [[InlineKeyboardButton(words.copy_link, copy_text=CopyTextButton(link))]]


def _paying(words: Words, payment: Payment) -> list[Row]:
    check = [_press(words.check, f"check:{payment.id}")]
    if not payment.confirmation_url:
        return [check]
    label = words.pay.format(price=money.to_rubles(payment.amount_kopecks))
    return [[InlineKeyboardButton(label, url=payment.confirmation_url)], check]


def _cabinet(words: Words, mini_app_url: str) -> Row:
    """The way into the Mini App. Telegram opens only https as one; on a developer's machine it is a plain link.

    A host without a point (localhost) would make Telegram refuse the whole message, so there it is left out.
    """
    parts = urlsplit(mini_app_url)
    if parts.scheme == "https":
        return [InlineKeyboardButton(words.open_cabinet, web_app=WebAppInfo(mini_app_url))]
    return [InlineKeyboardButton(words.open_cabinet, url=mini_app_url)] if "." in (parts.hostname or "") else []


def _plan_label(words: Words, plan: Plan, on_sale: Sequence[Plan]) -> str:
    label = _plan(words, plan)
    shortest = min(on_sale, key=lambda other: other.months)
    saved = shortest.amount_kopecks * plan.months // shortest.months - plan.amount_kopecks
    return label + (words.saving.format(price=money.to_rubles(saved)) if saved > 0 else "")


def _plan(words: Words, plan: Plan) -> str:
    return words.plan.format(months=words.months(plan.months), price=money.to_rubles(plan.amount_kopecks))


def _press(label: str, data: str) -> InlineKeyboardButton:
    return InlineKeyboardButton(label, callback_data=data)
