"""Where things are, and what the operator wants: paths from the environment, a TOML file into a frozen `Config`.

Every option stands with its meaning in `config/eagent.toml`; a test holds the two together.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from eagent.errors import ConfigError

DEFAULT_FILE = Path("/etc/eagent/eagent.toml")


@dataclass(frozen=True, slots=True)
class Paths:
    """The two directories eagent lives in on a host, the names in them, and the kernel's trees."""

    run: Path  # sockets, locks and the ring: gone after a boot
    state: Path  # journal and budget: must outlive a boot
    sysfs: Path = Path("/sys")
    proc: Path = Path("/proc")

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> Paths:
        """EAGENT_RUN_DIR and EAGENT_STATE_DIR, else the system's directories for root and the user's own for a user.

        The kernel's trees are where they always are, but on a simulated host: EAGENT_SYSFS and EAGENT_PROC.
        """
        uid = os.getuid()
        if uid == 0:
            run, state = "/run/eagent", "/var/lib/eagent"
        else:
            run = f"{environ['XDG_RUNTIME_DIR']}/eagent" if environ.get("XDG_RUNTIME_DIR") else f"/tmp/eagent-{uid}"
            home = environ.get("XDG_STATE_HOME") or f"{environ.get('HOME', '/tmp')}/.local/state"
            state = f"{home}/eagent"
        return cls(
            run=Path(environ.get("EAGENT_RUN_DIR") or run),
            state=Path(environ.get("EAGENT_STATE_DIR") or state),
            sysfs=Path(environ.get("EAGENT_SYSFS") or "/sys"),
            proc=Path(environ.get("EAGENT_PROC") or "/proc"),
        )

    @property
    def warden_socket(self) -> Path:
        """The warden's private socket: leases and the budget, from the agent alone."""
        return self.run / "warden.sock"

    @property
    def api_socket(self) -> Path:
        """The agent's HTTP socket."""
        return self.run / "api.sock"

    @property
    def power_socket(self) -> Path:
        """The power role's HTTP socket, on a management host."""
        return self.run / "power.sock"

    @property
    def power_lock(self) -> Path:
        """Held by the one power role of these directories."""
        return self.run / "power.lock"

    @property
    def power_record(self) -> Path:
        """What the power role has switched, a line an entry."""
        return self.state / "power.jsonl"

    @property
    def ring(self) -> Path:
        """The sample ring that the warden writes."""
        return self.run / "ring"

    @property
    def warden_lock(self) -> Path:
        """Held by the one warden of these directories."""
        return self.run / "warden.lock"

    @property
    def agent_lock(self) -> Path:
        """Held by the one agent of these directories."""
        return self.run / "agent.lock"

    @property
    def journal(self) -> Path:
        """What each knob held before its first write: one file a knob."""
        return self.state / "journal"

    @property
    def halt(self) -> Path:
        """While this file is there, no policy acts but the budget's. Its text says why."""
        return self.state / "halt"

    @property
    def budget(self) -> Path:
        """The budget in force, if there is one."""
        return self.state / "budget.json"


@dataclass(frozen=True, slots=True)
class Config:
    """The operator's wishes. Defaults are those of `config/eagent.toml`."""

    library: str = "libnvidia-ml.so.1"
    sample_period_ms: int = 50
    decide_period_ms: int = 250
    lease_ttl_s: float = 3.0
    fixed_w: float | None = None
    safe_cap_w: float | None = None
    gangs: tuple[tuple[str, ...], ...] = ()
    gpu_clock_baseline_mhz: int | None = None
    mode_budget: str = "act"
    mode_idle: str = "observe"
    idle_consent: tuple[str, ...] = ()
    mode_cpu: str = "observe"
    cpu_slowdown: float = 0.03
    cpu_safe_cap_w: float | None = None


@dataclass(frozen=True, slots=True)
class _Number:
    low: float
    high: float
    unit: str
    whole: bool = False

    def read(self, value: object, where: str) -> float | int:
        kind = "whole number" if self.whole else "number"
        allowed = int if self.whole else (int, float)
        if isinstance(value, bool) or not isinstance(value, allowed) or not self.low <= value <= self.high:
            raise ConfigError(f"{where} = {value!r}: must be a {kind} from {self.low:g} to {self.high:g} {self.unit}")
        return value if self.whole else float(value)


@dataclass(frozen=True, slots=True)
class _Text:
    def read(self, value: object, where: str) -> str:
        if not isinstance(value, str) or not value:
            raise ConfigError(f"{where} = {value!r}: must be a text")
        return value


@dataclass(frozen=True, slots=True)
class _Gangs:
    def read(self, value: object, where: str) -> tuple[tuple[str, ...], ...]:
        right = (
            'must be a list of lists of at least two devices, such as [["gpu0", "gpu1"]], each device in one of them'
        )
        if not isinstance(value, list):
            raise ConfigError(f"{where} = {value!r}: {right}")
        for gang in value:
            if not isinstance(gang, list) or len(gang) < 2 or not all(isinstance(name, str) and name for name in gang):
                raise ConfigError(f"{where}: {gang!r}: {right}")
        names = [name for gang in value for name in gang]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ConfigError(f"{where}: {twice[0]} stands in it twice: {right}")
        return tuple(tuple(gang) for gang in value)


@dataclass(frozen=True, slots=True)
class _Mode:
    def read(self, value: object, where: str) -> str:
        if value not in ("observe", "act"):
            raise ConfigError(f'{where} = {value!r}: must be "observe" (only say what would be done) or "act"')
        return str(value)


@dataclass(frozen=True, slots=True)
class _Devices:
    def read(self, value: object, where: str) -> tuple[str, ...]:
        if not isinstance(value, list) or not all(isinstance(name, str) and name for name in value):
            raise ConfigError(f'{where} = {value!r}: must be a list of devices, such as ["gpu0"], or ["all"]')
        return tuple(value)


# One line an option: section, key, what it takes. A new one is a field in Config, a line here and one in eagent.toml.
OPTIONS: dict[str, dict[str, _Number | _Text | _Gangs | _Mode | _Devices]] = {
    "host": {
        "fixed_w": _Number(0, 1_000_000, "watts"),
        "safe_cap_w": _Number(1, 10_000, "watts"),
        "cpu_safe_cap_w": _Number(1, 10_000, "watts"),
        "gangs": _Gangs(),
        "gpu_clock_baseline_mhz": _Number(100, 10_000, "MHz", whole=True),
    },
    "policy": {
        "mode_budget": _Mode(),
        "mode_idle": _Mode(),
        "idle_consent": _Devices(),
        "mode_cpu": _Mode(),
        "cpu_slowdown": _Number(0, 0.2, "of the time that work takes"),
    },
    "driver": {
        "library": _Text(),
        "sample_period_ms": _Number(5, 1000, "milliseconds", whole=True),
    },
    "agent": {
        "decide_period_ms": _Number(50, 5000, "milliseconds", whole=True),
        "lease_ttl_s": _Number(1, 60, "seconds"),
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
    except tomllib.TOMLDecodeError as problem:
        raise ConfigError(f"{name}: not TOML: {problem}") from None
    values: dict[str, object] = {}
    for section, table in document.items():
        options = OPTIONS.get(section)
        if options is None:
            raise ConfigError(f"{name}: unknown section [{section}]{_hint(section, OPTIONS)}")
        if not isinstance(table, dict):
            raise ConfigError(f"{name}: {section}: must be a section, [{section}]")
        for key, value in table.items():
            if key not in options:
                raise ConfigError(f"{name}: [{section}] has no key {key!r}{_hint(key, options)}")
            values[key] = options[key].read(value, f"{name}: [{section}] {key}")
    config = Config(**values)  # type: ignore[arg-type]  # each value was read by the option of its name
    if config.decide_period_ms > config.lease_ttl_s * 1000 / 3:
        raise ConfigError(
            f"{name}: [agent] decide_period_ms = {config.decide_period_ms}: must be at most a third of lease_ttl_s "
            f"({config.lease_ttl_s:g} s), else leases end between two turns"
        )
    return config


def _hint(word: str, known: Mapping[str, object]) -> str:
    import difflib  # only a typing error needs it

    near = difflib.get_close_matches(word, known, n=1)
    return f"; did you mean {near[0]!r}?" if near else f"; known are {', '.join(known)}"
