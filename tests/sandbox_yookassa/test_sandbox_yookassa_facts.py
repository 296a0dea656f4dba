"""The sandbox against what is known of the real YooKassa, statement by statement.

Each row is a statement and the check that shows it here; where a test of another file shows it, that one is the check.
Not shown, because nothing on one machine can: the source addresses of notifications, and that they go to HTTPS on 443 or
8443 only. Not offered, and refused by name: the confirmations `embedded` and `qr`.
"""

from __future__ import annotations

from functools import partial

import pytest
import sandbox_yookassa_checks as checks
import test_sandbox_yookassa_api as api
import test_sandbox_yookassa_checkout as checkout
import test_sandbox_yookassa_control as control
import test_sandbox_yookassa_faults as faults
import test_sandbox_yookassa_idempotency as idempotency
import test_sandbox_yookassa_lies as lies
import test_sandbox_yookassa_limits as limits
import test_sandbox_yookassa_modes as modes
import test_sandbox_yookassa_refunds as refunds
import test_sandbox_yookassa_time as times
import test_sandbox_yookassa_webhooks as webhooks
from sandbox_yookassa_checks import Check, both, in_a_shop_that_may_charge, refuses, run, stays_unknown, takes
from sandbox_yookassa_kit import RETURN_URL, Receiver, Till

FACTS: tuple[tuple[str, Check], ...] = (
    # Payment
    (
        "A payment is pending, then waits for capture or succeeds or is canceled",
        api.test_without_capture_the_money_is_held_until_the_shop_decides,
    ),
    ("Succeeded and canceled are final", checks.final_states_stay),
    ("Without capture: true the money is only held", checks.is_held_unless_capture_is_said),
    ("An unpaid payment lives one hour and then expires", times.test_an_unpaid_payment_lives_one_hour),
    (
        "An unpaid payment cannot be canceled by the shop",
        partial(api.test_only_a_held_payment_can_be_canceled, paid=False),
    ),
    (
        "A succeeded payment cannot be canceled by the shop",
        partial(api.test_only_a_held_payment_can_be_canceled, paid=True),
    ),
    ("An abandoned link stays payable for its hour", checks.is_payable_to_the_end),
    ("A declined card does not cancel the payment", control.test_a_declined_payment_stays_payable),
    (
        "An amount is a string with two decimals",
        both(refuses("amount.value", amount=limits.rub(100)), refuses("amount.value", amount=limits.rub("100"))),
    ),
    (
        "A description has at most 128 characters",
        both(takes(description="x" * 128), refuses("description", description="x" * 129)),
    ),
    (
        "Metadata has at most 16 keys",
        both(
            takes(metadata={str(n): "" for n in range(16)}),
            refuses("metadata", metadata={str(n): "" for n in range(17)}),
        ),
    ),
    (
        "A key of metadata has at most 32 characters",
        both(takes(metadata={"k" * 32: ""}), refuses("metadata", metadata={"k" * 33: ""})),
    ),
    (
        "A value of metadata has at most 512 characters",
        both(takes(metadata={"k": "v" * 512}), refuses("metadata.k", metadata={"k": "v" * 513})),
    ),
    ("A value of metadata is a string", refuses("metadata.k", metadata={"k": 7})),
    ("The SDK adds one key to the metadata", api.test_the_sdk_makes_and_finds_a_payment),
    (
        "A return_url has at most 2048 characters",
        refuses("confirmation.return_url", confirmation=limits.redirect(return_url=RETURN_URL + "x" * 2048)),
    ),
    ("The payer comes back to the return_url as it was sent", checks.goes_back_to_the_address_as_it_was),
    ("A redirect turns a return_url into a confirmation_url", api.test_a_new_payment_has_every_field_of_the_real_one),
    ("A canceled payment tells party and reason, also reasons that are new", checks.fails_for_every_reason),
    # Idempotence-Key
    ("Every POST needs a key, no GET does", checks.needs_a_key_for_every_post),
    (
        "A key of 64 characters is taken",
        partial(limits.test_a_post_needs_a_key_of_at_most_64_characters, key="k" * 64, status=200),
    ),
    (
        "A key of 65 characters is refused",
        partial(limits.test_a_post_needs_a_key_of_at_most_64_characters, key="k" * 65, status=400),
    ),
    ("The same key and body have the first result", idempotency.test_a_repeated_request_has_the_first_result),
    (
        "The same key with another body is an invalid_request",
        idempotency.test_another_body_under_the_same_key_is_refused,
    ),
    ("After 24 hours the same key makes a new payment", idempotency.test_a_key_is_forgotten_after_a_day),
    ("The same key many times at once makes one payment", idempotency.test_many_at_the_same_moment_make_one_payment),
    ("What is in doubt can be found in the list", checks.is_found_in_the_list_when_in_doubt),
    # Errors
    ("400 is invalid_request and names the parameter", refuses("capture", capture="yes")),
    ("401 is invalid_credentials", api.test_the_sdk_is_refused_with_a_wrong_secret),
    ("403 is forbidden", partial(faults.test_a_refusal_makes_nothing, kind="403", code="forbidden")),
    ("404 is not_found", api.test_what_does_not_exist_is_not_found),
    ("429 is too_many_requests", partial(faults.test_a_refusal_makes_nothing, kind="429", code="too_many_requests")),
    ("429 may tell retry_after in milliseconds", faults.test_too_many_requests_may_say_when_to_come_back),
    (
        "A 4xx made nothing; a corrected request needs a new key",
        idempotency.test_a_refused_request_needs_a_new_key_when_it_is_corrected,
    ),
    ("500 may have made nothing", stays_unknown("500", "before")),
    ("500 may have made the payment", stays_unknown("500", "after")),
    ("202 may have made nothing", stays_unknown("202", "before")),
    ("202 may have made the payment", stays_unknown("202", "after")),
    (
        "A dropped connection may have made nothing",
        partial(faults.test_a_connection_is_closed_without_a_byte, when="before", number=0),
    ),
    (
        "A dropped connection may have made the payment",
        partial(faults.test_a_connection_is_closed_without_a_byte, when="after", number=1),
    ),
    (
        "A timeout may have made nothing",
        partial(faults.test_a_request_hangs_until_the_client_loses_patience, when="before", number=0),
    ),
    (
        "A timeout may have made the payment",
        partial(faults.test_a_request_hangs_until_the_client_loses_patience, when="after", number=1),
    ),
    ("The list is filtered by created_at and status", api.test_the_list_is_filtered_by_time_and_status),
    ("The list has pages, newest first, and a cursor", api.test_the_list_is_cut_into_pages_newest_first),
    (
        "The list takes a limit of 1 to 100",
        both(
            *(
                partial(api.test_a_list_refuses_what_it_does_not_know, query=f"limit={limit}", parameter="limit")
                for limit in (0, 101)
            )
        ),
    ),
    (
        "The list has no filter by metadata",
        partial(api.test_a_list_refuses_what_it_does_not_know, query="metadata=7", parameter="metadata"),
    ),
    # Webhooks
    ("There are four events", checks.tells_only_four_events),
    (
        "A refund that fails sends nothing and has to be polled",
        refunds.test_a_pending_refund_that_fails_is_told_to_nobody,
    ),
    ("A notification holds the event and the payment", checks.tells_what_the_api_tells),
    ("200 ends the repetition, 201 does not", partial(webhooks.test_only_200_ends_the_repetition, refusal=201)),
    ("A redirection is not followed but repeated", partial(webhooks.test_only_200_ends_the_repetition, refusal=302)),
    ("A notification is repeated for 24 hours", webhooks.test_the_pauses_grow_and_a_day_ends_them),
    ("No order is promised", lies.test_the_end_may_be_told_before_the_beginning),
    ("No uniqueness is promised", lies.test_one_arrives_many_times_at_once),
    ("A notification may be late", lies.test_one_arrives_late),
    ("A notification may be lost", lies.test_the_next_ones_are_lost),
    ("There is no signature", checks.carries_no_signature),
    (
        "The body is a hint and no proof: it may disagree with GET",
        webhooks.test_a_forged_notification_disagrees_with_the_api,
    ),
    # Receipts
    ("A shop with fiscalization wants a receipt", checks.wants_a_receipt),
    (
        "A receipt needs an email address or a phone number",
        both(
            takes(receipt=limits.receipt(customer={"phone": "79000000000"})),
            refuses("receipt.customer", receipt=limits.receipt(customer={})),
        ),
    ),
    (
        "An item's description has at most 128 characters",
        refuses("receipt.items[0].description", receipt=limits.receipt(description="x" * 129)),
    ),
    (
        "A vat_code goes from 1 to 12",
        both(*(refuses("receipt.items[0].vat_code", receipt=limits.receipt(vat_code=code)) for code in (0, 13))),
    ),
    (
        "A tax_system_code goes from 1 to 6",
        both(*(refuses("receipt.tax_system_code", receipt=limits.receipt(tax_system_code=code)) for code in (0, 7))),
    ),
    ("The items add up to the amount", refuses("receipt.items", receipt=limits.receipt(amount=limits.rub("249.99")))),
    # Saved methods
    (
        "Saving a method needs permission; without, a one-off payment works",
        checks.forbids_saving_but_takes_a_plain_payment,
    ),
    (
        "A method is saved once saved is true",
        in_a_shop_that_may_charge(partial(modes.test_a_method_is_saved_when_the_payer_has_paid, method="bank_card")),
    ),
    (
        "A saved method is charged without confirmation",
        in_a_shop_that_may_charge(modes.test_a_saved_method_is_charged_without_anybody),
    ),
    ("A charge is declined with a reason that says what to do", checks.declines_charges),
    ("A revoked permission stays revoked", in_a_shop_that_may_charge(modes.test_a_permission_is_revoked_for_good)),
    # Refunds
    ("Only a payment that succeeded is refunded", refunds.test_only_a_payment_that_succeeded_can_be_refunded),
    ("A refund may be pending and then succeed", refunds.test_a_pending_refund_waits_for_the_bank),
    ("A refund may be canceled", refunds.test_the_next_refunds_fail_at_once),
    # The sandbox itself
    ("Every operation is there, behind Basic authentication", checks.has_every_operation),
    ("The SDK's empty transfers and statements are accepted", takes(transfers=[], statements=[])),
    ("The SDK stumbles over a dropped connection and an HTML 502", checks.meets_the_sdk_as_the_real_one_does),
    ("Card 4444 pays", checkout.test_a_card_pays_and_the_payer_goes_back),
    ("Card 4477 pays with 3-D Secure", checkout.test_a_card_with_3d_secure_asks_first),
    *(
        (
            f"Card {last4} is declined: {reason}",
            partial(checkout.test_a_declined_card_leaves_the_payment_payable, last4=last4, reason=reason),
        )
        for last4, reason in (
            ("4600", "insufficient_funds"),
            ("4543", "card_expired"),
            ("4592", "3d_secure_failed"),
            ("4501", "issuer_unavailable"),
        )
    ),
)


@pytest.mark.usefixtures("sdk")
@pytest.mark.parametrize("check", [pytest.param(check, id=words) for words, check in FACTS])
def test_the_sandbox_behaves_as_the_real_one(till: Till, receiver: Receiver, check: Check) -> None:
    run(check, till=till, receiver=receiver)
