"""Everything that the bot says, in Russian and in English. Texts are Telegram's HTML; `{...}` is filled in, already escaped."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from krotray_bot import reasons
from krotray_core import speech

COMMANDS = ("start", "buy", "key", "help")
DEFAULT_LANGUAGE = "en"  # what Telegram shows to everybody whose language is not named below


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """One language."""

    days_left: Callable[[int], str]
    months: Callable[[int], str]
    date: Callable[[datetime, datetime], str]
    commands: tuple[str, ...]
    menu_button: str

    # Buttons.
    open_cabinet: str
    buy: str
    renew: str
    my_key: str
    help: str
    menu: str
    back: str
    pay: str
    check: str
    refresh: str
    copy_link: str
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
    paid: str
    part_returned: str
    preparing: str
    works: str
    how_to_copy: str
    link_title: str
    key_title: str
    no_key: str
    awaiting_payment: str
    expired: str
    help_text: str

    # The tax receipt's address.
    ask_email: str
    email_kept: str
    choose_both: str
    email_wrong: str
    email_hint: str
    receipt_goes_to: str

    # How a payment stands.
    not_seen_yet: str
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


RU = Words(
    days_left=speech.days_left_ru,
    months=speech.months_ru,
    date=speech.date_ru,
    commands=("Главное меню", "Купить или продлить", "Мой ключ", "Как подключиться"),
    menu_button="Кабинет",
    open_cabinet="Открыть кабинет",
    buy="Купить или продлить",
    renew="Продлить",
    my_key="Мой ключ",
    help="Помощь",
    menu="‹ Меню",
    back="‹ Назад",
    pay="Оплатить {price}",
    check="Проверить оплату",
    refresh="Обновить",
    copy_link="Скопировать ссылку",
    again="Попробовать ещё раз",
    pay_by={"sbp": "Оплатить через СБП", "card": "Оплатить картой"},
    methods={"sbp": "СБП", "card": "Банковская карта"},
    greeting="Здравствуйте, {name}. Это <b>KrotRay</b> — крот, который роет вам тоннель к свободному интернету.",
    not_understood="Я понимаю кнопки и команды. Выберите, что нужно:",
    choose_plan="На сколько подключить? Если подписка уже идёт, дни добавятся к ней, а ключ останется прежним.",
    nothing_on_sale="Сейчас ничего не продаётся. Подписка, которая уже идёт, работает как прежде. Загляните чуть позже.",
    plans_changed="Тарифы изменились, деньги не списаны.",
    plan="{months} — {price}",
    saving=" · выгода {price}",
    choose_method="<b>{months}, {price}</b>\nКак вам удобнее заплатить?",
    to_pay=(
        "<b>{months}, {price}</b> · {method}\n\n"
        "Нажмите «Оплатить», а потом вернитесь сюда и нажмите «Проверить оплату» — ключ появится здесь же."
    ),
    paid="Оплата прошла, спасибо.\n\n",
    part_returned="Из этой оплаты {price} вернулись вам.\n\n",
    preparing="Ключ готовим — обычно это несколько секунд. Нажмите «Обновить»; чат можно закрыть, ключ не потеряется.",
    works="<b>Ключ работает до {date}</b> — {days_left}.",
    how_to_copy="Нажмите на строку, чтобы скопировать, и вставьте в VPN-приложение. Как это сделать — в «Помощи».",
    link_title="Ссылка подписки:",
    key_title="Или сам ключ:",
    no_key="Ключа пока нет. Выберите тариф — после оплаты ключ появится здесь.",
    awaiting_payment=(
        "Ждём оплату. Если вы уже заплатили, ключ появится через минуту: нажмите «Проверить оплату». "
        "Если нет, деньги не списаны."
    ),
    expired="Подписка закончилась {date}. Продлите её — ключ и ссылка останутся прежними.",
    help_text=(
        "<b>Как подключиться</b>\n"
        "1. Поставьте приложение: Happ, v2RayTun или Hiddify.\n"
        "2. Откройте «Мой ключ» и скопируйте ссылку подписки.\n"
        "3. В приложении нажмите «+», вставьте из буфера и включите.\n\n"
        "<b>Заплатили, а ключа нет</b>\n"
        "Оплата засчитывается сама, обычно за минуту. Нажмите «Мой ключ»."
    ),
    ask_email="На какой e-mail прислать чек? Напишите адрес сообщением, например anna@example.com. Деньги пока не списаны.",
    email_kept="Чек пришлём на <b>{email}</b>. Чтобы сменить адрес, пришлите другой.",
    choose_both="Осталось заплатить. Выберите срок и способ:",
    email_wrong="Не похоже на e-mail. Проверьте адрес и пришлите его ещё раз, например anna@example.com. Деньги не списаны.",
    email_hint="Если это был e-mail для чека, напишите только его, например anna@example.com.",
    receipt_goes_to="\n\nЧек придёт на {email}. Другой адрес можно прислать сообщением.",
    not_seen_yet="Оплаты пока не видно, проверяем. Если вы заплатили, деньги не потеряются. Нажмите ещё раз через минуту.",
    reasons=reasons.RU,
    canceled="Оплата не прошла, деньги не списаны. Можно попробовать ещё раз или заплатить другим способом.",
    refunded="Этот платёж возвращён: {price} вернутся туда, откуда пришли, обычно за несколько дней.",
    flagged="Платёж пришёл не таким, как мы ждали. Деньги не потеряны: мы разбираемся вручную. Платить снова не нужно.",
    too_many_open=(
        "У вас несколько неоплаченных счетов, новый не открыт, деньги не списаны. "
        "Оплатите последний или подождите час: они закроются сами."
    ),
    gateway_away="Платёжная система сейчас не отвечает. Деньги не списаны. Попробуйте через минуту.",
    gateway_refused="Платёжная система не приняла заказ. Деньги не списаны. Попробуйте другой способ или зайдите позже.",
    away_buying="Сервис ненадолго недоступен. Деньги не списаны. Попробуйте через минуту.",
    away="Сервис ненадолго недоступен. Если вы уже заплатили, оплата не потеряется. Попробуйте через минуту.",
    no_payment="Такого платежа у вас нет, деньги по нему не списаны. Выберите тариф заново.",
    broken="У нас ошибка, мы её уже видим. Если вы заплатили, оплата не потеряется. Попробуйте ещё раз.",
)

EN = Words(
    days_left=speech.days_left_en,
    months=speech.months_en,
    date=speech.date_en,
    commands=("Main menu", "Buy or renew", "My key", "How to connect"),
    menu_button="Cabinet",
    open_cabinet="Open the cabinet",
    buy="Buy or renew",
    renew="Renew",
    my_key="My key",
    help="Help",
    menu="‹ Menu",
    back="‹ Back",
    pay="Pay {price}",
    check="Check the payment",
    refresh="Refresh",
    copy_link="Copy the link",
    again="Try again",
    pay_by={"sbp": "Pay by SBP", "card": "Pay by card"},
    methods={"sbp": "SBP (Faster Payments)", "card": "Bank card"},
    greeting="Hello, {name}. This is <b>KrotRay</b>, the mole who digs you a tunnel to the open internet.",
    not_understood="I understand buttons and commands. Please choose:",
    choose_plan="For how long? If you already have days, these are added to them, and your key stays the same.",
    nothing_on_sale="Nothing is on sale at the moment. A subscription that runs works as before. Please look in a little later.",
    plans_changed="Our plans have changed, no money was taken.",
    plan="{months} — {price}",
    saving=" · you save {price}",
    choose_method="<b>{months}, {price}</b>\nHow would you like to pay?",
    to_pay=(
        "<b>{months}, {price}</b> · {method}\n\n"
        "Press “Pay”, then come back here and press “Check the payment”: the key will appear right here."
    ),
    paid="The payment went through, thank you.\n\n",
    part_returned="Of this payment {price} went back to you.\n\n",
    preparing="Your key is being made, usually within seconds. Press “Refresh”; you may close the chat, the key will wait.",
    works="<b>Your key works until {date}</b>, {days_left}.",
    how_to_copy="Tap a line to copy it, then paste it into your VPN app. “Help” tells how.",
    link_title="Subscription link:",
    key_title="Or the key itself:",
    no_key="You have no key yet. Choose a plan: the key appears here after the payment.",
    awaiting_payment=(
        "We are waiting for the payment. If you have paid, the key appears within a minute: press “Check the payment”. "
        "If you have not, no money was taken."
    ),
    expired="Your subscription ended on {date}. Renew it: the key and the link stay the same.",
    help_text=(
        "<b>How to connect</b>\n"
        "1. Install an app: Happ, v2RayTun or Hiddify.\n"
        "2. Open “My key” and copy the subscription link.\n"
        "3. In the app press “+”, paste from the clipboard and switch it on.\n\n"
        "<b>Paid, but no key</b>\n"
        "A payment counts by itself, usually within a minute. Press “My key”."
    ),
    ask_email="Which e-mail address should the receipt go to? Write it here, such as anna@example.com. No money was taken yet.",
    email_kept="The receipt will go to <b>{email}</b>. To change the address, send another one.",
    choose_both="Now the payment. Choose a period and a way to pay:",
    email_wrong="This does not look like an e-mail address. Please check it and send it again. No money was taken.",
    email_hint="If this was the e-mail address for the receipt, please write nothing but the address: anna@example.com.",
    receipt_goes_to="\n\nThe receipt goes to {email}. For another address, just write it here.",
    not_seen_yet="No payment seen yet, we are checking. If you have paid, the money is safe. Press again in a minute.",
    reasons=reasons.EN,
    canceled="The payment did not go through, no money was taken. You can try again or pay in another way.",
    refunded="This payment was returned: {price} goes back where it came from, usually within a few days.",
    flagged="The payment is not what we expected. The money is safe: we are looking into it. No need to pay again.",
    too_many_open=(
        "You have several unpaid bills, so no new one was opened and no money was taken. "
        "Pay the latest one, or wait an hour: they close by themselves."
    ),
    gateway_away="The payment system does not answer at the moment. No money was taken. Try again in a minute.",
    gateway_refused="The payment system did not take the order. No money was taken. Try another way to pay, or come later.",
    away_buying="The service is away for a moment. No money was taken. Try again in a minute.",
    away="The service is away for a moment. If you have paid, the payment is safe. Try again in a minute.",
    no_payment="You have no such payment, and no money was taken for it. Please choose a plan again.",
    broken="Something broke on our side, and we can see it. If you have paid, the payment is safe. Please try again.",
)

LANGUAGES = {"en": EN, "ru": RU}


def of(language_code: str | None) -> Words:
    """The words for a Telegram user; Russian where the language is not known."""
    return RU if speech.reads_russian(language_code) else EN
