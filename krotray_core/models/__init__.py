"""Tables and their constraints; no I/O. Times are timestamptz (aware, UTC), money is whole kopecks.

The database itself keeps the promises that money and access rest on: see every CHECK and unique index here.
"""

from krotray_core.db import Base
from krotray_core.models.access import Count, Lease, Mark, Seat, Server, Subscription
from krotray_core.models.money import Entry, Payment, Plan, Refund
from krotray_core.models.people import BotAccount, Broadcast, Notice, User
from krotray_core.models.traffic import Traffic, TrafficSeen, TrafficServer

__all__ = [
    "Base",
    "BotAccount",
    "Broadcast",
    "Count",
    "Entry",
    "Lease",
    "Mark",
    "Notice",
    "Payment",
    "Plan",
    "Refund",
    "Seat",
    "Server",
    "Subscription",
    "Traffic",
    "TrafficSeen",
    "TrafficServer",
    "User",
]
