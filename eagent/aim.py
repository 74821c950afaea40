"""What the operator wants of some jobs or GPUs, beside the rest of the host: `[[policy.goals]]`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from eagent.errors import ConfigError
from eagent.options import Number, hint, told

AIMS_MAX = 64
PATTERN_MAX = 100

NUMBERS = {
    "slowdown": Number(0, 0.5, "of the time that a job takes"),
    "first_token_p99_s": Number(0.001, 600, "seconds"),
    "between_tokens_p99_s": Number(0.001, 600, "seconds"),
}


class Aim(NamedTuple):
    """One table. None: as of the host."""

    job: str = "*"  # a pattern of the job's name
    gpus: tuple[str, ...] = ()  # empty: all
    slowdown: float | None = None
    first_token_p99_s: float | None = None
    between_tokens_p99_s: float | None = None


class Aims:
    """A list of tables."""

    def read(self, value: object, where: str) -> tuple[Aim, ...]:
        """The aims.

        Raises:
            ConfigError: it is none, or one of them says nothing, or what it can't.
        """
        if not isinstance(value, list) or len(value) > AIMS_MAX or not all(isinstance(one, dict) for one in value):
            raise ConfigError(f"{where} = {told(value)}: must be at most {AIMS_MAX} tables [[policy.goals]]")
        return tuple(_aim(table, f"{where}, table {number}") for number, table in enumerate(value, 1))


def _aim(table: Mapping[str, Any], where: str) -> Aim:
    for key in table:
        if key not in Aim._fields:
            raise ConfigError(f"{where}: unknown key {told(key)}{hint(str(key), Aim._fields)}")
    job, gpus = table.get("job", "*"), table.get("gpus", [])
    if not isinstance(job, str) or not 0 < len(job) <= PATTERN_MAX:
        raise ConfigError(f'{where}: job = {told(job)}: must be a pattern of names of jobs, such as "*resnet50*"')
    if not isinstance(gpus, list) or not all(isinstance(name, str) and name for name in gpus):
        raise ConfigError(f'{where}: gpus = {told(gpus)}: must be a list of GPUs, such as ["gpu0"]')
    numbers = {key: each.read(table[key], f"{where}: {key}") for key, each in NUMBERS.items() if key in table}
    if not numbers:
        raise ConfigError(f"{where}: needs one of {', '.join(NUMBERS)}")
    return Aim(job, tuple(gpus), **numbers)
