"""What docs/deploy.md promises block by block, where no whole machine is needed."""

from __future__ import annotations

import re
import shutil
import subprocess
import textwrap
from pathlib import Path

import pytest
import yaml

from sandbox.service import PROCESSES
from sandbox.world import ROOT
from tests.system.conftest import installed
from tests.system.guide_kit import steps


def test_both_languages_have_the_same_steps() -> None:
    english, russian = steps("deploy.md"), steps("deploy.ru.md")
    assert list(russian) == list(english)
    for name, block in english.items():
        assert _bare(russian[name]) == _bare(block), name


def _bare(block: str) -> str:
    """Without comments."""
    return re.sub(r"\s+# .*", "", block)


@pytest.mark.parametrize(("changed", "said"), [("migrations/versions/new.py", "DATABASE"), ("wsgi.py", "CODE")])
def test_the_way_back_is_told_by_the_migrations_in_between(tmp_path: Path, changed: str, said: str) -> None:
    git = "git -c user.name=guide -c user.email=guide@example.com"
    block = steps("deploy.md")["which-way"]
    for path in ("/opt/krotray", "/var/backups"):
        (tmp_path / path.lstrip("/")).mkdir(parents=True)
        block = block.replace(path, f"{tmp_path}{path}")
    script = f"""cd {tmp_path}/opt/krotray
git init -q
{git} commit -q --allow-empty -m old
git rev-parse HEAD > {tmp_path}/var/backups/krotray-before.commit
mkdir -p $(dirname {changed}); touch {changed}; git add -A; {git} commit -q -m new
"""
    answer = subprocess.run(  # noqa: S603 - the guide's own block
        ["/bin/bash", "-euc", script + block], capture_output=True, text=True, timeout=30, check=True
    )
    words = re.findall(r"^[A-Z]+(?=: )", answer.stdout, re.MULTILINE)
    assert words == [said], answer.stdout


def test_a_backup_that_fails_leaves_the_one_before(tmp_path: Path) -> None:
    block = steps("deploy.md")["backup"].replace("/var/backups", str(tmp_path))
    for name in ("krotray.dump", "krotray.tar"):
        (tmp_path / name).write_text("before")
    answer = subprocess.run(  # noqa: S603 - the guide's own block
        ["/bin/bash", "-c", f"runuser() {{ echo half; return 1; }}\n{block}"],
        capture_output=True,
        timeout=30,
        check=False,
    )
    assert answer.returncode == 1, "cron hears of it"
    assert {(tmp_path / name).read_text() for name in ("krotray.dump", "krotray.tar")} == {"before"}


def test_what_the_guide_installs_can_be_enabled_and_masked(tmp_path: Path) -> None:
    """`systemctl --root` needs no systemd that runs. mask wants to put its link where no file of ours lies."""
    systemctl = installed("systemctl", "systemd")
    copy = "cp -r deploy/systemd/. /usr/local/lib/systemd/system/"
    for page in ("deploy.md", "deploy.ru.md"):
        found = steps(page)
        assert all(copy in found[name] for name in ("start", "restart", "rollback"))
        assert "`systemctl mask krotray-bot`" in (ROOT / "docs" / page).read_text()
    units = tmp_path / "usr/local/lib/systemd/system"
    units.parent.mkdir(parents=True)
    shutil.copytree(ROOT / "deploy" / "systemd", units)
    for words in (["enable", "krotray"], ["mask", "krotray-bot"], ["enable", "krotray-worker@money"]):
        command = [systemctl, f"--root={tmp_path}", *words]
        answer = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)  # noqa: S603
        assert answer.returncode == 0, answer.stderr
    links = tmp_path / "etc/systemd/system"
    assert (links / "krotray-bot.service").readlink() == Path("/dev/null")
    assert (links / "multi-user.target.wants/krotray.service").is_symlink()
    assert (links / "krotray.target.wants/krotray-worker@money.service").is_symlink()


def containers(page: str) -> list[str]:
    """The indented blocks at the end of a page."""
    text = (ROOT / "docs" / page).read_text()
    blocks = re.findall(r"(?:^    .*\n)+", text[text.index("deploy/docker") :], re.MULTILINE)
    return [textwrap.dedent(block) for block in blocks]


def test_the_commands_for_containers_are_ones_that_compose_can_take() -> None:
    """No Docker here: a shell understands them, and every service that they name is there."""
    english = containers("deploy.md")
    assert containers("deploy.ru.md") == english
    text = "".join(english)
    subprocess.run(["/bin/bash", "-n"], input=text, text=True, timeout=10, check=True)
    services = yaml.safe_load((ROOT / "deploy/docker/compose.yaml").read_text())["services"]
    named = set(
        re.findall(r"(?:exec|run --rm) -T ([a-z]+)|--entrypoint flask ([a-z]+)|--no-deps ([a-z]+)$", text, re.MULTILINE)
    )
    assert {name for names in named for name in names if name} == {"web", "postgres", "release"}
    assert services.keys() > {"web", "postgres", "release"}
    (stopped,) = re.findall(r"compose stop (.*)", text)
    assert stopped.split() == list(PROCESSES)
    keygen = next(block for block in english if "keygen" in block)
    assert "--host 172.17.0.1" in keygen, "127.0.0.1 would be the container"
    assert "-v /var/lib/krotray:/var/lib/krotray" in keygen, "the container itself is read-only"
