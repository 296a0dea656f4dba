"""What the bot can say, in any language. Texts are Telegram's HTML; `{...}` is filled in, already escaped."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from krotray_bot.words.office import OfficeWords


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """One language."""

    days_left: Callable[[int], str]
    months: Callable[[int], str]
    date: Callable[[datetime, datetime], str]
    volume: Callable[[int], str]
    commands: tuple[str, ...]
    menu_button: str

    # Buttons.
    open_cabinet: str
    buy: str
    renew: str
    my_key: str
    help: str
    connect: str
    invite: str
    menu: str
    back: str
    pay: str
    check: str
    refresh: str
    copy_link: str
    new_key: str
    rotate: str
    keep_key: str
    get_app: str
    add_to_app: str
    other_device: str
    share: str
    ask: str
    again: str
    pay_by: dict[str, str]
    methods: dict[str, str]

    # Screens.
    greeting: str
    not_understood: str
    choose_plan: str
    nothing_on_sale: str
    plans_changed: str
    plan: str
    saving: str
    choose_method: str
    to_pay: str
    making_bill: str
    paid: str
    part_returned: str
    preparing: str
    works: str
    used: str
    how_to_copy: str
    key_below: str
    one_press: str
    link_title: str
    key_title: str
    no_key: str
    awaiting_payment: str
    expired: str
    help_text: str
    ask_rotate: str
    rotated: str
    rotated_lately: str
    nothing_to_rotate: str

    # How to connect, by the platform's id.
    platforms: dict[str, str]
    choose_device: str
    steps: str
    steps_by_hand: str
    on_that_device: str
    key_first: str

    # Invitations.
    invitation: str
    people_came: Callable[[int], str]
    nobody_came: str
    share_text: str
    no_invitation: str

    # The tax receipt's address.
    ask_email: str
    email_kept: str
    choose_both: str
    email_wrong: str
    email_hint: str
    receipt_goes_to: str

    # How a payment stands.
    checking: str
    reasons: dict[str, str]
    canceled: str
    refunded: str
    flagged: str
    too_many_open: str

    # Faults: what happened to the money, and what to do.
    gateway_away: str
    gateway_refused: str
    away_buying: str
    away: str
    no_payment: str
    broken: str
    too_fast: str
    muted: str
    muted_long: str

    office: OfficeWords
