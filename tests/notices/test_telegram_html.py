"""What may be written in a message: what we let pass Telegram takes, and shows what we counted."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from krotray_core import telegram_html
from krotray_core.errors import Invalid
from sandbox.telegram.entities import parse_html
from sandbox.telegram.errors import ApiError


@pytest.mark.parametrize(
    ("html", "plain"),
    [
        ("текст", "текст"),
        ("<b>Новый сервер</b> в Амстердаме &amp; рядом", "Новый сервер в Амстердаме & рядом"),
        ('<a href="https://t.me/krot?a=1&amp;b=2"><i>сюда</i></a>', "сюда"),
        ("<blockquote>a\n<u>b</u></blockquote><pre>c</pre>", "a\nbc"),
        ("5 > 3 & 2 &lt; 4", "5 > 3 & 2 < 4"),
        ("🐾" * 2048, "🐾" * 2048),
        ("&lt;" * 4096, "<" * 4096),
    ],
)
def test_what_is_allowed(html: str, plain: str) -> None:
    assert telegram_html.check(html) == plain == parse_html(html)[0]


@pytest.mark.parametrize(
    ("html", "why"),
    [
        ("", "is empty"),
        (" \n<b> </b>", "is empty"),
        ("я" * 4097, "too long: 4097 of at most 4096"),
        ("🐾" * 2049, "too long: 4098"),
        ("a < b", "line 1: a < that begins no tag"),
        ("a\nb\n<h1>c</h1>", "line 3: <h1> is not allowed"),
        ("<script>x</script>", "<script> is not allowed"),
        ("<b>x", "<b> is not closed"),
        ("x</b>", "closes nothing"),
        ("<b><i>x</b></i>", "in the wrong order"),
        ("<b onclick=x>x</b>", "only <a href"),
        ("<a>x</a>", "only <a href"),
        ('<a href="javascript:x">x</a>', "only <a href"),
        ('<a href="https://a"><a href="https://b">x</a></a>', "cannot stand inside"),
        ("<code><b>x</b></code>", "cannot stand inside"),
        ("&nbsp;", "&nbsp; is not known"),
        ("x\0", "control characters"),
        ("x\ud800", "control characters"),
        ("<b>x</b>" * 101, "more than 100"),
        ("<B>x</B>", "line 1"),
    ],
)
def test_what_is_not(html: str, why: str) -> None:
    with pytest.raises(Invalid, match=why.replace("(", r"\(")):
        telegram_html.check(html)


@given(
    st.lists(
        st.sampled_from(["<b>", "</b>", "<i>", "</i>", "<code>", "</code>", "<", ">", "&", "&amp;", "&x;", "я", "\n"])
        | st.sampled_from(['<a href="https://x.y/?a=1">', "</a>", '<a href="x">', "<blockquote>", "</blockquote>"])
        | st.text(max_size=5),
        max_size=12,
    )
)
def test_telegram_takes_all_that_we_let_pass_and_shows_what_we_counted(parts: list[str]) -> None:
    html = "".join(parts)
    try:
        plain = telegram_html.check(html)
    except Invalid:
        return
    try:
        assert parse_html(html)[0] == plain
    except ApiError as error:
        pytest.fail(f"{html!r}: {error}")
