"""A local stand-in for YooKassa: its API v3 over HTTP, a checkout page, notifications and a control API.

It exists for the demo and for tests, where the real SDK is the client. It knows nothing of the shop that uses it.
"""

from .app import create_app
from .config import Config

__all__ = ["Config", "create_app"]
