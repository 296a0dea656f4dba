"""Invitations: a link of one's own into the bot, and who came by it."""

from __future__ import annotations

import re
import secrets
from datetime import timedelta

from sqlalchemy import exists, func, select, update
from sqlalchemy.dialects.postgresql import insert

from krotray_core import clock
from krotray_core.db import transaction
from krotray_core.models import BotAccount, Subscription, User

PREFIX = "ref_"
_CODE = re.compile(r"[A-Za-z0-9_-]{8,32}", re.ASCII)
# Somebody whom we have known for longer was not brought by this link.
NEW_FOR = timedelta(days=1)


def remember_bot(bot_id: int, username: str) -> None:
    """Keeps the bot's own name, without which there are no links to it."""
    known = {"username": username, "logged_in_at": clock.now()}
    statement = insert(BotAccount).values(id=bot_id, **known)
    with transaction() as session:
        session.execute(statement.on_conflict_do_update(index_elements=[BotAccount.id], set_=known))


def link(user_id: int) -> str | None:
    """This user's invitation, the same one each time; None as long as the bot has never logged in."""
    with transaction() as session:
        username = session.scalar(select(BotAccount.username).order_by(BotAccount.logged_in_at.desc()).limit(1))
        if username is None:
            return None
        made = func.coalesce(User.invite_code, secrets.token_urlsafe(6))
        statement = update(User).where(User.id == user_id).values(invite_code=made)
        code = session.scalars(statement.returning(User.invite_code)).one()
    return f"https://t.me/{username}?start={PREFIX}{code}"


def accept(user_id: int, payload: str) -> bool:
    """Notes who has brought this user, if `payload` (what stood behind /start) says so. Returns whether it counted.

    Counts once, and only for somebody new who has bought nothing yet; nobody brings themselves.
    """
    code = payload.removeprefix(PREFIX)
    if not payload.startswith(PREFIX) or not _CODE.fullmatch(code):
        return False
    inviter = select(User.id).where(User.invite_code == code).scalar_subquery()
    with transaction() as session:
        counted = session.scalar(
            update(User)
            .where(
                User.id == user_id,
                User.invited_by_id.is_(None),
                User.created_at > clock.now() - NEW_FOR,
                # Who invites was here first: nobody can invite themselves, or each other.
                inviter < User.id,
                ~exists().where(Subscription.user_id == User.id),
            )
            .values(invited_by_id=inviter)
            .returning(User.id)
            .execution_options(synchronize_session=False)
        )
    return counted is not None


def came(user_id: int) -> int:
    """How many people this user has brought."""
    with transaction() as session:
        return session.scalar(select(func.count()).where(User.invited_by_id == user_id)) or 0
