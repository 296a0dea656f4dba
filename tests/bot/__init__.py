"""The bot as a process of its own, against the sandbox Telegram and YooKassa, real PostgreSQL, Redis, Xray and worker."""
