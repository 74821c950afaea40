"""The loop's own C, compiled with what plays a part in a test."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
HERE = Path(__file__).parent
FLAGS = ("-std=c11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", "-g")
Compile = Callable[..., Path]


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Compile:
    """`compiled("player.c", "channel", options=(...))` compiles a file from here with these of native/."""

    def build(player: str, *stems: str, options: tuple[str, ...] = ("-O2", "-fPIC", "-shared")) -> Path:
        target = tmp_path_factory.mktemp("loop") / Path(player).stem
        sources = [HERE / player, *(ROOT / "native" / f"{stem}.c" for stem in stems)]
        command = ["gcc", *FLAGS, *options, f"-I{ROOT / 'native'}", *map(str, sources), "-lm", "-ldl", "-lpthread"]
        subprocess.run([*command, "-o", str(target)], check=True, timeout=120)
        return target

    return build
