"""The checkout page: plain forms and links, so that a browser, a test and a screen reader all get along with it."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from typing import Any

from flask import Blueprint, current_app, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from .cards import PAYS, REASONS, TEST_CARDS, expiry
from .core import Sandbox
from .drawing import drawn_code
from .errors import ApiError, not_found
from .incoming import METHODS
from .payer import NotPayableError
from .records import PaymentRecord
from .wording import CARD_HINTS, LANGUAGES, TEXTS, money, reason_text

_EXPIRY = re.compile(r"(0[1-9]|1[0-2])\s*/?\s*([0-9]{2})")
_CVC = re.compile(r"[0-9]{3}")

Page = str | tuple[str, int] | Response


def checkout_blueprint() -> Blueprint:
    """The routes of the checkout page."""
    blueprint = Blueprint("checkout", __name__, url_prefix="/checkout/<payment_id>")
    blueprint.add_url_rule("", view_func=show)
    blueprint.add_url_rule("/3ds", view_func=show_3ds)
    for rule, view in (("/card", card), ("/3ds", answer_3ds), ("/sbp", sbp), ("/cancel", cancel)):
        blueprint.add_url_rule(rule, view_func=view, methods=["POST"])
    blueprint.register_error_handler(ApiError, _missing)
    return blueprint


def show(payment_id: str) -> Page:
    """The page in whatever state the payment is; `?method=`, `?card=` and `?lang=` are the payer's choices."""
    record = _sandbox().payments.record(payment_id)
    if record.status != "pending":
        return _render("finished.html", record, just_paid="paid" in request.args)
    if record.return_url is None:
        raise not_found("The charge of a saved method has no page")
    chosen = next((known for number, known in TEST_CARDS.items() if known.last4 == request.args.get("card")), PAYS)
    return _form(record, {"number": _grouped(chosen.number), "expiry": _expiry_hint(), "cvc": "123"})


def card(payment_id: str) -> Page:
    """The payer sent the card form."""
    sandbox = _sandbox()
    record = sandbox.payments.record(payment_id)
    typed = {name: request.form.get(name, "").strip()[:40] for name in ("number", "expiry", "cvc")}
    known = TEST_CARDS.get(re.sub(r"[\s-]", "", typed["number"]))
    errors = [
        name
        for name, fine in (
            ("number", known is not None),
            ("expiry", _expiry_fits(typed["expiry"], sandbox.clock.now())),
            ("cvc", _CVC.fullmatch(typed["cvc"]) is not None),
        )
        if not fine
    ]
    if record.status == "pending" and (errors or known is None):
        return _form(record, typed, errors), 422
    return _then_show(payment_id, lambda: sandbox.payer.pay_by_card(payment_id, known or PAYS))


def show_3ds(payment_id: str) -> Page:
    """The bank's question."""
    record = _sandbox().payments.record(payment_id)
    if record.status != "pending" or record.awaiting_3ds is None:
        return _to_page(payment_id)
    return _render("three_ds.html", record, last4=record.awaiting_3ds[-4:])


def answer_3ds(payment_id: str) -> Page:
    """The payer's answer to the bank."""
    payer = _sandbox().payer
    if request.form.get("answer") == "confirm":
        return _then_show(payment_id, lambda: payer.confirm_3ds(payment_id))
    return _then_show(payment_id, lambda: payer.decline(payment_id, "3d_secure_failed"))


def sbp(payment_id: str) -> Page:
    """The payer's answer in the bank's app."""
    payer = _sandbox().payer
    if request.form.get("answer") == "confirm":
        return _then_show(payment_id, lambda: payer.pay_by_sbp(payment_id))
    return _then_show(payment_id, lambda: payer.decline(payment_id, "general_decline"))


def cancel(payment_id: str) -> Page:
    """The sandbox's own box: the payment fails for good."""
    reason = request.form.get("reason", "")
    return _then_show(
        payment_id,
        lambda: _sandbox().payer.fail(payment_id, reason if reason in REASONS else "general_decline"),
    )


def _form(record: PaymentRecord, typed: dict[str, str], errors: list[str] | None = None) -> str:
    methods = [record.method] if record.method else list(METHODS)
    asked = request.form.get("method") or request.args.get("method")
    return _render(
        "checkout.html",
        record,
        methods=methods,
        method=asked if asked in methods else methods[0],
        typed=typed,
        errors=errors or [],
        cards=list(TEST_CARDS.values()),
        hints=CARD_HINTS,
        code=drawn_code(record.id),
        reasons=[(reason, reason_text(reason, _lang(record))) for reason in REASONS],
    )


def _then_show(payment_id: str, verb: Callable[[], dict[str, Any]]) -> Response:
    """Do it and go to the page that tells how it went; a click that came too late sees that there, too."""
    status = None
    try:
        status = verb()["status"]
    except NotPayableError:
        current_app.logger.info("a form came too late for payment %s", payment_id)
    record = _sandbox().payments.record(payment_id)
    if record.awaiting_3ds is not None:
        return _to_page(payment_id, "checkout.show_3ds")
    return _to_page(payment_id, paid="1") if status in ("succeeded", "waiting_for_capture") else _to_page(payment_id)


def _to_page(payment_id: str, endpoint: str = "checkout.show", **values: Any) -> Response:
    for name in ("lang", "method"):
        if choice := request.values.get(name):
            values[name] = choice
    # 303: the browser fetches the page anew, so that reloading it never pays twice.
    return redirect(url_for(endpoint, payment_id=payment_id, **values), code=303)


def _render(template: str, record: PaymentRecord, **values: Any) -> str:
    sandbox, lang = _sandbox(), _lang(record)
    kept: dict[str, Any] = {name: request.args[name] for name in ("method", "card") if name in request.args}
    words = TEXTS[lang]
    return render_template(
        template,
        record=record,
        wire=record.wire,
        lang=lang,
        t=words,
        money=lambda amount: money(amount, lang),
        reason_text=lambda reason: reason_text(reason, lang),
        shop_name=sandbox.config.shop_name or words["shop"].format(shop_id=sandbox.config.shop_id),
        other_language=url_for(
            request.endpoint if request.method == "GET" and request.endpoint else "checkout.show",
            payment_id=record.id,
            **kept,
            lang="en" if lang == "ru" else "ru",
        ),
        **values,
    )


def _missing(_error: ApiError) -> tuple[str, int]:
    lang = _lang(None)
    return render_template("missing.html", lang=lang, t=TEXTS[lang]), 404


def _lang(record: PaymentRecord | None) -> str:
    """The payer's own choice, else the one that the shop sent with the payment, else Russian."""
    asked = request.values.get("lang")
    if asked in LANGUAGES:
        return asked
    return "en" if record is not None and record.locale == "en_US" else "ru"


def _grouped(number: str) -> str:
    return " ".join(number[start : start + 4] for start in range(0, len(number), 4))


def _expiry_hint() -> str:
    month, year = expiry(_sandbox().clock.now())
    return f"{month}/{year[-2:]}"


def _expiry_fits(text: str, now: datetime) -> bool:
    found = _EXPIRY.fullmatch(text)
    return found is not None and (2000 + int(found[2]), int(found[1])) >= (now.year, now.month)


def _sandbox() -> Sandbox:
    sandbox: Sandbox = current_app.extensions["yookassa_sandbox"]
    return sandbox
