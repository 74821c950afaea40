"""The simulated host's own nvidia-smi: its command line, what it prints, and what it sets."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eagent.sim import smi
from eagent.sim._bmc import Bmc
from eagent.sim._faults import Faults
from eagent.sim._plant import Host

if TYPE_CHECKING:
    from tests.conftest import SimHost, SimHostFactory

MIB = 1 << 20


def nvidia_smi(host: SimHost, *words: str, **changed: str) -> subprocess.CompletedProcess[str]:
    """Run it as a shell there would: by its name, through the PATH. An empty variable is none."""
    program = host.dir / "bin/nvidia-smi"
    environ = {name: value for name, value in {**host.environ, **changed}.items() if value}
    return subprocess.run([program, *words], env=environ, capture_output=True, text=True, timeout=30, check=False)


def printed(host: SimHost, *words: str) -> list[str]:
    done = nvidia_smi(host, *words)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def refused(host: SimHost, *words: str, **changed: str) -> tuple[int, str]:
    """Its exit status and its one line."""
    done = nvidia_smi(host, *words, **changed)
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    return done.returncode, line.removeprefix("nvidia-smi (simulated): ")


@pytest.fixture
def still(sim_host: SimHostFactory) -> SimHost:
    """Three GPUs half a minute after work began on the first two; the first is held by its limit. Time stands still."""
    host = sim_host(gpus=3, clock="virtual")
    with Host(host.plant) as plant:
        plant.set_power_limit(0, 250)
        plant.start_square([0, 1], 0.0, 1.0, 1.0, 0.9, 0.5, 0.7, 1)
        plant.advance(30.25)
    return host


def shown(key: str, form: str = "{}") -> Callable[[int, dict[str, Any]], str]:
    return lambda _, view: form.format(view[key])


def watts(key: str) -> Callable[[int, dict[str, Any]], str]:
    return lambda _, view: f"{view[key] / 1000:.2f} W"


# What the columns must show, from the plant's own view of a GPU.
WANTED: dict[str, Callable[[int, dict[str, Any]], str]] = {
    "index": lambda gpu, _: str(gpu),
    "count": lambda *_: "3",
    "name": shown("name"),
    "uuid": shown("uuid"),
    "pci.bus_id": lambda _, view: f"{view['pci_domain']:08X}:{view['pci_bus']:02X}:{view['pci_device']:02X}.0",
    "compute_cap": lambda _, view: f"{view['compute_major']}.{view['compute_minor']}",
    "persistence_mode": lambda _, view: "Enabled" if view["persistence_mode"] else "Disabled",
    "compute_mode": lambda *_: "Default",
    "temperature.gpu": shown("temperature_c"),
    "utilization.gpu": shown("gpu_utilisation_pct", "{} %"),
    "utilization.memory": shown("memory_utilisation_pct", "{} %"),
    "memory.total": lambda _, view: f"{view['memory_total_b'] // MIB} MiB",
    "memory.used": lambda _, view: f"{view['memory_used_b'] // MIB} MiB",
    "memory.free": lambda _, view: f"{(view['memory_total_b'] - view['memory_used_b']) // MIB} MiB",
    "power.draw": watts("power_plain_mw"),
    "power.draw.instant": watts("power_instant_mw"),
    "power.limit": watts("limit_requested_mw"),
    "enforced.power.limit": watts("limit_enforced_mw"),
    "power.default_limit": watts("limit_default_mw"),
    "power.min_limit": watts("limit_min_mw"),
    "power.max_limit": watts("limit_max_mw"),
    "clocks.current.graphics": shown("sm_clock_mhz", "{} MHz"),
    "clocks.current.sm": shown("sm_clock_mhz", "{} MHz"),
    "clocks.current.memory": shown("memory_clock_mhz", "{} MHz"),
    "clocks.max.sm": shown("sm_clock_max_mhz", "{} MHz"),
    "clocks.max.memory": shown("memory_clock_max_mhz", "{} MHz"),
    "clocks_event_reasons.active": shown("event_reasons", "{:#018x}"),
    "clocks_event_reasons.gpu_idle": lambda _, view: "Active" if view["event_reasons"] & 1 else "Not Active",
    "clocks_event_reasons.sw_power_cap": lambda _, view: "Active" if view["event_reasons"] & 4 else "Not Active",
}


def test_help_says_that_it_is_simulated_and_whose_it_is_not(still: SimHost) -> None:
    text = "\n".join(printed(still, "--help"))
    assert "simulated" in text
    assert "not affiliated with NVIDIA" in text
    assert text == "\n".join(printed(still, "-h"))


def test_help_needs_neither_library_nor_driver(still: SimHost) -> None:
    assert nvidia_smi(still, "--help", LD_LIBRARY_PATH="", EAGENT_SIM_HOST="").returncode == 0


def test_it_is_the_first_of_its_name_on_the_hosts_path(still: SimHost) -> None:
    found = subprocess.run(
        ["/bin/sh", "-c", "command -v nvidia-smi"], env=still.environ, capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == str(still.dir / "bin/nvidia-smi")


def test_a_module_in_the_current_directory_is_not_taken_for_its_own(still: SimHost) -> None:
    (still.dir / "pynvml.py").write_text("raise SystemExit(77)")
    done = subprocess.run([still.dir / "bin/nvidia-smi", "-L"], env=still.environ, cwd=still.dir, check=False)
    assert done.returncode == 0


def test_a_list_names_each_gpu(still: SimHost) -> None:
    with Host(still.plant) as plant:
        views = [plant.view(gpu) for gpu in range(3)]
    wanted = [f"GPU {gpu}: {view['name']} (UUID: {view['uuid']})" for gpu, view in enumerate(views)]
    assert printed(still, "-L") == printed(still, "--list-gpus") == wanted


def test_each_field_shows_what_the_driver_says_of_each_gpu(still: SimHost) -> None:
    header, *rows = printed(still, f"--query-gpu={','.join(WANTED)}", "--format=csv")
    assert [column.split(" [")[0] for column in header.split(", ")] == list(WANTED)
    with Host(still.plant) as plant:
        views = [plant.view(gpu) for gpu in range(3)]
    for gpu, (row, view) in enumerate(zip(rows, views, strict=True)):
        assert dict(zip(WANTED, row.split(", "), strict=True)) == {
            name: wanted(gpu, view) for name, wanted in WANTED.items()
        }
    assert views[0]["event_reasons"] & 4  # the limit binds: Active and Not Active were both seen
    assert views[0]["power_plain_mw"] != views[1]["power_plain_mw"] != views[2]["power_plain_mw"]


def test_every_field_there_is_can_be_asked_for(still: SimHost) -> None:
    names = [line.split()[0] for line in printed(still, "--help-query-gpu")]
    assert set(WANTED) < set(names)
    (row,) = printed(still, f"--query-gpu={','.join(names)}", "--format=csv,noheader", "--id=1")
    cells = dict(zip(names, row.split(", "), strict=True))
    assert "" not in cells.values()
    assert cells["fan.speed"] == "[N/A]"
    assert re.fullmatch(r"\d{4}/\d\d/\d\d \d\d:\d\d:\d\d\.\d{3}", cells["timestamp"])


def test_header_and_units_can_be_left_out(still: SimHost) -> None:
    query = ("--query-gpu=index,power.limit", "-i", "0")
    assert printed(still, *query, "--format=csv") == ["index, power.limit [W]", "0, 250.00 W"]
    assert printed(still, *query, "--format=csv,nounits") == ["index, power.limit [W]", "0, 250.00"]
    assert printed(still, *query, "--format=csv,noheader") == ["0, 250.00 W"]
    assert printed(still, *query, "--format", "nounits,csv,noheader") == ["0, 250.00"]


def test_other_names_of_a_field_are_understood_and_the_header_shows_the_first(still: SimHost) -> None:
    query = "--query-gpu=clocks.sm, gpu_name,clocks_throttle_reasons.active"
    assert printed(still, query, "--format=csv")[0] == "clocks.current.sm [MHz], name, clocks_event_reasons.active"


def test_without_arguments_it_shows_a_line_for_each_gpu_and_says_that_they_are_simulated(still: SimHost) -> None:
    title, header, *rows = printed(still)
    assert title.startswith("Simulated")
    assert header.split()[0] == "index"
    assert [row.split()[0] for row in rows] == ["0", "1", "2"]


def test_gpus_are_chosen_by_index_uuid_or_bus_in_the_order_given(still: SimHost) -> None:
    with Host(still.plant) as plant:
        uuid, bus = plant.view(0)["uuid"], plant.view(1)["pci_bus"]
    for chosen, wanted in (("2,0", ["2", "0"]), (f"{uuid},00000000:{bus:02X}:00.0", ["0", "1"])):
        assert printed(still, "-i", chosen, "--query-gpu=index", "--format=csv,noheader") == wanted


@pytest.mark.parametrize("name", ["3", "99999999999", "GPU-0", "0000:99:00.0", "", "x"])
def test_a_gpu_that_is_not_there_is_status_6(still: SimHost, name: str) -> None:
    status, line = refused(still, "-L", "-i", name)
    assert (status, line) == (6, f"no GPU {name!r}: Not Found")


def test_knobs_are_set_where_the_driver_has_them(still: SimHost) -> None:
    assert printed(still, "-i", "1,2", "-pl", "300.5", "-lgc", "210,1200", "-pm", "0") == [
        line.format(gpu)
        for gpu in (1, 2)
        for line in (
            "GPU {}: power limit is 300.50 W, was 400.00 W",
            "GPU {}: clocks are locked to 210 to 1200 MHz",
            "GPU {}: persistence mode is disabled",
        )
    ]
    assert printed(still, "--id=2", "--lock-gpu-clocks=900")
    assert printed(still, "-i", "1", "-rgc") == ["GPU 1: clocks are not locked"]
    with Host(still.plant) as plant:
        assert [entry[1:4] for entry in plant.limit_log()] == [(0, 400, 250), (1, 400, 300.5), (2, 400, 300.5)]
        locks = [entry[1:4] for entry in plant.lock_log()]
        assert locks == [(1, 210, 1200), (2, 210, 1200), (2, 900, 900), (1, 0, 0)]
        assert [plant.view(gpu)["persistence_mode"] for gpu in range(3)] == [1, 0, 0]


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["-pl", "99"], "GPU 0: power-limit 99 is not within 100.00 W to 400.00 W: Invalid Argument"),
        (["-pl", "4294968"], "power limit '4294968': must be a number of watts, up to a million"),
        (["-pl", "-5"], "power limit '-5': must be a number of watts, up to a million"),
        (["-lgc", "1200,210"], "GPU 0: lock-gpu-clocks 1200,210 is no range up to 1410 MHz: Invalid Argument"),
        (["-lgc", "210,x"], "clocks '210,x': must be MIN,MAX in MHz"),
        (["-pm", "2"], "persistence mode '2': must be 0 or 1"),
        (["-pl"], "-pl needs a value; see --help"),
        (["-q"], "no option '-q'; the simulated tool has only what --help lists"),
        (["-L", "-pl", "200"], "list, query, set or reset: one of them at a time"),
        (["-L", "-L"], "-L is given twice"),
        (["-rgc=1"], "-rgc takes no value"),
        (["--query-gpu=index,power"], "--format '': must be csv[,noheader][,nounits]"),
        (["--query-gpu=index,power", "--format=csv"], "no field 'power' to query; --help-query-gpu lists them"),
        (["--query-gpu=index", "--format=xml"], "--format 'xml': must be csv[,noheader][,nounits]"),
        (["--format=csv"], "--format is of --query-gpu"),
    ],
)
def test_a_bad_argument_is_status_2_and_changes_nothing(still: SimHost, words: list[str], line: str) -> None:
    with Host(still.plant) as plant:
        before = plant.limit_log(), plant.lock_log()
        assert refused(still, *words) == (2, line)
        assert (plant.limit_log(), plant.lock_log()) == before


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (["-pl", "200"], "power-limit 200"),
        (["-lgc", "210,1200"], "lock-gpu-clocks 210,1200"),
        (["-rgc"], "reset-gpu-clocks"),
        (["-pm", "0"], "persistence-mode 0"),
    ],
)
def test_a_knob_that_nobody_may_turn_is_status_4(sim_host: SimHostFactory, words: list[str], what: str) -> None:
    host = sim_host(gpus=1, permission="nobody")
    assert refused(host, *words) == (4, f"GPU 0: {what}: Insufficient Permissions")


def test_a_host_that_is_off_has_no_driver(still: SimHost) -> None:
    with Bmc(still.plant) as bmc:
        bmc.switch_off()
    for path in (str(still.plant), ""):
        wanted = f"no driver for EAGENT_SIM_HOST={path!r}: Driver Not Loaded"
        assert refused(still, "-L", EAGENT_SIM_HOST=path) == (9, wanted)


def test_a_gpu_that_is_lost_from_the_start_is_named_and_others_can_be_asked(still: SimHost) -> None:
    with Faults(still.plant) as faults:
        faults.inject("gpu-lost", "gpu", 1)
    assert refused(still, "-L") == (15, "GPU 1: GPU is lost")
    assert refused(still, "-pl", "200") == (15, "GPU 1: GPU is lost")
    assert refused(still, "-i", "0,1", "-L") == (15, "no GPU '1': GPU is lost")
    assert len(printed(still, "-i", "0,2", "-L")) == 2


def test_what_one_gpu_does_not_tell_does_not_hide_the_rest(still: SimHost) -> None:
    with Faults(still.plant) as faults:
        faults.inject("stuck-power", "gpu", 1, (0.0, 8))  # asking for a clock fails
    done = nvidia_smi(still)
    rows = done.stdout.splitlines()[2:]
    assert (done.returncode, done.stderr) == (255, "")
    assert ["[Unknown Error]" in row for row in rows] == [False, True, False]


LOSE = """
import contextlib, io, json, sys, pynvml
from eagent.sim import smi
from eagent.sim._bmc import Bmc

pynvml.nvmlInit()
gpus = smi.choose(None)
with Bmc(sys.argv[1]) as bmc:
    bmc.switch_off()
with contextlib.redirect_stdout(io.StringIO()) as out:
    status = smi.query(gpus, ["index", "fan.speed", "power.draw"], True, True)
print(json.dumps([status, out.getvalue().splitlines()]))
"""


def test_a_gpu_that_is_lost_meanwhile_says_so_in_each_cell_and_in_the_status(still: SimHost) -> None:
    row = "[GPU is lost], [GPU is lost], [GPU is lost]"
    assert still.python(LOSE, str(still.plant)) == [15, ["index, fan.speed [%], power.draw [W]", row, row, row]]


def test_without_a_simulated_library_it_speaks_with_none(still: SimHost) -> None:
    assert refused(still, "-L", LD_LIBRARY_PATH="")[0] == 12
    foreign = still.dir / "foreign"
    foreign.mkdir()
    (foreign / "libnvidia-ml.so.1").symlink_to("/lib/x86_64-linux-gnu/libm.so.6")
    status, line = refused(still, "-pl", "200", LD_LIBRARY_PATH=str(foreign))
    assert (status, line) == (12, "the library found is not of a simulated host: see `eagent sim env`")


WORDS = st.sampled_from(
    [
        *smi.OPTIONS,
        *smi.FLAGS,
        *smi.VALUED,
        "csv",
        "csv,noheader",
        "--format=csv",
        "--query-gpu=name",
        "0",
        "1",
        "210,1200",
    ]
) | st.text(max_size=12)


def refusal(words: list[str]) -> str | None:
    """Why a command line is refused before a driver is asked, or None."""
    try:
        smi.check(smi.parse(words))
    except smi.Refusal as no:
        return str(no) if no.status == 2 else f"status {no.status}\n"
    return None


@given(st.lists(WORDS, max_size=6))
def test_any_command_line_is_understood_or_refused_with_one_line(words: list[str]) -> None:
    assert (refusal(words) or "understood").isprintable()


def test_a_gpu_is_reset_only_while_nobody_has_it_open(still: SimHost) -> None:
    script = "from pynvml import *; import sys; nvmlInit(); print('in', flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", script], env=still.environ, stdin=-1, stdout=-1, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "in\n"
        assert refused(still, "--gpu-reset", "-i", "2") == (255, "GPU 2 could not be reset: In use by another client")
        assert other.stdin is not None
        other.stdin.close()
        other.wait(30)
    assert printed(still, "--gpu-reset", "-i", "2") == ["GPU 2 was successfully reset."]
    assert refused(still, "-r", "-i", "gpu2") == (2, "no GPU 'gpu2' to reset: by their numbers, 0 to 2")
