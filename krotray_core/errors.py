"""The KrotRayError family. Each class has a stable `code` that clients may rely on; how it looks over HTTP is the API's affair."""

from __future__ import annotations


class KrotRayError(Exception):
    """Anything that the service itself reports; `str()` of it is fit for a log and holds no secret."""

    code = "internal_error"


class Retryable(KrotRayError):
    """Bad weather outside (a timeout, a refused connection, a 5xx): the same call may well succeed later."""

    code = "temporarily_unavailable"


class SettingsError(KrotRayError):
    """The environment does not describe a service that could run."""

    code = "settings_invalid"


class NotFound(KrotRayError):
    """There is no such thing, or it belongs to somebody else."""

    code = "not_found"


class Invalid(KrotRayError):
    """The request contradicts the rules of the business."""

    code = "invalid"


class UnknownPlan(Invalid):
    """No plan with this code is on sale."""

    code = "unknown_tariff"


class UnknownMethod(Invalid):
    """Not a way of paying that we offer."""

    code = "unknown_method"


class EmailRequired(Invalid):
    """The shop sends receipts, and we do not know where to."""

    code = "email_required"


class EmailInvalid(Invalid):
    """Not an e-mail address."""

    code = "email_invalid"


class Conflict(KrotRayError):
    """The present state does not allow it."""

    code = "conflict"


class TooManyOpenPayments(Conflict):
    """This person has opened several payments and paid none of them."""

    code = "too_many_open_payments"


class InitDataMissing(KrotRayError):
    """The Mini App's call carries no initData."""

    code = "init_data_missing"


class InitDataInvalid(KrotRayError):
    """The initData was not signed by our bot, or is not initData at all."""

    code = "init_data_invalid"


class InitDataExpired(KrotRayError):
    """Genuine initData, but too old: the Mini App must be opened again."""

    code = "init_data_expired"


class GatewayError(KrotRayError):
    """YooKassa said no, for good: repeating the same request cannot help."""

    code = "gateway_rejected"


class GatewayNotFound(GatewayError):
    """YooKassa knows no payment or refund with this id."""

    code = "gateway_not_found"


class GatewayDenied(GatewayError):
    """YooKassa does not accept our shop id and key, or does not allow the shop to do this."""

    code = "gateway_denied"


class GatewayUnavailable(Retryable):
    """YooKassa gave no usable answer. Whether it did what was asked is unknown."""

    code = "gateway_unavailable"


class TelegramRefused(KrotRayError):
    """Telegram will never deliver this message: the person blocked the bot, or there is no such chat."""

    code = "telegram_refused"


class TelegramBlocked(TelegramRefused):
    """Telegram delivers nothing of ours to this person: they blocked the bot, or never let it in."""

    code = "telegram_blocked"


class TelegramMalformed(TelegramRefused):
    """Telegram takes this message from nobody: its words or its buttons are at fault, not the person it is for."""

    code = "telegram_malformed"


class TelegramUnavailable(Retryable):
    """Telegram did not take the message this time.

    `retry_after` are the seconds that it asked everybody to wait, if it did. `unsure`: it may have taken it all the same.
    """

    code = "telegram_unavailable"

    def __init__(self, said: str, retry_after: float | None = None, *, unsure: bool = False) -> None:
        super().__init__(said)
        self.retry_after = retry_after
        self.unsure = unsure


class TelegramDenied(TelegramUnavailable):
    """Telegram does not know our bot: its token is wrong. No message is at fault, and none goes out until that is mended."""

    code = "telegram_denied"


class GatewayUnreadable(GatewayUnavailable):
    """YooKassa's list was read to its end, but some of its items make no sense."""

    code = "gateway_unreadable"


class XrayError(KrotRayError):
    """An Xray server refused an operation, for good."""

    code = "xray_rejected"


class XrayUnavailable(Retryable):
    """An Xray server gave no answer in time."""

    code = "xray_unavailable"


class XrayUserExists(XrayError):
    """The inbound already holds a user with this e-mail (perhaps with another UUID)."""

    code = "xray_user_exists"


class XrayUserNotFound(XrayError):
    """The inbound holds no user with this e-mail."""

    code = "xray_user_not_found"


class XrayInboundMissing(XrayError):
    """The server's configuration has no inbound with this tag."""

    code = "xray_inbound_missing"


class XrayServiceMissing(XrayError):
    """The server's configuration does not offer this gRPC service."""

    code = "xray_service_missing"
