"""The business of KrotRay: who paid, who may connect, and making it so. Knows neither Flask nor Celery nor Telegram bots."""
