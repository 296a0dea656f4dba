"""Errors to Sentry, where SENTRY_DSN is set. Nothing of the SDK is even imported where it is not.

It hears what is logged as an error and nothing else: no requests, bodies, headers, people or local variables. Sending is the
affair of a thread; when Sentry is away, reports are lost and nobody waits.
"""

from __future__ import annotations

import logging
from typing import Any

from krotray_core import blotting, logs, settings, tracing

SECONDS = 5  # for one report, by the SDK's own thread
AT_EXIT_SECONDS = 1
WAITING = 50  # reports; more of them are dropped


def start() -> None:
    """Begins to report, if there is where to."""
    s = settings.get()
    if s.sentry_dsn is None:
        return
    import sentry_sdk  # noqa: PLC0415 - only where it is wanted
    from sentry_sdk.integrations.atexit import AtexitIntegration  # noqa: PLC0415
    from sentry_sdk.integrations.dedupe import DedupeIntegration  # noqa: PLC0415
    from sentry_sdk.integrations.excepthook import ExcepthookIntegration  # noqa: PLC0415
    from sentry_sdk.integrations.logging import LoggingIntegration  # noqa: PLC0415
    from sentry_sdk.integrations.threading import ThreadingIntegration  # noqa: PLC0415
    from sentry_sdk.transport import HttpTransport  # noqa: PLC0415

    class Transport(HttpTransport):
        TIMEOUT = SECONDS

    process = logs.process_name()

    def before_send(event: Any, _hint: dict[str, Any]) -> Any:
        seen = blotting.everything(event)
        seen["tags"] = (seen.get("tags") or {}) | {"process": process}
        if follows := tracing.current():
            seen["tags"]["request_id"] = follows
        return seen

    sentry_sdk.init(
        dsn=s.sentry_dsn.get_secret_value(),
        environment=s.sentry_environment or "production",
        transport=Transport,
        transport_queue_size=WAITING,
        shutdown_timeout=AT_EXIT_SECONDS,
        default_integrations=False,
        auto_enabling_integrations=False,
        integrations=[
            LoggingIntegration(level=None, event_level=logging.ERROR),
            ExcepthookIntegration(),
            ThreadingIntegration(propagate_scope=False),
            DedupeIntegration(),
            AtexitIntegration(callback=lambda _pending, _timeout: None),
        ],
        send_default_pii=False,
        include_local_variables=False,
        max_request_body_size="never",
        max_breadcrumbs=0,
        auto_session_tracking=False,
        send_client_reports=False,
        before_send=before_send,
    )
