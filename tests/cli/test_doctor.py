"""`eagent doctor` as a process, in each situation that it is for: what it prints, and how it ends."""

from __future__ import annotations

import ctypes.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

NOBODY = 65_534
# The one capability that stays lets it read eagent where it is installed, which may be a directory of root's.
AS_NOBODY = [f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--inh-caps=-all,+dac_read_search"]
AS_NOBODY += ["--ambient-caps=-all,+dac_read_search"]
# These tell of the machine that the tests run on, or of what else runs there: they have tests of their own.
OF_THIS_MACHINE = ("time", "other writers")

# Sets a limit again and again, under another program's name, until its input ends.
WRITER = """
import ctypes, select, sys, pynvml
ctypes.CDLL(None).prctl(15, b"tuned", 0, 0, 0)
pynvml.nvmlInit()
gpu = pynvml.nvmlDeviceGetHandleByIndex(1)
watts = 300
while not select.select([sys.stdin], [], [], 0.15)[0]:
    watts = 300 if watts == 310 else 310
    pynvml.nvmlDeviceSetPowerManagementLimit(gpu, watts * 1000)
    print(watts, flush=True)
"""

CPU = [
    "  note     cpufreq: no policy under DIR/sys/devices/system/cpu/cpufreq: frequency can be neither read nor set, "
    "as in most virtual machines",
    "           to do: on a host of its own: let the BIOS leave P-states to the system, then `sudo modprobe "
    "acpi-cpufreq`",
    "  note     RAPL: no zone under DIR/sys/class/powercap: the CPUs' draw can't be read, and counts at its maximum in "
    "fixed_w",
    "           to do: on a host of its own: `sudo modprobe intel_rapl_msr` (also AMD's)",
]
EAGENT = ["  note     eagent: not running with DIR/run", "           to do: run `sudo eagent up`"]
RECORDS = ["  ok       journal: empty: eagent holds no knob", "  ok       budget: none"]
CONFIGURATION = ["  ok       file: DIR/eagent.toml"]
HEALTHY = {
    "driver": [
        "  ok       libnvidia-ml.so.1: simulated driver 999.1.0, 2 GPUs, from DIR/lib/libnvidia-ml.so.1",
    ],
    "permission": [
        "  ok       gpu0-1: power limits and clocks: this user has CAP_SYS_ADMIN; the warden tries each knob when it "
        "starts",
    ],
    "persistence": ["  ok       gpu0-1: persistence mode is on"],
    "limits": ["  ok       gpu0-1: NVIDIA A100-SXM4-80GB: limit 400 W, of 100 to 400 W"],
    "sharing": ["  ok       host: no MIG, no vGPU"],
    "cpu": CPU,
    "eagent": EAGENT,
    "journal and budget": RECORDS,
    "directories": [
        "  ok       DIR/run: belongs to user UID, with space",
        "  ok       DIR/state: belongs to user UID, with space",
    ],
    "configuration": CONFIGURATION,
}


class Doctor:
    """Runs it on one host; what it prints has DIR for the host's directory and UID for the user."""

    def __init__(self, directory: Path, environ: Mapping[str, str]) -> None:
        self.dir = directory
        (directory / "sys").mkdir(exist_ok=True)
        self.config = directory / "eagent.toml"
        self.config.write_text("[host]\nfixed_w = 1000.0\n")
        self._environ = {**environ, "EAGENT_SYSFS": str(directory / "sys"), "EAGENT_PROC": "/proc"}
        self._shared = {"EAGENT_RUN_DIR": str(directory / "run"), "EAGENT_STATE_DIR": str(directory / "state")}
        self.uid = os.getuid()
        self.prefix: list[str] = []

    def run(self, *words: str) -> tuple[int, str]:
        verb = ["doctor", f"--config={self.config}", "--watch=0.5s", *words]
        done = subprocess.run(
            [*self.prefix, sys.executable, "-m", "eagent", *verb],
            env={**self._environ, **self._shared},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.stderr == ""
        return done.returncode, done.stdout.replace(str(self.dir), "DIR")

    def groups(self) -> tuple[int, dict[str, list[str]]]:
        """The exit code, and the lines by the group's heading, `head` and `end` among them."""
        code, text = self.run()
        parts = text.replace(f"user {self.uid}", "user UID").strip().split("\n\n")
        found = {part.split("\n")[0]: part.split("\n")[1:] for part in parts[1:-1]}
        return code, {
            **{name: lines for name, lines in found.items() if name not in OF_THIS_MACHINE},
            "head": parts[0].split("\n")[1:],
            "end": [parts[-1].partition(",")[0]],
        }

    def findings(self, severity: str) -> list[dict[str, str]]:
        code, text = self.run("--json")
        document = json.loads(text)
        assert code == (1 if document["counts"]["problem"] else 0)
        assert document["counts"]["problem"] == sum(each["severity"] == "problem" for each in document["findings"])
        assert document["simulated"] is True
        return [each for each in document["findings"] if each["severity"] == severity]


@pytest.fixture
def doctor(sim_host: Callable[..., Any]) -> Callable[..., Doctor]:
    """The doctor on a simulated host of two GPUs, whose driver lets root set limits."""

    def make(**options: Any) -> Doctor:
        made = sim_host(**{"gpus": 2, "permission": "root", **options})
        return Doctor(made.dir, made.environ)

    return make


SIMULATED = ["SIMULATED: the GPUs below are a simulated host's."]
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root can find a host as root does, or be less")
with_setpriv = pytest.mark.skipif(
    os.geteuid() == 0 and shutil.which("setpriv") is None, reason="root needs setpriv (util-linux) to be less"
)


@pytest.mark.skipif(ctypes.util.find_library("nvidia-ml") is not None, reason="there is a GPU's driver here")
def test_a_machine_without_a_gpu(tmp_path: Path) -> None:
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("EAGENT_", "LD_"))}
    for name in ("run", "state"):
        (tmp_path / name).mkdir()
    found = Doctor(tmp_path, environ)
    code, groups = found.groups()
    assert code == 1
    assert groups == {
        "head": [],
        "driver": [
            "  PROBLEM  libnvidia-ml.so.1: NVML can't be loaded: cannot open shared object file: No such file or "
            "directory",
            "           to do: install the NVIDIA driver, or run `eagent demo` to try eagent on a simulated host",
        ],
        **{name: HEALTHY[name] for name in ("cpu", "eagent", "journal and budget", "directories", "configuration")},
        "end": ["1 problem"],
    }
    document = json.loads(found.run("--json")[1])
    assert document["simulated"] is False
    assert [each for each in document["findings"] if each["check"] == "driver"] == [
        {
            "check": "driver",
            "subject": "libnvidia-ml.so.1",
            "severity": "problem",
            "what": "NVML can't be loaded: cannot open shared object file: No such file or directory",
            "fix": "install the NVIDIA driver, or run `eagent demo` to try eagent on a simulated host",
        }
    ]


@root_only
def test_a_simulated_host_as_root(doctor: Callable[..., Doctor]) -> None:
    found = doctor()
    found.groups()  # the first to ask has the simulated kernel show that the driver is loaded
    before = sorted(found.dir.rglob("*"))
    assert found.groups() == (0, {"head": SIMULATED, **HEALTHY, "end": ["0 problems"]})
    assert found.findings("problem") == []
    assert sorted(found.dir.rglob("*")) == before


NOT_ALLOWED = (
    "power limits and clocks: a simulated driver, unless it was made to let anyone, lets only root set them, and this "
    "is {}: eagent would only observe"
)
AS_ROOT = "run the warden as root on the host itself: `sudo eagent up`; a container needs CAP_SYS_ADMIN"


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """A directory that any user may enter, which pytest's own are not."""
    directory = Path(tempfile.mkdtemp())
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(directory)


@with_setpriv
def test_a_simulated_host_as_an_ordinary_user(open_directory: Path) -> None:
    from eagent.sim import host

    made = host.create(open_directory, "lab", gpus=2, permission="root")
    found = Doctor(made.path, made.environment({"PATH": os.environ["PATH"], "HOME": str(open_directory)}))
    if os.geteuid() == 0:
        found.uid, found.prefix = NOBODY, ["setpriv", *AS_NOBODY]
        for path in (open_directory, *open_directory.rglob("*")):
            os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
    code, groups = found.groups()
    permission = [
        f"  warning  gpu0-1: {NOT_ALLOWED.format('user UID, without CAP_SYS_ADMIN')}",
        f"           to do: {AS_ROOT}",
    ]
    assert (code, groups) == (0, {"head": SIMULATED, **HEALTHY, "permission": permission, "end": ["0 problems"]})
    (finding,) = [each for each in found.findings("warning") if each["check"] not in OF_THIS_MACHINE]
    what = NOT_ALLOWED.format(f"user {found.uid}, without CAP_SYS_ADMIN")
    assert finding == {
        "check": "permission",
        "subject": "gpu0-1",
        "severity": "warning",
        "what": what,
        "fix": AS_ROOT,
    }


@root_only
@with_setpriv
def test_root_in_a_container_lacks_what_the_driver_asks_for(doctor: Callable[..., Doctor]) -> None:
    found = doctor()
    found.prefix = ["setpriv", "--bounding-set=-sys_admin"]
    _, groups = found.groups()
    assert groups["permission"][0] == f"  warning  gpu0-1: {NOT_ALLOWED.format('root without CAP_SYS_ADMIN')}"


def test_a_driver_that_lacks_a_name_that_is_needed_and_one_that_is_not(doctor: Callable[..., Doctor]) -> None:
    found = doctor()
    library = found.dir / "libnvidia-ml.so.535"
    names = (found.dir / "lib" / "libnvidia-ml.so.1").read_bytes()
    for name in (b"nvmlDeviceGetEnforcedPowerLimit", b"nvmlDeviceGetPowerManagementDefaultLimit"):
        assert b"\0" + name + b"\0" in names
        names = names.replace(b"\0" + name + b"\0", b"\0" + name[:-1] + b"X\0")
    library.write_bytes(names)
    found.config.write_text(f'[host]\nfixed_w = 1000.0\n[driver]\nlibrary = "{library}"\n')
    code, groups = found.groups()
    assert code == 1
    assert groups["driver"] == [
        "  PROBLEM  nvmlDeviceGetPowerManagementDefaultLimit: missing in DIR/libnvidia-ml.so.535: eagent can't use it",
        "           to do: update the NVIDIA driver",
        "  warning  nvmlDeviceGetEnforcedPowerLimit: missing in DIR/libnvidia-ml.so.535: a limit set out of band can't "
        "be seen",
        "           to do: update the NVIDIA driver",
        "  ok       DIR/libnvidia-ml.so.535: simulated driver 999.1.0, 2 GPUs, from DIR/libnvidia-ml.so.535",
    ]
    assert groups["end"] == ["1 problem"]
    assert found.findings("problem") == [
        {
            "check": "driver",
            "subject": "nvmlDeviceGetPowerManagementDefaultLimit",
            "severity": "problem",
            "what": "missing in DIR/libnvidia-ml.so.535: eagent can't use it",
            "fix": "update the NVIDIA driver",
        }
    ]


def test_a_foreign_writer_is_seen_at_it_and_known_by_its_name(sim_host: Callable[..., Any]) -> None:
    made = sim_host(gpus=2, permission="anyone")
    found = Doctor(made.dir, made.environ)
    command = [sys.executable, "-c", WRITER]
    with subprocess.Popen(command, env=made.environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as writer:
        try:
            assert writer.stdout is not None
            writer.stdout.readline()
            code, text = found.run("--watch=1s")
            problems = found.findings("problem")
        finally:
            writer.kill()
    assert code == 1
    lines = text.split("\nother writers\n")[1].split("\n\n")[0].split("\n")
    assert lines[0].startswith("  PROBLEM  gpu1: its power limit changed ")
    assert lines[0].endswith(" W, and eagent did not do it")
    assert "tuned" in lines[1]
    told = next(line for line in lines if line.startswith("  warning  tuned: "))
    assert str(writer.pid) in told
    assert told.endswith(": sets CPU governors, EPP and what its profiles name")
    assert "           to do: run `sudo systemctl disable --now tuned`, or choose a profile without [cpu]" in text
    assert [(each["check"], each["subject"]) for each in problems] == [("other writers", "gpu1")]


def test_a_configuration_that_can_not_be_read_is_one_problem_among_the_findings(doctor: Callable[..., Doctor]) -> None:
    found = doctor()
    found.config.write_text("[hosts]\n")
    code, groups = found.groups()
    assert code == 1
    assert groups["configuration"] == [
        "  PROBLEM  file: DIR/eagent.toml: unknown section [hosts]; did you mean 'host'?",
        "           to do: correct it; config/eagent.toml explains every option",
    ]
    assert groups["limits"] == HEALTHY["limits"]
