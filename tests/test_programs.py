"""Which program is which, by a User-Agent that may be anything; each sing-box gets the words of its own version."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence

import pytest
import yaml
from flask.testing import FlaskClient
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from krotray_api import programs
from krotray_core.formats import singbox
from krotray_core.models import Server, User
from tests import format_schemas, sing_box_schemas
from tests.conftest import converge_all
from tests.sub_kit import granted
from tests.test_formats import REALITY, WS

CLASH = """
clash/1.18.0|Clash/1.9.0|clash.meta|clash.meta/1.19.3|Clash.Meta/v1.16|clash-meta/1.0|ClashMetaForAndroid/2.11.5.Meta
ClashForAndroid/2.5.12|ClashforWindows/0.20.39|ClashX/1.118|ClashX Meta|ClashX Meta 1.4
ClashX Meta/v1.4.24 (com.metacubex.ClashX.meta; build:622; macOS 26.0.0) Alamofire/5.10.2
clash-verge|clash-verge/v2|clash-verge/v2.2.3|Clash-Verge/2|clash-verge-rev/2.0|ClashMi/1.0.4|OpenClash/0.46
FlClash|FlClash/v0.8.85 clash-verge Platform/android|FlClash X/v0.4.2 Platform/windows|FlClashX/0.3
Clash Nyanpasu|Clash Nyanpasu/1.6|clash-nyanpasu/v1.6.1|Clash Nyanpasu v1.6.1|koala-clash|koala-clash/1.4.1|Koala Clash/1.0
mihomo|mihomo/1.19.14|mihomo 1.19|Mihomo/v1|mihomo.party/v1.5 (clash.meta)|mihomo-party/1.8.4|Mihomo Party/1.7
sparkle/1.2|sparkle/1.6.9 (clash.meta)|Stash/3.1 iOS|Stash|Stash/2.7.2 Clash/1.9.0|prizrak-box/1.0|Flowvy/1.0|murge/1.0
"""
SING_BOX = {
    "SFA/1.12.1 (Build 580; sing-box 1.12.1; language ru_RU)": (1, 12),
    "SFI/1.11.4 (Build 1; sing-box 1.11.4; language en)": (1, 11),
    "SFM/1.8.0": (1, 8),
    "SFT/1.13.0-alpha.3 (Build 2; sing-box 1.13.0-alpha.3; language en)": (1, 13),
    "sing-box 1.10.7": (1, 10),
    "sing-box/1.9.3": (1, 9),
    "Sing-Box v1.11.0": (1, 11),
    "GUI.for.SingBox/1.9.8": None,
    "singbox/1.12": (1, 12),
    "Karing/1.2.9.1102 SFA/1.12 ClashMeta": (1, 12),
    "karing/1.0.30.400": None,
    "SFA": None,
    "SFA/x.y": None,
    "sing-box": None,
    "sing-box/99999.1": None,
}
LINKS = """
Happ/3.4.1|v2rayNG/1.10.8|v2rayN/7.15|v2RayTun/1.9|Streisand/1.6 CFNetwork/3826|Shadowrocket/2.2.60|Throne/1.0.5|V2Box/1.2
NekoBox/Android/1.3.8 (Prefer ClashMeta Format)|FoXray/1|INCY/3.8.8 (iOS)|Mozilla/5.0 (X11; Linux x86_64) clash-verge|curl/8.5.0
sfax/1|sfi2/1|mihomos/1|stasher/1|sparkles/1|clash2sing/1|/clash|(clash)|not sing-box/1.12
"""
DOUBTFUL = [
    "Hiddify/2.0",
    "HiddifyNext/2.5.7 (android) like ClashMeta v2ray sing-box",
    "Java/21.0.1",
    "okhttp/5.0",
    "Dalvik/2.1",
]


def listed(text: str) -> list[str]:
    """The User-Agents of a list."""
    return text.strip().replace("\n", "|").split("|")


@pytest.mark.parametrize("agent", listed(CLASH))
def test_mihomos_kin_reads_yaml(agent: str) -> None:
    assert programs.form(agent) == "clash"


@pytest.mark.parametrize(("agent", "version"), SING_BOX.items())
def test_sing_box_is_known_with_its_version(agent: str, version: tuple[int, int] | None) -> None:
    assert (programs.form(agent), programs.sing_box_version(agent)) == ("sing-box", version)


@pytest.mark.parametrize("agent", listed(LINKS))
def test_nobody_else_is_taken_for_one_of_them(agent: str) -> None:
    assert programs.form(agent) is None


@pytest.mark.parametrize("agent", DOUBTFUL)
def test_those_in_doubt_read_links_whatever_they_resemble(agent: str) -> None:
    assert programs.form(agent) == "base64"


hostile = st.one_of(
    st.text(max_size=400),
    st.lists(
        st.sampled_from(["clash", " ", "/", "v1", "1.", "sing-box", "sfa/", "(", ".", "-", "\0", "\n", "１"]),
        max_size=300,
    ).map("".join),
)


@settings(deadline=None, max_examples=200)
@given(hostile)
def test_no_user_agent_breaks_the_table(agent: str) -> None:
    assert programs.form(agent) in (None, "clash", "sing-box", "base64")
    version = programs.sing_box_version(agent)
    assert version is None or all(0 <= part <= 999 for part in version)


@pytest.mark.parametrize("piece", ["a", " ", "clash", "clash ", " v1", "1.1 ", "sing-box ", "sfa/1", "\0", "(", "ё"])
def test_a_huge_user_agent_costs_nothing(piece: str) -> None:
    agent = piece * (2_000_000 // len(piece))
    began = time.process_time()
    programs.form(agent)
    programs.sing_box_version(agent)
    assert time.process_time() - began < 0.1


# --- what they get ---

VERSIONS = [(1, 8), (1, 9), (1, 10), (1, 11), (1, 12), (1, 13), (1, 14), (2, 0)]
LOOKALIKES = (REALITY, WS)


@pytest.mark.parametrize("version", VERSIONS)
def test_each_sing_box_gets_words_that_it_knows(version: tuple[int, int]) -> None:
    made = sing_box_schemas.read(json.loads(singbox.emit(LOOKALIKES, version=version)), version)
    ours: Sequence[object] = [one for one in made.outbounds if isinstance(one, format_schemas.VlessOutbound)]
    newest = format_schemas.sing_box(json.loads(singbox.emit(LOOKALIKES))).outbounds
    assert ours == [one for one in newest if isinstance(one, format_schemas.VlessOutbound)], "servers have one form"


def test_no_form_is_that_of_another_version() -> None:
    """Otherwise the readers of these tests would prove nothing."""
    for group in ((1, 9), (1, 10), (1, 11), (1, 12)):
        made = json.loads(singbox.emit(LOOKALIKES, version=group))
        for other in {(1, 9), (1, 10), (1, 11), (1, 12)} - {group}:
            with pytest.raises(ValidationError):
                sing_box_schemas.read(made, other)


def test_names_cannot_be_those_of_our_own_outbounds() -> None:
    made = json.loads(singbox.emit([WS, WS.__class__(WS.key, "h", 1, remark="dns-out")], version=(1, 9)))
    assert sing_box_schemas.read(made, (1, 9))


@pytest.mark.parametrize("asked", ["", "?format=sing-box"])
def test_the_link_answers_by_version(client: FlaskClient, fleet: list[Server], user: User, asked: str) -> None:
    assert fleet
    path = granted(user) + asked
    converge_all()
    for agent, version in SING_BOX.items():
        answer = client.get(path, headers={"User-Agent": agent})
        assert answer.mimetype == "application/json"
        sing_box_schemas.read(answer.json, version or singbox.NEWEST)


def test_a_format_asked_for_overrides_the_table(client: FlaskClient, fleet: list[Server], user: User) -> None:
    assert fleet
    path = granted(user)
    converge_all()
    clash = client.get(f"{path}?format=clash", headers={"User-Agent": "SFA/1.11.1"})
    format_schemas.clash(yaml.safe_load(clash.text))
    assert client.get(f"{path}?format=links", headers={"User-Agent": "mihomo.party/v1.5"}).text.startswith("vless://")
    for agent in ("\x7f" * 300, "x" * 5000, "clash" * 1000, "é" * 300, " / / "):
        assert client.get(path, headers={"User-Agent": agent}).status_code == 200
