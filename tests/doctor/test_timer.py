from pathlib import Path

from eagent.doctor.timer import look_at_timer


def test_the_kernels_time_is_read_from_the_sysfs_that_was_given(tmp_path: Path) -> None:
    source = tmp_path / "devices/system/clocksource/clocksource0/current_clocksource"
    source.parent.mkdir(parents=True)
    source.write_text("acpi_pm\n")
    seen = look_at_timer(tmp_path)
    assert seen.source == "acpi_pm"
    assert 0 < seen.resolution_s < 1
    assert look_at_timer(tmp_path / "nowhere").source == ""
