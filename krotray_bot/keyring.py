"""The key and what belongs to it: seeing it, replacing it, connecting with it, and inviting others. From visits to replies."""

from __future__ import annotations

from limits import parse_many
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter
from telebot.types import User as Account

from krotray_bot import key_screens, shop
from krotray_bot.visit import Reply, Visit
from krotray_core import apps, cabinet, clock, invites, ledger, settings, subscriptions
from krotray_tasks import access


class Keyring:
    """Counts how often keys are replaced, by the API's own limit; in memory, for each change is work for the servers."""

    def __init__(self) -> None:
        self._rotations = FixedWindowRateLimiter(MemoryStorage())

    def rotate(self, visit: Visit, mark: str) -> Reply:
        """A new key in place of the one with this mark; once, however often the button is pressed."""
        user = visit.user()
        seen = cabinet.of_user(user.id)
        if seen.subscription is None or not seen.running:
            return Reply(key_screens.nothing_to_rotate(visit.words))
        if key_screens.mark(seen.subscription.uuid) == mark:
            if not self._may_rotate(user.id):
                return Reply(toast=visit.words.rotated_lately)
            with ledger.acting("user"):
                changed = subscriptions.rotate_key(user.telegram_id)
            access.converge_all(changed.servers)
            seen = cabinet.of_user(user.id)
        return Reply(key_screens.key(visit.words, seen, clock.now(), said=visit.words.rotated))

    def _may_rotate(self, user_id: int) -> bool:
        rates = parse_many(settings.get().rotate_rate_limit)
        return all(self._rotations.hit(rate, str(user_id)) for rate in rates)


def show(visit: Visit) -> Reply:
    """My key, in whatever state it is."""
    seen = cabinet.of_user(visit.user().id)
    return Reply(key_screens.key(visit.words, seen, clock.now(), shop.payable(seen)))


def ask_rotate(visit: Visit) -> Reply:
    """Whether the key is really to be replaced."""
    seen = cabinet.of_user(visit.user().id)
    if seen.subscription is None or not seen.running:
        return Reply(key_screens.nothing_to_rotate(visit.words))
    return Reply(key_screens.ask_rotate(visit.words, seen.subscription.uuid))


def connect(visit: Visit) -> Reply:
    """How to connect: on which device?"""
    return Reply(key_screens.connect(visit.words))


def platform(visit: Visit, platform_id: str) -> Reply:
    """How to connect on one kind of device; for one that nobody knows, all of them."""
    seen = cabinet.of_user(visit.user().id)
    link = seen.subscription_url if seen.running else None
    for shown in apps.for_subscription(link, key_screens.TITLE):
        if shown.id == platform_id:
            return Reply(key_screens.platform(visit.words, shown, seen))
    return connect(visit)


def invite(visit: Visit, me: Account | None) -> Reply:
    """A link for friends. `me` is the bot: what it could not note at its login (the database was away) it notes now."""
    user = visit.user()
    link = invites.link(user.id)
    if link is None and me is not None and me.username:
        invites.remember_bot(me.id, me.username)
        link = invites.link(user.id)
    return Reply(key_screens.invitation(visit.words, link, invites.came(user.id)))
