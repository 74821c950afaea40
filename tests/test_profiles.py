from __future__ import annotations

import re
import tomllib
from itertools import pairwise
from pathlib import Path

import pytest

from eagent import config, profiles
from eagent.config import Config
from eagent.errors import ConfigError

CHAIN = ("performance", "balanced", "efficient")


def alone(name: str) -> profiles.Document:
    """What stands in a profile's own file."""
    return tomllib.loads((profiles.directory() / f"{name}.toml").read_text())


@pytest.mark.parametrize("name", profiles.names())
def test_each_profile_is_a_configuration_of_real_keys(name: str) -> None:
    assert config.parse(f'profile = "{name}"', "x") != Config()


def test_each_inherits_from_the_one_that_saves_less_and_changes_only_what_it_says() -> None:
    assert sorted(CHAIN) == profiles.names()
    assert "inherits" not in alone(CHAIN[0])
    for below, name in pairwise(CHAIN):
        assert alone(name)["inherits"] == below
        parent, own = profiles.read(below)["policy"], alone(name)["policy"]
        assert profiles.read(name)["policy"] == {**parent, **own}
        assert all(parent.get(key) != value for key, value in own.items()), "a line that changes nothing"


def test_the_bounds_on_time_rise_along_the_chain() -> None:
    made = [config.parse(f'profile = "{name}"', "x") for name in CHAIN]
    assert made[0].mode_efficiency == made[0].mode_cpu == "observe", "nothing that works gets slower"
    assert made[1].efficiency_slowdown < made[2].efficiency_slowdown
    assert made[1].cpu_slowdown < made[2].cpu_slowdown
    assert all(one.mode_sleep == "observe" for one in made), "to switch hosts off is nobody's default"


@pytest.mark.parametrize("name", CHAIN)
def test_each_number_has_its_reason_above_it(name: str) -> None:
    lines = (profiles.directory() / f"{name}.toml").read_text().splitlines()
    numbers = [place for place, line in enumerate(lines) if re.match(r"\w+ = [\d.]+$", line)]
    assert all(lines[place - 1].startswith("# ") for place in numbers)


def test_keys_of_the_operators_own_win() -> None:
    text = 'profile = "efficient"\n[policy]\nefficiency_slowdown = 0.03\nidle_consent = []\n[host]\nfixed_w = 5\n'
    made = config.parse(text, "x")
    assert (made.efficiency_slowdown, made.idle_consent, made.fixed_w) == (0.03, (), 5)
    assert made.mode_efficiency == "act"


@pytest.mark.parametrize("value", ['"eficient"', '"../eagent"', '""', "3", "['balanced']", "{}"])
def test_an_unknown_profile_is_one_line_that_tells_those_that_there_are(value: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        config.parse(f"profile = {value}", "x.toml")
    told = str(refusal.value)
    assert told.startswith("x.toml: profile = ")
    assert told.endswith("there is no such profile; known are balanced, efficient, performance")
    assert "\n" not in told


def test_an_error_beside_a_profile_is_told_as_ever() -> None:
    with pytest.raises(ConfigError, match=r"^x: \[policy\] has no key 'mode_cpus'; did you mean 'mode_cpu'\?$"):
        config.parse('profile = "balanced"\n[policy]\nmode_cpus = "act"', "x")
    with pytest.raises(ConfigError, match=r"^x: policy: must be a section, \[policy\]$"):
        config.parse('profile = "balanced"\npolicy = 3', "x")


def test_an_installed_eagent_finds_them_beside_its_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shipped = tmp_path / "eagent/shipped/profiles"
    shipped.mkdir(parents=True)
    (shipped / "thrifty.toml").write_text('[policy]\nmode_idle = "act"\n')
    monkeypatch.setattr(profiles, "__file__", str(tmp_path / "eagent/profiles.py"))
    assert profiles.names() == ["thrifty"]
    assert config.parse('profile = "thrifty"', "x").mode_idle == "act"
