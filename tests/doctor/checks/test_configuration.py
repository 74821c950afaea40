from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from eagent.config import Config
from eagent.doctor.checks import configuration
from eagent.doctor.host import Host

Tell = Callable[[Any], list[tuple[str, str, str]]]


def test_a_bad_configuration_is_a_problem_and_a_missing_fixed_draw_a_note(host: Host, tell: Tell) -> None:
    bad = replace(host, config_problem="/x.toml: unknown section [hosts]; did you mean 'host'?")
    assert tell(configuration.check(bad)) == [("problem", "file", bad.config_problem)]
    bare = replace(host, config=Config(), config_file=Path("/x.toml"))
    assert [found[:2] for found in tell(configuration.check(bare))] == [("ok", "file"), ("note", "[host]")]
    assert tell(configuration.check(bare))[0][2] == "/x.toml"
