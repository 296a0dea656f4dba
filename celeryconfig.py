"""Celery's settings. Measured reasons are in docs/adr/0004 and docs/architecture.md."""

import sys as _sys

from krotray_core import settings as _settings
from krotray_core.errors import SettingsError as _SettingsError
from krotray_tasks import broker as _broker

try:
    _s = _settings.get()
except _SettingsError as _error:
    _sys.exit(str(_error))

broker_url = _s.broker_url
broker_connection_retry_on_startup = True
broker_connection_max_retries = None
# Publishing gives up quickly when the broker is away: the caller goes on, and the sweeps find the work.
task_publish_retry = False
broker_transport_options = _broker.transport_options(_s)
broker_heartbeat = _broker.HEARTBEAT_SECONDS  # RabbitMQ's; Redis has none

task_serializer = "json"
accept_content = ["json"]
task_ignore_result = True
timezone = "UTC"

task_acks_late = True
worker_prefetch_multiplier = 1
task_soft_time_limit = 60
task_time_limit = 90
worker_max_tasks_per_child = 10_000
worker_send_task_events = True
task_send_sent_event = False
# On SIGTERM (made SIGQUIT by the Procfile) begun tasks have this long to end; then they go back to the queue. docs/adr/0015.
worker_soft_shutdown_timeout = 10
worker_hijack_root_logger = False
worker_redirect_stdouts = False

task_default_queue = "care"
task_queues = _broker.queues(_s.broker_url)
task_routes = {
    "krotray_tasks.money.*": {"queue": "money"},
    "krotray_tasks.access.converge": {"queue": "access"},
    "krotray_tasks.access.*": {"queue": "care"},
    "krotray_tasks.notices.*": {"queue": "care"},
}

beat_scheduler = "krotray_tasks.beat:LeasedScheduler"


def _every(task: str, seconds: float) -> dict:
    """A tick that nobody picked up by the next one is worthless: it expires a little before."""
    return {"task": f"krotray_tasks.{task}", "schedule": seconds, "options": {"expires": max(seconds * 0.9, 1)}}


beat_schedule = {
    "expire what has run out": _every("access.expire_due", _s.expiry_sweep_seconds),
    "settle open payments": _every("money.sweep_payments", _s.settle_sweep_seconds),
    # Asked more often than it is done: a beat that was away for an hour must not cost a day.
    "compare payments with YooKassa": _every("money.reconcile", min(_s.reconcile_seconds, 1800)),
    "repair dirty seats": _every("access.repair", _s.repair_seconds),
    "seat who waits": _every("access.place", _s.repair_seconds),
    "go on with evacuations": _every("access.evacuate", _s.repair_seconds),
    "warn the admins": _every("access.warn", _s.repair_seconds),
    "watch the servers": _every("access.watch", _s.watch_seconds),
    "audit the servers": _every("access.audit_all", _s.audit_seconds),
    "read how much is used": _every("access.traffic_all", _s.audit_seconds),
    "tell what there is to tell": _every("notices.send_due", _s.notices_seconds),
    "remind of days that run out": _every("notices.remind", _s.reminders_seconds),
}
