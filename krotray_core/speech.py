"""Which language somebody reads, and numbers and dates as people say them. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

# Most of our users live by Moscow's clock, which knows no summer time; Telegram does not tell anybody's own zone.
MOSCOW = timezone(timedelta(hours=3), "MSK")
# Languages whose speakers read Russian more readily than English.
_READ_RUSSIAN = frozenset({"ru", "uk", "be", "kk", "ky", "uz", "tg", "tt", "ba", "hy", "az"})
# A date further away than this needs its year.
_FAR = timedelta(days=300)

_MONTHS_RU = (
    *("января", "февраля", "марта", "апреля", "мая", "июня"),
    *("июля", "августа", "сентября", "октября", "ноября", "декабря"),
)
_MONTHS_EN = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)


def reads_russian(language_code: str | None) -> bool:
    """Whether a Telegram user is spoken to in Russian: also where the language is not known."""
    language = (language_code or "ru").lower().partition("-")[0]
    return language in _READ_RUSSIAN


def plural_ru(number: int, one: str, few: str, many: str) -> str:
    """The form of a Russian noun after a number: 1 день, 2 дня, 5 дней, 11 дней, 21 день."""
    tens, ones = number % 100, number % 10
    if ones == 1 and tens != 11:
        return one
    return few if 2 <= ones <= 4 and not 12 <= tens <= 14 else many


def days_left_ru(days: int) -> str:
    """ "остался 1 день", "осталось 12 дней"."""
    verb = plural_ru(days, "остался", "осталось", "осталось")
    return f"{verb} {days} {plural_ru(days, 'день', 'дня', 'дней')}"


def days_left_en(days: int) -> str:
    """ "1 day left", "12 days left"."""
    return f"{days} {'day' if days == 1 else 'days'} left"


def months_ru(months: int) -> str:
    """ "1 месяц", "3 месяца"."""
    return f"{months} {plural_ru(months, 'месяц', 'месяца', 'месяцев')}"


def months_en(months: int) -> str:
    """ "1 month", "3 months"."""
    return f"{months} {'month' if months == 1 else 'months'}"


def date_ru(moment: datetime, now: datetime) -> str:
    """ "23 декабря", with the year when that is not plain. Takes aware times, shows Moscow's date."""
    day = moment.astimezone(MOSCOW)
    return f"{day.day} {_MONTHS_RU[day.month - 1]}" + (f" {day.year} года" if abs(moment - now) > _FAR else "")


def date_en(moment: datetime, now: datetime) -> str:
    """ "23 December", with the year when that is not plain. Takes aware times, shows Moscow's date."""
    day = moment.astimezone(MOSCOW)
    return f"{day.day} {_MONTHS_EN[day.month - 1]}" + (f" {day.year}" if abs(moment - now) > _FAR else "")


def volume_ru(count: int) -> str:
    """ "12,4 ГБ": bytes, 0 or more, in millions, billions or trillions of them."""
    return _volume(count, ("МБ", "ГБ", "ТБ")).replace(".", ",")


def volume_en(count: int) -> str:
    """ "12.4 GB": bytes, 0 or more, in millions, billions or trillions of them."""
    return _volume(count, ("MB", "GB", "TB"))


def _volume(count: int, units: tuple[str, ...]) -> str:
    step, tenths = 0, (count + 50_000) // 10**5
    while tenths >= 10_000 and step < len(units) - 1:  # as it will be rounded
        step += 1
        tenths = (count + 10 ** (3 * step + 5) // 2) // 10 ** (3 * step + 5)
    whole, tenth = divmod(tenths, 10)
    return f"{whole}.{tenth} {units[step]}" if tenth else f"{whole} {units[step]}"
