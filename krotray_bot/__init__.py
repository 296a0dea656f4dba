"""The Telegram bot: words and buttons over the same core verbs as the API. `python -m krotray_bot` runs it.

It polls in one thread and keeps nothing that matters: killed at any moment, it goes on from what Telegram still holds.
"""
