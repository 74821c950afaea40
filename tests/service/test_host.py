"""Installing into the tree of an image, with the real tools; the running host is tests/integration/test_systemd.py."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from eagent import profiles
from eagent.cli import main
from eagent.errors import RefusedError
from eagent.service.files import UNITS, own_command
from eagent.service.host import Host
from eagent.service.steps import take

START = "/opt/eagent/bin/eagent"
ACCOUNTS = {"passwd", "group", "shadow", "gshadow", ".pwd.lock"}

tools = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("systemd-sysusers") is None or shutil.which("systemctl") is None,
    reason="it takes root and systemd's tools to change an image",
)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    root = tmp_path / "image"
    for name in ("etc/systemd/system", "etc/sysusers.d", "etc/tmpfiles.d"):
        (root / name).mkdir(parents=True)
    return root


def _names(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.name not in ACCOUNTS}


def _install(root: Path) -> list[str]:
    said: list[str] = []
    take(Host(root).install(START), said.append, dry=False)
    return said


def _uninstall(root: Path, *, purge: bool = False) -> list[str]:
    take(Host(root).uninstall((START,), purge=purge), lambda _: None, dry=False)
    return Host(root).left()


@tools
def test_an_image_starts_this_eagent_at_its_boot_and_has_its_accounts(image: Path) -> None:
    _install(image)
    unit = (image / "etc/systemd/system/eagent-warden.service").read_text()
    assert f"ExecStart={START} warden\n" in unit
    assert f"ExecStopPost={START} restore --offline\n" in unit
    assert "/usr/bin/env" not in unit
    assert (image / "etc/systemd/system/multi-user.target.wants/eagent.target").is_symlink()
    groups = [line.split(":")[0] for line in (image / "etc/group").read_text().splitlines()]
    assert {"eagent", "eagent-operators", "eagent-observers"} <= set(groups)


@tools
def test_it_is_installed_once_and_leaves_nothing_when_it_is_taken_away(image: Path) -> None:
    before = _names(image)
    _install(image)
    assert not [line for line in _install(image) if line.startswith("write")]
    assert _uninstall(image) == []
    assert _names(image) == before
    assert _uninstall(image) == []


@tools
def test_what_the_operator_wrote_and_records_stay_and_are_told_unless_purged(image: Path) -> None:
    before = _names(image)
    _install(image)
    config, record = image / "etc/eagent/eagent.toml", image / "var/lib/eagent/power.jsonl"
    config.write_text("[host]\nfixed_w = 2800.0\n")
    record.parent.mkdir(parents=True)
    record.write_text("{}\n")
    _install(image)
    assert "2800" in config.read_text()
    assert _uninstall(image) == [f"{config}: you have changed it", f"{record}: a record"]
    assert config.exists()
    assert _uninstall(image, purge=True) == []
    assert _names(image) - {"var", "var/lib"} == before


def test_what_a_package_has_installed_is_the_packages(image: Path) -> None:
    (image / "usr/lib/systemd/system").mkdir(parents=True)
    (image / "usr/lib/systemd/system" / UNITS[0]).write_text("")
    with pytest.raises(RefusedError, match="eagent's package has installed the service"):
        list(Host(image).install(START))
    with pytest.raises(RefusedError, match="remove the package"):
        list(Host(image).uninstall((START,), purge=False))


def test_a_dry_run_only_says_what_would_be_done(
    image: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = _names(image)
    monkeypatch.setattr("eagent.service.files.own_command", lambda: START)  # this one may be in a home
    assert main(["service", "install", "--dry-run", f"--root={image}"]) == 0
    said = capsys.readouterr().out
    assert f"write {image}/etc/systemd/system/eagent-warden.service\n" in said
    assert f"run systemd-sysusers --root={image} eagent.conf\n" in said
    assert said.endswith("Nothing was done: this is what would be.\n")
    assert _names(image) == before


def test_who_may_be_changed_by_others_is_not_made_roots_service() -> None:
    with pytest.raises(RefusedError, match="/dev/null: somebody else than root may change it"):
        own_command("/dev/null", code=Path("/usr"), base="/usr")


@pytest.mark.parametrize("place", ["/home/me/venv/bin/python", "/root/.pyenv/bin/python", "/tmp/v/bin/python"])
def test_what_services_can_t_see_is_refused_with_what_would_be_right(place: str) -> None:
    with pytest.raises(
        RefusedError, match="services see no homes and have a /tmp of their own: install eagent elsewhere"
    ):
        own_command(place, code=Path("/usr"), base="/usr")


def test_what_a_unit_could_not_name_is_refused() -> None:
    with pytest.raises(RefusedError, match="can't stand in a unit"):
        own_command("/opt/a%b/bin/python", code=Path("/usr"), base="/usr")


def test_what_is_shipped_is_taken_along_into_a_wheel(tmp_path: Path) -> None:
    checkout = Path(__file__).parents[2]
    build = [sys.executable, "setup.py", "--quiet", "build_py", "--build-lib", str(tmp_path)]
    subprocess.run(build, cwd=checkout, check=True, capture_output=True, timeout=120)
    names = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    wanted = ["eagent.toml", "systemd/sysusers.d/eagent.conf", *(f"systemd/{unit}" for unit in UNITS)]
    wanted += [f"profiles/{profile}.toml" for profile in profiles.names()]
    assert {f"eagent/shipped/{name}" for name in wanted} <= names
