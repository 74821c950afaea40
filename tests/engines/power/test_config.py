import contextlib
import re
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eagent.engines.power import config
from eagent.engines.power.command import CommandAdapter, Commands
from eagent.engines.power.config import Host, MeshFiles, PowerConfig, Watching
from eagent.engines.power.ipmi import Bmc, IpmiAdapter
from eagent.engines.power.options import ADAPTERS, HOST, MESH, POWER, WATCH
from eagent.engines.power.registry import switches
from eagent.engines.power.wishes import Rules
from eagent.errors import ConfigError

SHIPPED = Path(__file__).parents[3] / "config" / "power.toml"
COMMAND = '[command]\non = ["/on", "{host}"]\noff = ["/off"]\nstate = ["/state"]\n'
IPMI = '[ipmi]\nuser = "u"\npassword_file = "/p"\n'


def uncommented(text: str) -> str:
    """The shipped file with every option switched on, and with the hosts that it names as protected."""
    lines = (
        line.removeprefix("# ") if " = " in line or line.startswith("# [hosts.") else line for line in text.splitlines()
    )
    twin = '[hosts.{0}]\nby = "command"\n'
    return "\n".join([*lines, twin.format("login1"), twin.format("storage1")])


def test_the_shipped_file_changes_nothing() -> None:
    assert config.parse(SHIPPED.read_text(), "shipped") == PowerConfig()


def test_the_shipped_file_explains_every_option_and_no_other() -> None:
    document = tomllib.loads(uncommented(SHIPPED.read_text()))
    assert set(document) == set(config.SECTIONS)
    assert set(document["power"]) == set(POWER)
    assert set(document["watch"]) == set(WATCH)
    assert set(document["mesh"]) == set(MESH)
    assert {by: set(document[by]) for by in ADAPTERS} == {by: set(options) for by, options in ADAPTERS.items()}
    assert set(document["hosts"]["node1"]) | set(document["hosts"]["node2"]) == set(HOST)


def test_the_shipped_file_states_the_real_defaults() -> None:
    shipped = config.parse(uncommented(SHIPPED.read_text()), "shipped")
    assert shipped.rules == Rules(protected=frozenset({"login1", "storage1"}))
    assert shipped.watching == Watching()
    assert shipped.mesh == MeshFiles("0" * 64, "mgmt1", "*:7433")
    bmc = shipped.hosts["node1"].by
    assert bmc == Bmc("10.1.0.11", "eagent", Path("/etc/eagent/bmc.password"), cipher_suite=17)
    commands = shipped.hosts["node2"].by
    assert isinstance(commands, Commands)
    assert commands.timeout_s == Commands((), (), ()).timeout_s
    assert {host.confirm_s for host in shipped.hosts.values()} == {config.CONFIRM_S}
    assert shipped.ipmi_program == PowerConfig().ipmi_program


def test_the_part_in_the_mesh_is_read() -> None:
    text = f"""
        [mesh]
        name = "mgmt1"
        roster = "/r"
        key_file = "/k"
        site_key = "{"0a" * 32}"
        power_key_file = "/p"
        tables = "/t"
    """
    read = config.parse(text, "x").mesh
    assert read == MeshFiles("0a" * 32, "mgmt1", None, Path("/r"), Path("/k"), Path("/p"), Path("/t"))
    assert config.parse(f'[mesh]\nsite_key = "{"0a" * 32}"', "x").mesh == MeshFiles("0a" * 32)


def test_a_host_may_differ_from_its_section() -> None:
    text = f'{IPMI}grace_s = 30\n[hosts.n1]\nby = "ipmi"\naddress = "b1"\ngrace_s = 300\norder = 2\nconfirm_s = 5\n'
    host = config.parse(text, "x").hosts["n1"]
    assert host == Host("n1", Bmc("b1", "u", Path("/p"), grace_s=300.0), "b1", 2, 5.0)


def test_the_simulated_host_of_the_docs_is_one_to_the_power_role() -> None:
    page = (SHIPPED.parents[1] / "docs/simulator.md").read_text()
    (section,) = re.findall(r"```\n(\[hosts\..*?)```", page, re.DOTALL)
    commands = config.parse(section, "docs/simulator.md").hosts["lab"].by
    assert isinstance(commands, Commands)
    asked = [commands.on, commands.off, commands.state, commands.power_w or ()]
    assert [words[-4:] for words in asked] == [
        ("sim", "power", "{host}", word) for word in ("on", "off", "status", "watts")
    ]


def test_each_host_gets_the_adapter_that_it_names() -> None:
    text = f'{IPMI}{COMMAND}[hosts.n1]\nby = "ipmi"\naddress = "b1"\n[hosts.n2]\nby = "command"\norder = 3\n'
    made = switches(config.parse(text, "x"))
    assert isinstance(made["n1"].adapter, IpmiAdapter)
    assert isinstance(made["n2"].adapter, CommandAdapter)
    assert made["n2"].order == 3


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[pwoer]", "x: unknown section [pwoer]; did you mean 'power'?"),
        ("[power]\nmode = 'on'", "x: [power] mode = 'on': must be 'observe' or 'act'"),
        ("[power]\nact = true", "x: [power] has no key 'act'; known are mode,"),
        ("[power]\nswitches_per_minute = 0", "must be a whole number from 1 to 60"),
        ("[power]\nleast_on_s = nan", "least_on_s = nan: must be a number from 0 to 86400 seconds"),
        (
            f"[power]\nprotected = ['node3']\n{COMMAND}[hosts.node1]\nby='command'",
            "protected: 'node3' is none of the hosts; did you mean 'node1'?",
        ),
        ("[watch]\nwake_busy = 0", "x: [watch] wake_busy = 0: must be a number from 0.01 to 1"),
        ("[watch]\nawake_least = -1", "x: [watch] awake_least = -1: must be a whole number from 0 to 100000"),
        ("[mesh]\nname = 'mgmt1'", "x: [mesh]: site_key is missing: whose signatures count"),
        ("[mesh]\nname = '-'", "x: [mesh] name = '-': must be the name that the roster gives to this host"),
        ("[mesh]\nsite_key = 'abc'", "must be 64 hexadecimal digits, an Ed25519 public key"),
        ("[mesh]\nlisten = '7433'", "x: [mesh] listen = '7433': must be HOST:PORT"),
        ("[ipmi]\npassword = 'hush'", "x: [ipmi] password: no secret may stand here: put it into a file"),
        ("[hosts.n1]\nby = 'ipmi'\npassword = 'hush'", "x: [hosts.n1] password: no secret may stand here"),
        ("[ipmi]\npassword_file = 'bmc.password'", "must be an absolute path"),
        ("[ipmi]\ncipher_suite = 0", "cipher_suite = 0: must be 3 or 17"),
        ("[ipmi]\nuser = '-x'", "must be the name of a user of the BMC"),
        ("[ipmi]\nforce = 1", "must be true or false"),
        ("[command]\non = 'wake n1'", "must be a list of texts, an absolute path first"),
        ("[command]\non = ['wake']", "must be a list of texts, an absolute path first"),
        ("[command]\non = ['/{host}']", "must be a list of texts, an absolute path first"),
        ("[command]\non = ['/wake', '{hots}']", "{hots} is nothing that is filled in; did you mean 'host'?"),
        ("[hosts.n1]", "x: [hosts.n1] by = None: must be 'ipmi' or 'command'"),
        ("[hosts.n1]\nby = 'ipmi'", "x: [hosts.n1]: address is missing, here or in [ipmi]"),
        ("[hosts.n1]\nby = 'ipmi'\naddress = 'b'", "x: [hosts.n1]: user is missing, here or in [ipmi]"),
        ("[hosts.n1]\nby = 'command'", "x: [hosts.n1]: on is missing, here or in [command]"),
        ("[hosts.n1]\nby = 'ipmi'\nprogram = '/x'", "has no key 'program'"),
        ("[hosts.n1]\nby = 'command'\naddress = '-f'", "must be the name of a host, an IP address or a MAC address"),
        ("[hosts.'a b']\nby = 'command'", "'a b' is not a name that a host can have"),
        (
            f"{IPMI}[hosts.n1]\nby='ipmi'\naddress='b'\n[hosts.n2]\nby='ipmi'\naddress='B'",
            "x: [hosts.n2] address = 'B': it is that of n1",
        ),
        ("hosts = 3", "x: hosts: must be sections, one a host"),
        ("power = 3", "x: [power]: must be a section"),
        ("[power", "x: not TOML:"),
    ],
)
def test_what_is_not_known_is_refused_with_one_line_that_says_what_would_be_right(text: str, line: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        config.parse(text, "x")
    assert line in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert "hush" not in str(refusal.value)


VALUES = st.one_of(
    st.text(max_size=5).map(repr), st.integers().map(str), st.sampled_from(["[]", "['/a']", "true", "nan", "{}"])
)
KEYS = st.sampled_from(sorted({*POWER, *WATCH, *MESH, *HOST, *ADAPTERS["ipmi"], *ADAPTERS["command"], "password", "x"}))
TABLES = st.sampled_from(["[power]", "[watch]", "[mesh]", "[ipmi]", "[command]", "[hosts.n1]", "[hosts.n2]", "[x]", ""])


@given(st.text(max_size=100) | st.lists(TABLES | st.builds("{} = {}".format, KEYS, VALUES), max_size=8).map("\n".join))
def test_any_text_is_a_configuration_or_a_config_error(text: str) -> None:
    with contextlib.suppress(ConfigError):
        assert isinstance(config.parse(text, "x"), PowerConfig)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "password").touch(0o600)
    (tmp_path / "password").write_text("hush\n")
    path = tmp_path / "power.toml"
    path.write_text(
        f'[ipmi]\nuser = "u"\npassword_file = "{tmp_path}/password"\n[hosts.n1]\nby = "ipmi"\naddress = "b"\n'
    )
    path.chmod(0o644)
    return path


def test_the_host_that_it_runs_on_is_protected_by_any_of_its_names(file: Path) -> None:
    assert "n1" in config.load(file, here="n1.site.example").rules.protected
    assert "n1" not in config.load(file, here="n10").rules.protected


def test_a_file_that_others_may_write_is_refused(file: Path) -> None:
    file.chmod(0o664)
    with pytest.raises(ConfigError, match="others than its owner may write it: chmod 644"):
        config.load(file)


def test_a_password_that_others_may_read_is_refused(file: Path) -> None:
    (file.parent / "password").chmod(0o604)
    with pytest.raises(ConfigError, match=r"password_file: .*\(mode 0604\): chmod 600") as refusal:
        config.load(file)
    assert "hush" not in str(refusal.value)


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.toml: No such file"):
        config.load(tmp_path / "nowhere.toml")
