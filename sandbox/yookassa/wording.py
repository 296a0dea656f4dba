"""Everything that the pages say, in Russian and in English."""

from __future__ import annotations

from decimal import Decimal

LANGUAGES = ("ru", "en")

TEXTS = {
    "ru": {
        "title": "Оплата",
        "sandbox": "Тестовая касса",
        "sandbox_note": "деньги не списываются",
        "to_pay": "К оплате",
        "method": "Способ оплаты",
        "bank_card": "Карта",
        "sbp": "СБП",
        "number": "Номер карты",
        "expiry": "Срок действия",
        "expiry_form": "ММ/ГГ",
        "cvc": "Код CVC",
        "test_cards": "Тестовые карты",
        "no_real_card": "Настоящую карту вводить не нужно: касса принимает только тестовые.",
        "pay": "Оплатить {amount}",
        "leave": "Уйти без оплаты",
        "declined": "Оплата не прошла",
        "declined_next": "Деньги не списаны. Попробуйте ещё раз или заплатите другим способом.",
        "sbp_code": "Код для оплаты через СБП",
        "sbp_hint": "Здесь покупатель сканирует код в приложении своего банка. Этот код нарисован, а банк заменяет кнопка.",
        "sbp_confirm": "Подтвердить в банке",
        "sbp_reject": "Отказаться в банке",
        "three_ds": "Подтвердите оплату",
        "three_ds_ask": "Банк спрашивает, вы ли платите {amount} картой •• {last4}.",
        "three_ds_confirm": "Да, подтвердить",
        "three_ds_reject": "Нет, отклонить",
        "succeeded": "Оплачено",
        "succeeded_next": "Осталось вернуться в магазин.",
        "waiting_for_capture": "Деньги зарезервированы",
        "waiting_for_capture_next": "Магазин должен подтвердить заказ. До этого деньги остаются вашими.",
        "canceled": "Платёж отменён",
        "canceled_next": "Деньги не списаны. Вернитесь в магазин, чтобы начать оплату заново.",
        "refunded": "Возвращено {amount}",
        "back": "Вернуться в магазин",
        "returning": "Через несколько секунд вернёмся туда сами.",
        "lab": "Для проверки",
        "lab_reason": "Отменить платёж с причиной",
        "lab_cancel": "Отменить платёж",
        "missing": "Платёж не найден",
        "missing_next": "Проверьте ссылку или начните оплату в магазине заново.",
        "shop": "Магазин № {shop_id}",
        "error_number": "Это не тестовая карта. Выберите одну из списка выше.",
        "error_expiry": "Укажите срок в виде ММ/ГГ, месяц ещё не прошёл.",
        "error_cvc": "Нужны три цифры.",
        "other_language": "English",
    },
    "en": {
        "title": "Payment",
        "sandbox": "Sandbox checkout",
        "sandbox_note": "no money is taken",
        "to_pay": "To pay",
        "method": "Payment method",
        "bank_card": "Card",
        "sbp": "SBP",
        "number": "Card number",
        "expiry": "Valid until",
        "expiry_form": "MM/YY",
        "cvc": "CVC code",
        "test_cards": "Test cards",
        "no_real_card": "No real card is needed: this checkout takes test cards only.",
        "pay": "Pay {amount}",
        "leave": "Leave without paying",
        "declined": "The payment did not go through",
        "declined_next": "No money was taken. Try again or pay another way.",
        "sbp_code": "Code for paying by SBP",
        "sbp_hint": "Here a payer scans the code in their bank's app. This one is only drawn; a button plays the bank.",
        "sbp_confirm": "Confirm at the bank",
        "sbp_reject": "Refuse at the bank",
        "three_ds": "Confirm the payment",
        "three_ds_ask": "The bank asks whether it is you who pays {amount} with card •• {last4}.",
        "three_ds_confirm": "Yes, confirm",
        "three_ds_reject": "No, decline",
        "succeeded": "Paid",
        "succeeded_next": "Now go back to the shop.",
        "waiting_for_capture": "The money is reserved",
        "waiting_for_capture_next": "The shop has to confirm the order. Until then the money stays yours.",
        "canceled": "The payment is canceled",
        "canceled_next": "No money was taken. Go back to the shop to start again.",
        "refunded": "{amount} refunded",
        "back": "Back to the shop",
        "returning": "We will go there by ourselves in a few seconds.",
        "lab": "For testing",
        "lab_reason": "Cancel the payment with a reason",
        "lab_cancel": "Cancel the payment",
        "missing": "No such payment",
        "missing_next": "Check the link, or start the payment in the shop again.",
        "shop": "Shop {shop_id}",
        "error_number": "This is not a test card. Choose one from the list above.",
        "error_expiry": "Give it as MM/YY, with a month that is not over.",
        "error_cvc": "Three digits are needed.",
        "other_language": "По-русски",
    },
}

CARD_HINTS = {
    "4444": {"ru": "оплата пройдёт", "en": "pays"},
    "4477": {"ru": "банк переспросит", "en": "the bank asks"},
    "4600": {"ru": "не хватает денег", "en": "no funds"},
    "4543": {"ru": "карта просрочена", "en": "card expired"},
    "4592": {"ru": "сбой 3-D Secure", "en": "3-D Secure fails"},
    "4501": {"ru": "банк недоступен", "en": "bank is away"},
}

_REASONS = {
    "3d_secure_failed": ("Банк не подтвердил, что платите вы", "The bank could not confirm that it was you"),
    "call_issuer": ("Банк отклонил оплату, подробности знает он", "The bank declined; please ask them why"),
    "canceled_by_merchant": ("Магазин отменил платёж", "The shop canceled the payment"),
    "card_expired": ("Срок действия карты истёк", "The card has expired"),
    "expired_on_capture": ("Магазин не подтвердил заказ вовремя", "The shop did not confirm the order in time"),
    "expired_on_confirmation": ("Время на оплату вышло", "The time to pay is over"),
    "fraud_suspected": ("Платёж показался подозрительным", "The payment looked suspicious"),
    "general_decline": ("Банк отклонил оплату без объяснений", "The bank declined without saying why"),
    "insufficient_funds": ("На карте не хватает денег", "There is not enough money on the card"),
    "internal_timeout": ("Касса не успела обработать платёж", "The checkout did not manage in time"),
    "invalid_csc": ("Код CVC не подошёл", "The CVC code is wrong"),
    "issuer_unavailable": ("Банк карты не отвечает", "The card's bank does not answer"),
    "payment_method_limit_exceeded": ("Лимит на операции исчерпан", "The limit for payments is reached"),
    "payment_method_restricted": ("Операции по карте запрещены", "Payments with this card are blocked"),
    "permission_revoked": ("Разрешение на списания отозвано", "The permission to charge was withdrawn"),
}

_NO_BREAK = "\N{NO-BREAK SPACE}"


def reason_text(reason: str, lang: str) -> str:
    """A reason in words; one that has none here is shown as it is."""
    russian, english = _REASONS.get(reason, (reason, reason))
    return russian if lang == "ru" else english


def money(amount: Decimal, lang: str) -> str:
    """`250 ₽`, `1 250,50 ₽`: kopecks only where there are some."""
    text = f"{amount:,.2f}".removesuffix(".00")
    if lang == "ru":
        text = text.replace(",", _NO_BREAK).replace(".", ",")
    return f"{text}{_NO_BREAK}₽"
