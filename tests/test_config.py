import contextlib
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eagent import config, profiles
from eagent.aim import Aim
from eagent.config import Config
from eagent.errors import ConfigError

SHIPPED = Path(__file__).parent.parent / "config" / "eagent.toml"


def uncommented(text: str) -> str:
    """The shipped file with every option switched on."""
    return "\n".join(
        line.removeprefix("# ") if line.startswith("# ") and " = " in line else line for line in text.splitlines()
    )


def test_the_shipped_file_changes_nothing() -> None:
    assert config.load(SHIPPED) == Config()


def test_the_shipped_file_explains_every_option_and_no_other() -> None:
    document = tomllib.loads(uncommented(SHIPPED.read_text()))
    assert document.pop("profile") in profiles.names()
    assert {section: set(table) for section, table in document.items()} == {
        section: set(options) for section, options in config.OPTIONS.items()
    }


def test_the_shipped_file_states_the_real_defaults() -> None:
    shipped = config.parse(uncommented(SHIPPED.read_text()), "shipped")
    assert (shipped.library, shipped.sample_period_ms) == (Config().library, Config().sample_period_ms)
    assert (shipped.decide_period_ms, shipped.lease_ttl_s) == (Config().decide_period_ms, Config().lease_ttl_s)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[host]\nfixed = 3", "x.toml: [host] has no key 'fixed'; did you mean 'fixed_w'?"),
        ("[hosts]\nfixed_w = 3", "x.toml: unknown section [hosts]; did you mean 'host'?"),
        ("fixed_w = 3", "[fixed_w]; known are host, policy, progress, access, api, mesh, driver, agent"),
        ("[host]\nfixed_w = '3'", "x.toml: [host] fixed_w = '3': must be a number from 0 to 1e+06 watts"),
        ("[host]\nfixed_w = nan", "x.toml: [host] fixed_w = nan: must be a number from 0 to 1e+06 watts"),
        ("[host]\nfixed_w = true", "x.toml: [host] fixed_w = True: must be a number from 0 to 1e+06 watts"),
        ("[driver]\nsample_period_ms = 1", "sample_period_ms = 1: must be a whole number from 5 to 1000 milliseconds"),
        ("[host]\ngangs = [['gpu0', 'gpu1'], ['gpu1', 'gpu2']]", "'gpu1' stands in it twice"),
        ("[host]\ngangs = [['gpu0']]", "must be a list of lists of at least two devices"),
        ("[policy]\ngoals = [{slowdwn = 0.1}]", "goals, table 1: unknown key 'slowdwn'; did you mean 'slowdown'?"),
        ("[[policy.goals]]\nslowdown = 0.6", "goals, table 1: slowdown = 0.6: must be a number from 0 to 0.5"),
        ("[[policy.goals]]\ngpus = ['gpu0']", "goals, table 1: needs one of slowdown, first_token_p99_s"),
        ("[[policy.goals]]\njob = ''\nslowdown = 0.1", "must be a pattern of names of jobs"),
        ("[policy]\ngoals = [{gpus = 'gpu0', slowdown = 0.1}]", "must be a list of GPUs"),
        ("[policy]\ngoals = 3", "must be at most 64 tables [[policy.goals]]"),
        ("[host]\nramp_w_per_s = 0.5", "ramp_w_per_s = 0.5: must be 0 (no ramp) or at least 1 watt a second"),
        ("[host]\nramp_w_per_s = -1", "ramp_w_per_s = -1: must be a number from 0 to 1e+06 watts a second"),
        ("[agent]\ndecide_period_ms = 1500", "must be at most a third of lease_ttl_s (3 s)"),
        ("[api]\nlisten = '9400'", "[api] listen = '9400': must be ADDRESS:PORT, such as \"127.0.0.1:9400\""),
        ("[api]\nlisten = 'localhost:9400'", "must be ADDRESS:PORT"),
        ("[api]\nlisten = '127.0.0.1:0'", "must be ADDRESS:PORT"),
        ("[api]\nlisten = '::1:9400'", "must be ADDRESS:PORT"),
        ("[api]\nlisten = '0.0.0.0:9400'", "say listen_beyond = true if that is meant, or listen at 127.0.0.1"),
        ("[api]\nlisten = '[::]:9400'", "say listen_beyond = true"),
        ("[api]\nlisten_beyond = 1", "[api] listen_beyond = 1: must be true or false"),
        ("host = 3", "x.toml: host: must be a section, [host]"),
        ("[host", "x.toml: not TOML:"),
    ],
)
def test_what_is_not_known_is_refused_with_one_line_that_says_what_would_be_right(text: str, line: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        config.parse(text, "x.toml")
    assert line in str(refusal.value)
    assert "\n" not in str(refusal.value)


@given(st.text(max_size=200))
def test_any_text_is_a_configuration_or_a_config_error(text: str) -> None:
    with contextlib.suppress(ConfigError):
        assert isinstance(config.parse(text, "x"), Config)


def test_a_missing_file_that_was_named_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.toml: No such file"):
        config.load(tmp_path / "nowhere.toml")


@pytest.mark.parametrize("text", ["a = " + "[" * 100_000, "a = " + "9" * 5000])
def test_what_the_parser_gives_up_on_is_a_config_error(text: str) -> None:
    with pytest.raises(ConfigError, match="x: not TOML"):
        config.parse(text, "x")


@pytest.mark.parametrize(
    "text",
    [
        '["\\u001b"]',
        '[host]\n"\\n" = 1',
        "[host]\nfixed_w = 0x" + "f" * 6000,  # Python converts it to no decimal text
        "[host]\nforeign = '" + "x" * 9000 + "'",
        '[host]\ngangs = [["\\u001b", "\\u001b"]]',
    ],
)
def test_an_error_is_one_short_line_whatever_is_in_the_file(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config.parse(text, "x.toml")
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 400


MESH = """[mesh]
domains = ["rack7", "site"]
site_key = "0000000000000000000000000000000000000000000000000000000000000000"
reserve_w = 700
nameplate_w = 1400
"""


def test_a_host_in_the_mesh_needs_four_options_and_has_the_shipped_defaults_for_the_rest() -> None:
    found = config.parse(MESH, "x").mesh
    assert found == config.Mesh(("rack7", "site"), "00" * 32, 700.0, 1400.0)
    shipped = config.parse(uncommented(SHIPPED.read_text()), "shipped").mesh
    assert shipped is not None
    assert (shipped.roster, shipped.key_file, shipped.tables) == (found.roster, found.key_file, found.tables)
    assert (shipped.psu_efficiency, shipped.headroom_w, shipped.band_w, shipped.lot_w) == (
        found.psu_efficiency,
        found.headroom_w,
        found.band_w,
        found.lot_w,
    )
    assert config.parse("[mesh]\n", "x").mesh is None


@pytest.mark.parametrize("key", config.MESH_NEEDS)
def test_a_mesh_without_one_of_what_it_needs_is_refused(key: str) -> None:
    text = "\n".join(line for line in MESH.splitlines() if not line.startswith(key))
    with pytest.raises(ConfigError, match=rf"\[mesh\] {key} is missing"):
        config.parse(text, "x")


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("nameplate_w = 699", "nameplate_w = 699: the most that the host can draw at all must be at least reserve_w"),
        ("domains = []", "domains = []: must be a list of 1 to 4 domains"),
        ('domains = ["a", "a"]', "must be a list of 1 to 4 domains"),
        ('domains = ["../a"]', "must be a list of 1 to 4 domains"),
        ('domains = ["a", "b", "c", "d", "e"]', "must be a list of 1 to 4 domains"),
        ("domains = [[]]", "must be a list of 1 to 4 domains"),
        ('roster = "mesh/roster.toml"', "must be an absolute path"),
        ('tables = "/a\\u0000b"', "must be an absolute path"),
        ("psu_efficiency = 0.4", "psu_efficiency = 0.4: must be a number from 0.5 to 1 of what is drawn at the wall"),
        ("lot_w = 0", "lot_w = 0: must be a number from 1 to 100000 watts"),
        ('name = ""', "must be a text"),
        ('site_key = "00"', "site_key = '00': must be 64 hexadecimal digits"),
        ("power_key = 5", "power_key = 5: must be 64 hexadecimal digits"),
        ('listen = "7433"', "listen = '7433': must be HOST:PORT"),
    ],
)
def test_a_mesh_that_can_not_be_is_refused_in_one_line(line: str, problem: str) -> None:
    key = line.partition(" = ")[0]
    text = "\n".join([*(each for each in MESH.splitlines() if not each.startswith(key)), line])
    with pytest.raises(ConfigError) as refusal:
        config.parse(text, "x")
    assert problem in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    "text", ["listen = '127.0.0.1:9400'", "listen = '[::1]:9400'", "listen = '10.1.2.3:9400'\nlisten_beyond = true"]
)
def test_an_address_is_listened_at_that_this_host_has_alone_or_by_consent(text: str) -> None:
    assert config.parse(f"[api]\n{text}", "x.toml").listen.endswith(":9400")
    assert Config().listen == ""


def test_what_is_wanted_of_some_jobs_is_a_table_each() -> None:
    text = "[[policy.goals]]\njob = '*b*'\nslowdown = 0.1\n[[policy.goals]]\ngpus = ['gpu0']\nfirst_token_p99_s = 2"
    aims = (Aim("*b*", slowdown=0.1), Aim(gpus=("gpu0",), first_token_p99_s=2.0))
    assert config.parse(text, "x.toml").goals == aims
