"""From the tariff to the key, and what may come between."""

from __future__ import annotations

from typing import Any

import requests

from krotray_core import qr
from sandbox.process import wait_until
from tests.bot_kit import CLOSED, MONTH, MONTH_BY_CARD, BotWorld, button, labels


class TestBuying:
    """From the tariff to the key, and what may come between."""

    def test_a_whole_purchase_in_the_chat(self, talking: BotWorld) -> None:
        person = talking.somebody()
        person.write("/buy")
        assert labels(person.hears("На сколько"))[:2] == ["1 месяц — 100 ₽", "3 месяца — 250 ₽ · выгода 50 ₽"]
        person.press("3 месяца — 250 ₽ · выгода 50 ₽")
        assert labels(person.hears("Как вам удобнее")) == ["СБП", "Банковская карта", "‹ Назад"]
        person.press("СБП")
        offer = person.hears("3 месяца, 250 ₽ · СБП")
        url = button(offer, "Оплатить 250 ₽")["opens"]

        assert "Ключ придёт сюда сам" in person.toast(person.press("Проверить оплату"))
        assert person.last() == offer
        talking.pay(url)
        person.press("Проверить оплату")  # has the worker look; nothing else would: there is no webhook here
        shown = person.sees("Оплата прошла, спасибо.")
        assert "осталось 90 дней" in shown["text"]
        codes = [
            shown["text"][e["offset"] : e["offset"] + e["length"]] for e in shown["entities"] if e["type"] == "code"
        ]
        [link, key] = codes
        assert link.startswith(f"{talking.world.web_url}/sub/")
        assert key.startswith("vless://")
        assert person.picture(shown) == qr.png(link)
        assert "#KrotRay%20Amsterdam" in key
        assert person.press("Скопировать ссылку", shown) == {"copied": link}

        person.write("/key")
        person.hears("Ключ работает до")
        assert talking.payments(person) == ["succeeded"]

    def test_a_press_that_is_handled_twice_makes_one_payment(self, talking: BotWorld) -> None:
        person = talking.somebody()
        person.write("/buy")
        person.hears("На сколько")
        person.press(MONTH)
        person.hears("Как вам удобнее")
        talking.trouble("editMessageText", error_code=502, description="Bad Gateway")
        person.press(MONTH_BY_CARD)
        person.hears("Банковская карта")
        assert talking.payments(person) == ["pending"]

    def test_two_presses_on_one_button_make_one_payment(self, talking: BotWorld) -> None:
        person = talking.somebody()
        person.write("/buy")
        person.hears("На сколько")
        person.press(MONTH)
        person.hears("Как вам удобнее")
        before = talking.trouble("editMessageText", hold=True)
        presses = [person.press(MONTH_BY_CARD)]
        wait_until(lambda: talking.calls("editMessageText") > before, seconds=10, what="the first press to arrive")
        presses.append(person.press(MONTH_BY_CARD))
        talking.release()
        for press in presses:
            person.toast(press)
        person.hears("Банковская карта")
        wait_until(lambda: talking.look()["pending"] == 0, seconds=10, what="both presses to be done")
        assert talking.payments(person) == ["pending"]

    def test_a_crash_between_payment_and_answer_makes_one_payment(self, talking: BotWorld) -> None:
        person = talking.somebody()
        person.write("/buy")
        person.hears("На сколько")
        person.press(MONTH)
        person.hears("Как вам удобнее")
        before = talking.trouble("editMessageText", hold=True, error_code=500)
        person.press(MONTH_BY_CARD)
        wait_until(lambda: talking.calls("editMessageText") > before, seconds=10, what="the payment to be made")
        talking.bot.kill()
        talking.release()
        talking.polling_bot()
        offer = person.hears("Банковская карта")
        assert talking.payments(person) == ["pending"]
        person.write("/key")  # it can be paid from here, too
        assert button(person.hears("Ждём оплату"), "Оплатить 100 ₽") == button(offer, "Оплатить 100 ₽")
        person.press("Купить или продлить")
        person.hears("На сколько")
        person.press("plan:3m:3-90-25000")
        person.hears("Как вам удобнее")
        person.press("pay:3m:3-90-25000:card")  # another tariff is another payment
        wait_until(lambda: talking.payments(person) == ["pending"] * 2, seconds=10, what="the second payment")

    def test_a_canceled_payment_says_that_no_money_was_taken(self, talking: BotWorld) -> None:
        person = talking.somebody()
        person.write("/buy")
        person.hears("На сколько")
        person.press(MONTH)
        person.hears("Как вам удобнее")
        person.press(MONTH_BY_CARD)
        url = button(person.hears("Банковская карта"), "Оплатить 100 ₽")["opens"]
        cancel = f"{talking.world.yookassa_url}/sandbox/payments/{url.rpartition('/')[2]}/cancel"
        requests.post(cancel, timeout=10).raise_for_status()
        offer = person.last()["message_id"]
        person.press("Проверить оплату")

        def turned() -> list[dict[str, Any]]:
            return [one for one in person.heard() if one["message_id"] == offer and "деньги не списаны" in one["text"]]

        wait_until(turned, seconds=20, what="the message to turn over by itself")  # a notice says it, too
        assert "Купить или продлить" in labels(turned()[0])
        assert talking.payments(person) == ["canceled"]

    def test_without_yookassa_no_money_is_taken(self, bot_world: BotWorld) -> None:
        bot_world.polling_bot(YOOKASSA_API_URL=f"{CLOSED}/v3")
        person = bot_world.somebody()
        person.write("/buy")
        person.hears("На сколько")
        person.press(MONTH)
        person.hears("Как вам удобнее")
        person.press(MONTH_BY_CARD)
        assert labels(person.hears("Деньги не списаны")) == ["Попробовать ещё раз", "‹ Меню"]

    def test_without_a_database_it_still_greets_and_says_what_became_of_the_money(self, bot_world: BotWorld) -> None:
        bot_world.polling_bot()
        buyer = bot_world.somebody("en")
        buyer.write("/buy")
        buyer.hears("For how long")
        buyer.press(MONTH)
        buyer.hears("How would you like to pay")
        bot_world.polling_bot(DATABASE_URL="postgresql://nobody@127.0.0.1:9/none")
        buyer.press(MONTH_BY_CARD)
        assert labels(buyer.hears("No money was taken")) == ["Try again", "‹ Menu"]
        person = bot_world.somebody("en")
        person.write("/start")
        person.hears("Hello")
        person.press("Buy or renew")
        assert labels(person.hears("the payment is safe")) == ["Try again", "‹ Menu"]
