"""The life of the GPU driver, as the kernel's tree tells it."""

from __future__ import annotations

from pathlib import Path

from eagent.hardware.generation import MODULE, generation


def test_a_driver_that_was_loaded_again_is_of_another_generation(tmp_path: Path) -> None:
    module = tmp_path / MODULE
    module.mkdir(parents=True)
    first = generation(tmp_path)
    assert first
    assert generation(tmp_path) == first
    module.rename(tmp_path / "unloaded")  # so that its number stays taken, as kernfs sees to it
    module.mkdir()
    assert generation(tmp_path) not in ("", first)


def test_without_the_driver_s_module_nothing_is_known(tmp_path: Path) -> None:
    assert generation(tmp_path) == ""
