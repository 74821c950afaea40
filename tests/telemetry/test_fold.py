from __future__ import annotations

from dataclasses import replace

import pytest

from eagent.model import Channel, Device, DeviceKind, Knob, Status
from eagent.telemetry.fold import Fold
from eagent.telemetry.records import Record

SECOND_NS = 1_000_000_000
GPU = Device("GPU-aa", 0, "A100", "00000000:3B:00.0", 100, 400, 400, 0.025, 0.1, Knob(True))
CPU = Device("CPU-0", 0, "Xeon", "", 125, 250, 250, 0.1, 0.1, Knob(True), kind=DeviceKind.CPU, cpus=32)
OTHER = replace(GPU, uuid="GPU-bb", index=1, pci_bus_id="00000000:3C:00.0")


def ok(at_s: float, channel: int, value: int, place: int = 0) -> Record:
    return int(at_s * SECOND_NS), value, place, channel, Status.OK, -1


def a_second_of(channel: int, *values: int, place: int = 0, begin_s: float = 0.0) -> list[Record]:
    """These values in turn, twenty looks in a second."""
    return [ok(begin_s + i * 0.05, channel, values[i % len(values)], place) for i in range(21)]


def test_each_channel_becomes_its_reading_in_its_unit() -> None:
    fold = Fold([GPU])
    fold.add(
        [
            *a_second_of(Channel.POWER_INSTANT_MW, 250_000),
            ok(1, Channel.ENERGY_MJ, 5_000_000),
            ok(1, Channel.SM_CLOCK_MHZ, 1410),
            ok(1, Channel.GPU_UTILISATION_PCT, 87),
            ok(1, Channel.MEMORY_UTILISATION_PCT, 45),
            ok(1, Channel.TEMPERATURE_C, 63),
            ok(1, Channel.MEMORY_USED_B, 70_000_000_000),
            ok(1, Channel.PCIE_TX_B, 5_000_000_000_000),
            ok(1, Channel.PCIE_RX_B, 6_000_000_000_000),
            ok(1, Channel.COMPUTE_PROCESSES, 2),
            ok(1, Channel.COMPUTE_PID, 4711),
            ok(1, Channel.LIMIT_REQUESTED_MW, 300_000),
            ok(1, Channel.LIMIT_ENFORCED_MW, 250_000),
        ]
    )
    (state,) = fold.states(SECOND_NS)
    assert state.device is GPU
    assert (state.power_w.value, state.power_w.sensor, state.power_w.window_s) == (250.0, "nvml instant", 0.025)
    assert (state.power_mean_w.value, state.power_mean_w.window_s) == (pytest.approx(250.0), 1.0)
    assert state.power_recent_w.status is Status.MISSING, "a second is not ten"
    assert (state.energy_j.value, state.energy_j.sensor) == (5000.0, "nvml energy counter")
    assert state.sm_clock_mhz.value == 1410
    assert (state.gpu_utilisation.value, state.memory_utilisation.value) == (pytest.approx(0.87), pytest.approx(0.45))
    assert state.temperature_c.value == 63
    assert state.memory_used_b.value == 70e9
    assert (state.pcie_tx_b.value, state.pcie_rx_b.value) == (5e12, 6e12)
    assert state.compute_processes.value == 2
    assert (state.limit_w.value, state.enforced_limit_w.value) == (300.0, 250.0)


def test_of_a_device_nobody_read_everything_is_missing() -> None:
    fold = Fold([GPU, OTHER])
    fold.add(a_second_of(Channel.POWER_INSTANT_MW, 250_000, place=1))
    first, second = fold.states(SECOND_NS)
    assert first.power_w.status is Status.MISSING
    assert first.capped_share.status is Status.MISSING
    assert second.power_w.ok


def test_a_reading_of_no_watts_at_all_is_a_failure_and_not_an_idle_gpu() -> None:
    fold = Fold([GPU])
    fold.add(a_second_of(Channel.POWER_INSTANT_MW, 0))
    (state,) = fold.states(SECOND_NS)
    assert (state.power_w.status, state.power_w.value) == (Status.FAILED, None)
    assert not state.power_mean_w.ok


def test_ten_seconds_tell_what_a_load_in_bursts_uses() -> None:
    fold = Fold([GPU])
    for second in range(10):
        watts = 400_000 if second % 2 else 100_000
        fold.add(a_second_of(Channel.POWER_INSTANT_MW, watts, begin_s=second)[:-1])
    (state,) = fold.states(10 * SECOND_NS)
    assert (state.power_recent_w.value, state.power_recent_w.window_s) == (pytest.approx(250.0), 10.0)
    assert state.power_mean_w.value == pytest.approx(400.0)


def test_the_capped_share_is_that_of_the_power_limit_alone() -> None:
    fold = Fold([GPU])
    idle_and_thermal, capped, capped_too = 0x21, 0x4, 0x5
    for second in range(10):
        reasons = idle_and_thermal, capped, idle_and_thermal, capped_too
        fold.add(a_second_of(Channel.EVENT_REASONS, *reasons, begin_s=second)[:-1])
    share = fold.states(10 * SECOND_NS)[0].capped_share
    assert (share.value, share.window_s) == (pytest.approx(0.5), 10.0)


def test_a_power_reading_that_averages_a_second_is_called_so() -> None:
    fold = Fold([replace(GPU, power_window_s=1.0)])
    fold.add(a_second_of(Channel.POWER_INSTANT_MW, 250_000))
    assert fold.states(SECOND_NS)[0].power_w.sensor == "nvml average"


def test_energy_without_a_counter_is_the_integral_of_power_and_says_so() -> None:
    fold = Fold([GPU])
    fold.add([(0, 0, 0, Channel.ENERGY_MJ, Status.NOT_SUPPORTED, -1), *a_second_of(Channel.POWER_INSTANT_MW, 250_000)])
    energy = fold.states(SECOND_NS)[0].energy_j
    assert energy.value == pytest.approx(250.0)
    assert energy.sensor == "integral of nvml instant"


def test_records_of_a_newer_warden_are_skipped() -> None:
    fold = Fold([GPU])
    fold.add([ok(1, 999, 5), ok(1, Channel.TEMPERATURE_C, 50, place=7), ok(1, Channel.TEMPERATURE_C, 40)])
    assert fold.states(SECOND_NS)[0].temperature_c.value == 40


def test_a_device_keeps_its_past_when_a_new_warden_counts_otherwise() -> None:
    fold = Fold([GPU, OTHER])
    fold.add(a_second_of(Channel.POWER_INSTANT_MW, 250_000, place=1))
    third = replace(GPU, uuid="GPU-cc", index=2)
    fold.rebind([OTHER, third])
    moved, new = fold.states(SECOND_NS)
    assert (moved.device.uuid, moved.power_mean_w.value) == ("GPU-bb", pytest.approx(250.0))
    assert (new.device.uuid, new.power_w.status) == ("GPU-cc", Status.MISSING)
    fold.add([ok(1.05, Channel.POWER_INSTANT_MW, 99_000, place=0)])
    assert fold.states(int(1.05 * SECOND_NS))[0].power_w.value == 99.0


def test_a_ring_that_is_read_again_counts_nothing_twice() -> None:
    fold = Fold([GPU])
    records = a_second_of(Channel.POWER_INSTANT_MW, 100_000, 300_000)
    fold.add(records)
    before = fold.states(SECOND_NS)
    fold.add(records)
    assert fold.states(SECOND_NS) == before


def test_a_package_has_power_energy_and_limit_from_rapl_and_nothing_else() -> None:
    fold = Fold([GPU, CPU])
    fold.add(
        [
            *a_second_of(Channel.POWER_INSTANT_MW, 80_000, 90_000, place=1),
            ok(1, Channel.ENERGY_MJ, 5_000_000, place=1),
            ok(1, Channel.LIMIT_REQUESTED_MW, 250_000, place=1),
        ]
    )
    _, state = fold.states(SECOND_NS)
    assert (state.power_w.value, state.power_w.sensor, state.power_w.window_s) == (80.0, "rapl", 0.1)
    assert (state.power_mean_w.value, state.power_mean_w.sensor) == (pytest.approx(85.0), "mean of rapl")
    assert (state.energy_j.value, state.energy_j.sensor) == (5000.0, "rapl energy counter")
    assert (state.limit_w.value, state.limit_w.sensor) == (250.0, "rapl")
    for reading in (state.gpu_utilisation, state.busy_peak, state.sm_clock_mhz, state.temperature_c):
        assert reading.status is Status.MISSING


def looks(channel: int, begin_s: float, end_s: float, per_s: int, value: int) -> list[Record]:
    """The same value at an even pace, the end left out."""
    return [ok(begin_s + i / per_s, channel, value) for i in range(round((end_s - begin_s) * per_s))]


def test_the_busy_share_weighs_by_time_when_an_idle_gpu_that_gets_work_is_read_more_often() -> None:
    fold = Fold([GPU])
    fold.add(looks(Channel.GPU_UTILISATION_PCT, 0, 9, 1, 0))
    fold.add(looks(Channel.GPU_UTILISATION_PCT, 9, 10, 4, 90))
    share = fold.states(10 * SECOND_NS)[0].busy_share
    assert (share.value, share.window_s) == (pytest.approx(0.3), 3.0)


def test_the_busy_peak_is_the_greatest_look_of_ten_seconds() -> None:
    fold = Fold([GPU])
    fold.add(looks(Channel.GPU_UTILISATION_PCT, 0, 1, 4, 100))
    fold.add(looks(Channel.GPU_UTILISATION_PCT, 1, 5, 4, 30))
    fold.add([ok(5, Channel.GPU_UTILISATION_PCT, 70)])
    fold.add(looks(Channel.GPU_UTILISATION_PCT, 5.25, 10.9, 4, 40))
    peak = fold.states(int(10.5 * SECOND_NS))[0].busy_peak
    assert (peak.value, peak.window_s, peak.sensor) == (pytest.approx(1.0), 10.0, "greatest of nvml")
    assert fold.states(int(10.8 * SECOND_NS))[0].busy_peak.value == pytest.approx(0.7)


def test_a_peak_of_which_less_than_half_was_seen_is_missing() -> None:
    fold = Fold([GPU])
    fold.add(looks(Channel.GPU_UTILISATION_PCT, 0, 4, 4, 10))
    assert fold.states(int(3.8 * SECOND_NS))[0].busy_peak.status is Status.MISSING
    fold.add(looks(Channel.GPU_UTILISATION_PCT, 4, 5.5, 4, 10))
    assert fold.states(int(5.3 * SECOND_NS))[0].busy_peak.value == pytest.approx(0.1)


def test_an_idle_gpu_that_is_read_once_a_second_is_known_all_the_time() -> None:
    fold = Fold([GPU])
    channels = (
        *(Channel.POWER_INSTANT_MW, Channel.ENERGY_MJ, Channel.SM_CLOCK_MHZ, Channel.GPU_UTILISATION_PCT),
        *(Channel.TEMPERATURE_C, Channel.LIMIT_REQUESTED_MW, Channel.EVENT_REASONS, Channel.COMPUTE_PROCESSES),
    )
    for second in range(12):
        fold.add([ok(second * 1.05, channel, 50_000) for channel in channels])  # the loop may be late
    just_before_the_next = int(12.55 * SECOND_NS)
    (state,) = fold.states(just_before_the_next)
    for reading in (
        *(state.power_w, state.power_mean_w, state.power_recent_w, state.energy_j, state.sm_clock_mhz),
        *(state.gpu_utilisation, state.busy_share, state.busy_peak, state.temperature_c, state.limit_w),
        *(state.capped_share, state.compute_processes),
    ):
        assert reading.ok, reading
