"""/api/payments: buying, and seeing how it went."""

from __future__ import annotations

from uuid import UUID

from flask import Blueprint, Response
from pydantic import ValidationError

from krotray_api import auth, bodies, describing, limits
from krotray_api.schemas import CreatePayment, PaymentCreated, PaymentOut, PaymentsOut, answer
from krotray_core import billing, checkout
from krotray_core.errors import Invalid, NotFound
from krotray_tasks import money

blueprint = Blueprint("payments", __name__, url_prefix="/api/payments")

MOST_LISTED = 50
_ID = describing.path("payment_id", type="string", format="uuid")


@blueprint.post("/create")
@limits.on_create
@describing.answers(PaymentCreated, status=201, body=CreatePayment, problems=(400, 409, 413, 422, 429, 502))
def create() -> tuple[Response, int]:
    """A payment and the address to pay it at: a new one, or the one that was opened minutes ago for the same thing."""
    user = auth.current_user()
    try:
        wanted = CreatePayment.model_validate(bodies.json_body())
    except ValidationError as error:
        wrong = sorted({str(fault["loc"][0]) if fault["loc"] else "body" for fault in error.errors()})
        raise Invalid(f"missing or malformed: {', '.join(wrong)}") from None
    payment = checkout.start(user.id, wanted.tariff, wanted.method, wanted.email)
    return answer(PaymentCreated(payment_id=payment.id, confirmation_url=payment.confirmation_url)), 201


@blueprint.get("")
@describing.answers(PaymentsOut)
def history() -> Response:
    """One's own payments, the newest first."""
    rows = billing.latest(user_id=auth.current_user().id, limit=MOST_LISTED)
    return answer(PaymentsOut(payments=[PaymentOut.of(row) for row in rows]))


@blueprint.get("/<payment_id>")
@describing.answers(PaymentOut, problems=(404,), parameters=(_ID,))
def show(payment_id: str) -> Response:
    """One's own payment."""
    return answer(PaymentOut.of(billing.of_user(auth.current_user().id, _id(payment_id))))


@blueprint.post("/<payment_id>/check")
@limits.on_check
@describing.answers(PaymentOut, problems=(404, 429), parameters=(_ID,))
def check(payment_id: str) -> Response:
    """ "I have paid": has a worker ask YooKassa soon, and answers with what is known so far."""
    payment = billing.of_user(auth.current_user().id, _id(payment_id))
    money.check(payment)
    return answer(PaymentOut.of(payment))


def _id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise NotFound("no such payment") from None
