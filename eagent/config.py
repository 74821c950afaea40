"""What the operator wants: a TOML file into a frozen `Config`.

Every option stands with its meaning in `config/eagent.toml`; a test holds the two together.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from eagent import profiles
from eagent.aim import Aim, Aims
from eagent.endpoint import Endpoint, Endpoints
from eagent.errors import ConfigError
from eagent.options import (
    Address,
    Consent,
    Devices,
    File,
    Foreign,
    Gangs,
    GroupName,
    GroupNames,
    Listen,
    Mode,
    Names,
    Number,
    Option,
    PublicKey,
    Share,
    Text,
    hint,
    is_loopback,
    told,
)

LET_GO_S, RAMPED_LET_GO_S = 5.0, 60.0
DEFAULT_FILE = Path("/etc/eagent/eagent.toml")


@dataclass(frozen=True, slots=True)
class Groups:
    """Who is what, by the names of groups: the operator's wish."""

    operators: tuple[str, ...] = ("eagent-operators",)
    observers: tuple[str, ...] = ("eagent-observers",)
    agent: str = "eagent"


@dataclass(frozen=True, slots=True)
class Mesh:
    """How this host takes part in the mesh. Watts are at the wall."""

    domains: tuple[str, ...]  # whose tables hold for it
    site_key: str  # 64 hexadecimal digits
    reserve_w: float
    nameplate_w: float
    name: str = ""  # empty: the kernel's name for this host
    listen: str = ""  # empty: where the roster says that it is
    power_key: str = ""
    roster: Path = Path("/etc/eagent/mesh/roster.toml")
    key_file: Path = Path("/etc/eagent/mesh/host.key")
    tables: Path = Path("/etc/eagent/mesh/tables")
    psu_efficiency: float = 0.9
    headroom_w: float = 100.0
    band_w: float = 100.0
    lot_w: float = 50.0


MESH_NEEDS = ("domains", "site_key", "reserve_w", "nameplate_w")


@dataclass(frozen=True, slots=True)
class Config:
    """The operator's wishes. Defaults are those of `config/eagent.toml`."""

    library: str = "libnvidia-ml.so.1"
    sample_period_ms: int = 50
    replace_after_s: float = 30.0
    decide_period_ms: int = 250
    lease_ttl_s: float = 3.0
    fixed_w: float | None = None
    safe_cap_w: float | None = None
    gangs: tuple[tuple[str, ...], ...] = ()
    gpu_clock_baseline_mhz: int | None = None
    ramp_w_per_s: float = 0.0
    foreign: str = "respect"
    mode_budget: str = "act"
    budget_share: str = "need"
    mode_idle: str = "observe"
    idle_consent: tuple[str, ...] = ()
    mode_cpu: str = "observe"
    cpu_slowdown: float = 0.03
    cpu_safe_cap_w: float | None = None
    mode_efficiency: str = "observe"
    efficiency_slowdown: float = 0.02
    efficiency_least_clock_mhz: int = 0
    mode_sleep: str = "observe"
    sleep_after_s: float = 600.0
    sleep_cpus: float = 1.0
    sleep_consent: tuple[str, ...] = ()
    mode_hint: str = "observe"
    mode_latency: str = "observe"
    first_token_p99_s: float | None = None
    between_tokens_p99_s: float | None = None
    goals: tuple[Aim, ...] = ()
    metrics: tuple[Endpoint, ...] = ()
    operator_groups: tuple[str, ...] = Groups().operators
    observer_groups: tuple[str, ...] = Groups().observers
    agent_group: str = Groups().agent
    listen: str = ""  # of the API beside its socket; empty: nowhere
    listen_names: tuple[str, ...] = ()
    listen_beyond: bool = False
    mesh: Mesh | None = None

    @property
    def groups(self) -> Groups:
        """Who may do what, beside root and the user that a process runs as."""
        return Groups(self.operator_groups, self.observer_groups, self.agent_group)

    @property
    def let_go_s(self) -> float:
        """How long an orderly end of the warden waits for the knobs to be back: longer where limits rise by a ramp."""
        return RAMPED_LET_GO_S if self.ramp_w_per_s else LET_GO_S


# One line an option: section, key, what it takes. A new one is a field in Config, a line here and one in eagent.toml.
OPTIONS: dict[str, dict[str, Option]] = {
    "host": {
        "fixed_w": Number(0, 1_000_000, "watts"),
        "safe_cap_w": Number(1, 10_000, "watts"),
        "cpu_safe_cap_w": Number(1, 10_000, "watts"),
        "gangs": Gangs(),
        "gpu_clock_baseline_mhz": Number(100, 10_000, "MHz", whole=True),
        "ramp_w_per_s": Number(0, 1_000_000, "watts a second"),
        "foreign": Foreign(),
    },
    "policy": {
        "mode_budget": Mode(),
        "budget_share": Share(),
        "mode_idle": Mode(),
        "idle_consent": Devices(),
        "mode_cpu": Mode(),
        "cpu_slowdown": Number(0, 0.2, "of the time that work takes"),
        "mode_efficiency": Mode(),
        "efficiency_slowdown": Number(0, 0.5, "of the time that a job takes"),
        "efficiency_least_clock_mhz": Number(0, 10_000, "MHz", whole=True),
        "mode_sleep": Mode(),
        "sleep_after_s": Number(1, 86_400, "seconds"),
        "sleep_cpus": Number(0, 1024, "CPUs"),
        "sleep_consent": Devices(),
        "mode_hint": Mode(),
        "mode_latency": Mode(),
        "first_token_p99_s": Number(0.001, 600, "seconds"),
        "between_tokens_p99_s": Number(0.001, 600, "seconds"),
        "goals": Aims(),
    },
    "progress": {"metrics": Endpoints()},
    "access": {
        "operator_groups": GroupNames(),
        "observer_groups": GroupNames(),
        "agent_group": GroupName(),
    },
    "api": {
        "listen": Address(),
        "listen_names": Names("names", 16),
        "listen_beyond": Consent(),
    },
    "mesh": {
        "name": Text(),
        "domains": Names("domains", 4),
        "listen": Listen(),
        "roster": File(),
        "key_file": File(),
        "tables": File(),
        "site_key": PublicKey(),
        "power_key": PublicKey(),
        "reserve_w": Number(1, 1_000_000, "watts"),
        "nameplate_w": Number(1, 1_000_000, "watts"),
        "psu_efficiency": Number(0.5, 1, "of what is drawn at the wall"),
        "headroom_w": Number(0, 100_000, "watts"),
        "band_w": Number(0, 100_000, "watts"),
        "lot_w": Number(1, 100_000, "watts"),
    },
    "driver": {
        "library": Text(),
        "sample_period_ms": Number(5, 1000, "milliseconds", whole=True),
        "replace_after_s": Number(3, 86_400, "seconds"),
    },
    "agent": {
        "decide_period_ms": Number(50, 5000, "milliseconds", whole=True),
        "lease_ttl_s": Number(1, 60, "seconds"),
    },
}


def load(path: Path | None = None) -> Config:
    """The configuration in `path`; without one, that of /etc/eagent/eagent.toml if it is there, else the defaults.

    Raises:
        ConfigError: the file can't be read, is not TOML, or has a key or value that is not known.
    """
    if path is None:
        if not DEFAULT_FILE.exists():
            return Config()
        path = DEFAULT_FILE
    try:
        return parse(path.read_text(encoding="utf-8"), str(path))
    except OSError as problem:
        raise ConfigError(f"{path}: {problem.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: not a text in UTF-8") from None


def parse(text: str, name: str) -> Config:
    """The configuration that the TOML `text` holds; `name` is what errors call it.

    Raises:
        ConfigError: not TOML, or a key or value that is not known.
    """
    import tomllib  # here, because `eagent status` starts without a file to parse

    try:
        document = tomllib.loads(text)
    except (ValueError, RecursionError) as problem:  # TOMLDecodeError is one; a number of a million digits another
        raise ConfigError(f"{name}: not TOML: {problem}") from None
    document = profiles.applied(document, name)
    values: dict[str, dict[str, object]] = {section: {} for section in OPTIONS}
    for section, table in document.items():
        options = OPTIONS.get(section)
        if options is None:
            raise ConfigError(f"{name}: unknown section {_bracketed(section)}{hint(section, OPTIONS)}")
        if not isinstance(table, dict):
            raise ConfigError(f"{name}: {section}: must be a section, [{section}]")
        for key, value in table.items():
            if key not in options:
                raise ConfigError(f"{name}: [{section}] has no key {told(key)}{hint(key, options)}")
            values[section][key] = options[key].read(value, f"{name}: [{section}] {key}")
    mesh = _mesh(values.pop("mesh"), name)
    flat = {key: value for section in values.values() for key, value in section.items()}
    config = Config(**flat, mesh=mesh)  # type: ignore[arg-type]  # each value was read by the option of its name
    if config.decide_period_ms > config.lease_ttl_s * 1000 / 3:
        raise ConfigError(
            f"{name}: [agent] decide_period_ms = {config.decide_period_ms}: must be at most a third of lease_ttl_s "
            f"({config.lease_ttl_s:g} s), else leases end between two turns"
        )
    if config.listen and not config.listen_beyond and not is_loopback(config.listen):
        raise ConfigError(
            f"{name}: [api] listen = {config.listen!r}: is open to other hosts, and whoever reaches it may read: say "
            "listen_beyond = true if that is meant, or listen at 127.0.0.1"
        )
    if 0 < config.ramp_w_per_s < 1:
        raise ConfigError(
            f"{name}: [host] ramp_w_per_s = {config.ramp_w_per_s:g}: must be 0 (no ramp) or at least 1 watt a second"
        )
    return config


def _bracketed(section: str) -> str:
    return f"[{section}]" if told(section) == f"'{section}'" else told(section)


def _mesh(values: dict[str, object], name: str) -> Mesh | None:
    """The mesh's section; without a key in it there is no mesh."""
    if not values:
        return None
    for key in MESH_NEEDS:
        if key not in values:
            raise ConfigError(f"{name}: [mesh] {key} is missing: a host in the mesh needs {', '.join(MESH_NEEDS)}")
    mesh = Mesh(**values)  # type: ignore[arg-type]  # as above
    if mesh.nameplate_w < mesh.reserve_w:
        raise ConfigError(
            f"{name}: [mesh] nameplate_w = {mesh.nameplate_w:g}: the most that the host can draw at all must be at "
            f"least reserve_w ({mesh.reserve_w:g} W)"
        )
    return mesh
