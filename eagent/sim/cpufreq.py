"""devices/system/cpu of a simulated host: its CPUs, their topology and one cpufreq policy each.

The texts are those of the kernel, trailing spaces included; so is what it refuses (drivers/cpufreq of Linux 6).
"""

from __future__ import annotations

from functools import partial

from eagent.sim._plant import Host
from eagent.sim.attribute import (
    Attribute,
    Link,
    Tree,
    constant,
    first_word,
    invalid,
    read_only,
    read_write,
    whole_number,
)

ROOT = "devices/system/cpu"
INT_MAX = 2**31 - 1  # the kernel keeps frequencies as int
# By name: what intel_pstate writes to the register. What it reads back is shown by name if it has one.
EPPS = {"default": 128, "performance": 0, "balance_performance": 128, "balance_power": 192, "power": 255}
LATENCY_NS = {"intel_pstate": 0, "acpi-cpufreq": 10_000}


def tree(host: Host) -> Tree:
    """All files under devices/system/cpu of a host; none for a host without processors."""
    processor = host.processor
    if processor is None:
        return {}
    cores = processor["cores"]
    count = processor["packages"] * cores
    everyone = constant(_ranged(0, count - 1))
    files: Tree = {f"{ROOT}/{name}": everyone for name in ("present", "online", "possible")}
    files[f"{ROOT}/offline"] = constant("")
    files[f"{ROOT}/kernel_max"] = constant(8191)
    for cpu in range(count):
        package = cpu // cores
        for name, text in _topology(cpu, package, cores).items():
            files[f"{ROOT}/cpu{cpu}/topology/{name}"] = constant(text)
        if cpu > 0:  # the first can't be taken off line
            files[f"{ROOT}/cpu{cpu}/online"] = constant(1)
        files[f"{ROOT}/cpu{cpu}/cpufreq"] = Link(f"../cpufreq/policy{cpu}")
        for name, attribute in _policy(host, cpu).items():
            files[f"{ROOT}/cpufreq/policy{cpu}/{name}"] = attribute
    return files


def _ranged(first: int, last: int) -> str:
    return str(first) if first == last else f"{first}-{last}"


def _topology(cpu: int, package: int, cores: int) -> dict[str, object]:
    siblings = _ranged(package * cores, (package + 1) * cores - 1)
    return {
        "physical_package_id": package,
        "die_id": 0,
        "core_id": cpu % cores,
        "core_cpus_list": cpu,
        "thread_siblings_list": cpu,
        "package_cpus_list": siblings,
        "core_siblings_list": siblings,
    }


def _policy(host: Host, cpu: int) -> dict[str, Attribute]:
    processor = host.processor
    assert processor is not None
    governors = processor["governors"]
    # Drivers that choose frequencies themselves list governors without the space that follows each of the others.
    listed = " ".join(governors) if processor["has_epp"] else "".join(f"{name} " for name in governors)

    def see(key: str) -> object:
        return host.cpu_view(cpu)[key]  # type: ignore[literal-required]

    files = {
        "affected_cpus": constant(cpu),
        "related_cpus": constant(cpu),
        "cpuinfo_min_freq": constant(processor["min_khz"]),
        "cpuinfo_max_freq": constant(processor["max_khz"]),
        "cpuinfo_transition_latency": constant(LATENCY_NS[processor["driver"]]),
        "scaling_driver": constant(processor["driver"]),
        "scaling_available_governors": constant(listed),
        "scaling_setspeed": read_write(lambda: "<unsupported>", _unsupported),
        "scaling_cur_freq": read_only(partial(see, "current_khz")),
        "scaling_min_freq": read_write(
            partial(see, "min_khz"), lambda text, pid: host.set_cpu_min_khz(cpu, _khz(text), pid)
        ),
        "scaling_max_freq": read_write(
            partial(see, "max_khz"), lambda text, pid: host.set_cpu_max_khz(cpu, _khz(text), pid)
        ),
        "scaling_governor": read_write(
            partial(see, "governor"), lambda text, pid: host.set_cpu_governor(cpu, first_word(text, 15).lower(), pid)
        ),
    }
    if processor["has_epp"]:
        files["energy_performance_available_preferences"] = constant("".join(f"{name} " for name in EPPS))
        files["energy_performance_preference"] = read_write(
            lambda: _epp_name(host.cpu_view(cpu)["epp"]), lambda text, pid: host.set_cpu_epp(cpu, _epp(text), pid)
        )
    return files


def _unsupported(text: str, pid: int) -> None:  # noqa: ARG001  # the shape of a store
    raise invalid("scaling_setspeed")


def _khz(text: str) -> int:
    khz = whole_number(text, prefixed=True)
    if khz > INT_MAX:
        raise invalid(repr(text))
    return khz


def _epp(text: str) -> int:
    word = first_word(text, 20)
    epp = EPPS[word] if word in EPPS else whole_number(text)
    if epp > 255:
        raise invalid(repr(text))
    return epp


def _epp_name(epp: int) -> object:
    return next((name for name, value in EPPS.items() if value == epp and name != "default"), epp)
