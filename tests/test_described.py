"""The API against its own description: whatever is sent, well formed or not, is answered as /api/openapi.json says."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import schemathesis
from flask import Flask
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis.errors import Unsatisfiable
from schemathesis import Case, GenerationMode
from schemathesis.config import SchemathesisConfig
from schemathesis.schemas import BaseSchema

from krotray_core import billing, cabinet, ledger_audit, settings, users
from sandbox.person import Person
from sandbox.world import World
from tests.conftest import add_server, at_checkout, buy, converge_all, empty_tables
from tests.http_kit import HEADER

# A call that the description allows may still be refused for what only the service knows: a tariff that is not sold, an
# event of YooKassa's without an id, a payment of somebody else's.
CONFIGURATION = {
    "checks": {
        "positive_data_acceptance": {"expected-statuses": ["200", "201", "400", "403", "404", "422"]},
        "negative_data_rejection": {"expected-statuses": ["400", "401", "403", "404", "405", "413", "422"]},
    }
}
LIMITS = ("CREATE_RATE_LIMIT", "CHECK_RATE_LIMIT", "ROTATE_RATE_LIMIT", "WEBHOOK_RATE_LIMIT", "WEBHOOK_BURST_LIMIT")


@pytest.fixture(scope="module")
def buyer(world: World) -> Iterator[Person]:
    """Somebody with a key that works and a bill that waits; nothing limits how often they may call."""
    with pytest.MonkeyPatch.context() as patch:
        for name in LIMITS:
            patch.setenv(name, "10000/second")
        settings.get.cache_clear()
        empty_tables()
        for node in world.nodes:
            add_server(node)
        person = Person(world)
        user = users.greet(users.Person(person.telegram_id, first_name="Анна"))
        payment = buy(user)
        at_checkout(world, payment)
        billing.settle(payment.id)
        converge_all()
        buy(user, "3m")
        yield person
    settings.get.cache_clear()
    assert ledger_audit.verify().faults == ()


@pytest.fixture(scope="module")
def described(app: Flask, buyer: Person) -> BaseSchema:
    """The description, as the application serves it."""
    assert buyer
    return schemathesis.openapi.from_wsgi("/api/openapi.json", app, config=SchemathesisConfig.from_dict(CONFIGURATION))


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["as described", "otherwise"])
def test_every_call_keeps_its_word(described: BaseSchema, buyer: Person, mode: GenerationMode) -> None:
    tried = set()
    for found in described.get_all_operations():
        operation = found.ok()

        @given(case=operation.as_strategy(generation_mode=mode))
        @hypothesis_settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
        def keeps_its_word(case: Case) -> None:
            login = {HEADER: buyer.init_data()} if case.operation.definition.raw.get("security") else None
            if mode is GenerationMode.POSITIVE:
                _use_what_is_there(case, buyer)
            case.call_and_validate(headers=login)
            tried.add(case.operation.label)

        try:
            keeps_its_word()
        except Unsatisfiable:  # nothing to get wrong in a call without parameters
            assert mode is GenerationMode.NEGATIVE
            assert not operation.definition.raw.get("parameters")
            assert not operation.definition.raw.get("requestBody")
    assert "POST /api/payments/create" in tried
    assert mode is GenerationMode.NEGATIVE or len(tried) == described.statistic.operations.total


def _use_what_is_there(case: Case, buyer: Person) -> None:
    """Every second address names something that exists: made-up ones get no further than 404."""
    user = users.find(buyer.telegram_id)
    if case.path_parameters.get("payment_id", "").endswith(tuple("02468ace")):
        case.path_parameters["payment_id"] = str(billing.latest(user_id=user.id, limit=1)[0].id)
    if len(case.path_parameters.get("token", "x")) % 2 == 0:
        url = cabinet.of_user(user.id).subscription_url
        assert url
        case.path_parameters["token"] = url.rpartition("/")[2]
