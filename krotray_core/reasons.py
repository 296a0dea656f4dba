"""Why a payment came to nothing, by YooKassa's word or ours: what happened, what became of the money, what to do next. Pure.

The bot and the notices say it in these words; the Mini App has the same in static/words, and a test compares the two.
https://yookassa.ru/developers/payment-acceptance/after-the-payment/declined-payments
"""

from __future__ import annotations

RU = {
    "3d_secure_failed": "Банк не смог убедиться, что платите вы. Деньги не списаны. Попробуйте ещё раз и введите код из банка.",
    "call_issuer": "Банк отклонил оплату, деньги не списаны. Причину знает он: позвоните туда или выберите другой способ.",
    "canceled_by_merchant": "Платёж отменён с нашей стороны, деньги не списаны. Если доступ ещё нужен, попробуйте снова.",
    "card_expired": "Срок действия карты закончился, деньги не списаны. Заплатите другой картой или через СБП.",
    "country_forbidden": "Карты этой страны касса не принимает, деньги не списаны. Подойдёт карта российского банка или СБП.",
    "deal_expired": "Время на оплату вышло, деньги не списаны. Начните ещё раз.",
    "expired_on_capture": "Касса не успела закончить оплату. Если банк удержал деньги, он их вернёт. Попробуйте ещё раз.",
    "expired_on_confirmation": "Время на оплату вышло, деньги не списаны. Начните ещё раз: на оплату есть час.",
    "fraud_suspected": "Касса засомневалась в платеже, деньги не списаны. Попробуйте другую карту или другой способ.",
    "general_decline": "Банк отклонил оплату без объяснений, деньги не списаны. Попробуйте другую карту или другой способ.",
    "identification_required": "Лимит кошелька исчерпан, деньги не списаны. Подтвердите в нём личность или выберите другой способ.",
    "insufficient_funds": "На счёте не хватило денег, ничего не списано. Пополните его или заплатите с другой карты или счёта.",
    "internal_timeout": "Касса не успела провести оплату, деньги не списаны. Попробуйте ещё раз через минуту.",
    "invalid_card_number": "Номер карты введён с ошибкой, деньги не списаны. Проверьте номер и попробуйте ещё раз.",
    "invalid_csc": "Код на обороте карты не подошёл, деньги не списаны. Проверьте три цифры и попробуйте ещё раз.",
    "issuer_unavailable": "Ваш банк сейчас не отвечает, деньги не списаны. Попробуйте позже или заплатите через другой банк.",
    "not_created": "Касса не приняла счёт, деньги не списаны. Попробуйте ещё раз или выберите другой способ.",
    "payment_method_limit_exceeded": "Лимит платежей исчерпан, деньги не списаны. Попробуйте завтра или заплатите другим способом.",
    "payment_method_restricted": "Банк запретил такие платежи, деньги не списаны. Спросите почему или выберите другой способ.",
    "permission_revoked": "Разрешение на списания отозвано, деньги не списаны. Чтобы продлить доступ, оплатите ещё раз.",
    "returned": "Оплата пришла не такой, как мы ждали, и деньги вернулись вам. Если доступ ещё нужен, попробуйте снова.",
    "unsupported_mobile_operator": "С номера этого оператора заплатить нельзя, деньги не списаны. Выберите другой способ.",
}

EN = {
    "3d_secure_failed": "The bank could not make sure that it is you. No money was taken. Try again and enter the bank's code.",
    "call_issuer": "The bank declined, no money was taken. Only the bank knows why: call them, or pay in another way.",
    "canceled_by_merchant": "We canceled this payment, no money was taken. If you still want access, try again.",
    "card_expired": "The card has expired, no money was taken. Pay with another card or by SBP.",
    "country_forbidden": "Cards of this country are not accepted, no money was taken. A Russian bank's card or SBP will do.",
    "deal_expired": "The time to pay ran out, no money was taken. Start again.",
    "expired_on_capture": "The checkout did not finish in time. If the bank held the money, it gives it back. Try again.",
    "expired_on_confirmation": "The time to pay ran out, no money was taken. Start again: you have an hour to pay.",
    "fraud_suspected": "The checkout had doubts about the payment, no money was taken. Use another card or another way to pay.",
    "general_decline": "The bank declined without saying why, no money was taken. Try another card or another way to pay.",
    "identification_required": "The wallet is over its limit, no money was taken. Confirm who you are there or pay in another way.",
    "insufficient_funds": "There was not enough money, none was taken. Top up the account, or pay from another card or account.",
    "internal_timeout": "The checkout did not manage in time, no money was taken. Try again in a minute.",
    "invalid_card_number": "The card number has a mistake in it, no money was taken. Check the number and try again.",
    "invalid_csc": "The code on the back of the card was wrong, no money was taken. Check the three digits and try again.",
    "issuer_unavailable": "Your bank does not answer right now, no money was taken. Try later, or pay through another bank.",
    "not_created": "The checkout did not take the bill, no money was taken. Try again or choose another way to pay.",
    "payment_method_limit_exceeded": "A limit for payments is used up, no money was taken. Try tomorrow, or pay in another way.",
    "payment_method_restricted": "The bank forbids such payments, no money was taken. Ask the bank why, or pay in another way.",
    "permission_revoked": "The permission to charge was withdrawn, no money was taken. To renew access, pay once more.",
    "returned": "The payment was not what we expected, and the money went back to you. If you still want access, try again.",
    "unsupported_mobile_operator": "This phone operator cannot be paid with, no money was taken. Choose another way to pay.",
}
