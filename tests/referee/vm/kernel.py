"""The stock Debian kernel and the modules that the guest needs, taken out of Debian's package."""

import lzma
import os
import re
import shutil
import subprocess
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

# The directories of the package that hold all of WANTED and what they depend on.
PLACES = re.compile(
    r"kernel/(drivers/(cpufreq|powercap|thermal/intel|virtio)|fs/(9p|fscache|netfs|overlayfs)|net/9p)/.*\.ko(\.xz)?$"
)
META_PACKAGE = "linux-image-amd64"  # it depends on the package of the kernel
SANDBOX = "APT::Sandbox::User="  # no other user than this one: the directory is private
WANTED = (
    "virtio_pci",
    "9pnet_virtio",
    "9p",
    "overlay",
    "acpi-cpufreq",
    "cpufreq_conservative",
    "cpufreq_ondemand",
    "cpufreq_powersave",
    "cpufreq_userspace",
    "intel_rapl_common",
    "processor_thermal_device_pci",
)


@dataclass(frozen=True, slots=True)
class Kernel:
    """An unpacked kernel: `version` is that of the package, `modules` in the order in which they load."""

    version: str
    image: Path
    modules: tuple[Path, ...]


def obtain(cache: Path) -> Kernel:
    """The kernel in the cache; the package that Debian offers now, fetched first, if there is none."""
    found = sorted(cache.glob("linux-image-*"), key=lambda path: path.stat().st_mtime)
    home = found[-1] if found else fetch(cache)
    return Kernel(home.name, home / "vmlinuz", in_order(home / "modules"))


def fetch(cache: Path) -> Path:
    """Download the package, unpack what is needed and forget the rest: 70 MB become 12."""
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        raise SystemExit("referee: the kernel comes as a Debian package: apt-get and dpkg-deb are missing")
    if os.geteuid() == 0:  # a list that is old names packages that are gone
        subprocess.run(["apt-get", "update", "-qq"], check=True)
    listed = subprocess.run(["apt-cache", "depends", META_PACKAGE], capture_output=True, text=True, check=False).stdout
    package = re.search(r"Depends: (linux-image-\S+)", listed)
    if not package:
        raise SystemExit(f"referee: apt knows no {META_PACKAGE}: this takes Debian on x86-64, and apt-get update")
    with tempfile.TemporaryDirectory(dir=cache) as scratch:
        print(f"referee: fetching {package[1]}", flush=True)
        subprocess.run(["apt-get", "download", "-qq", "-o", SANDBOX, package[1]], cwd=scratch, check=True)
        archive = next(Path(scratch).glob("*.deb"))
        unpacked = Path(scratch) / archive.stem
        unpack(archive, unpacked)
        home = cache / unpacked.name
        if not home.exists():  # else another run was faster
            unpacked.rename(home)
    return home


def unpack(archive: Path, into: Path) -> None:
    (into / "modules").mkdir(parents=True)
    with (
        subprocess.Popen(["dpkg-deb", "--fsys-tarfile", archive], stdout=subprocess.PIPE) as reader,
        tarfile.open(fileobj=reader.stdout, mode="r|") as tar,
    ):
        for member in tar:
            content = tar.extractfile(member) if member.isreg() else None
            if content is None:
                continue
            if "/boot/vmlinuz-" in member.name:
                with (into / "vmlinuz").open("wb") as image:
                    shutil.copyfileobj(content, image)
            elif PLACES.search(member.name):
                name = Path(member.name)
                data = lzma.decompress(content.read()) if name.suffix == ".xz" else content.read()
                (into / "modules" / name.name.removesuffix(".xz")).write_bytes(data)
    if reader.returncode:
        raise SystemExit(f"referee: {archive.name} cannot be unpacked")


def in_order(modules: Path) -> tuple[Path, ...]:
    """WANTED and what they depend on, as far as they are modules; a dependency comes before what needs it."""
    files = {path.stem.replace("-", "_"): path for path in modules.glob("*.ko")}
    ordered: dict[str, Path] = {}

    def add(name: str) -> None:
        if name in files and name not in ordered:
            for needed in dependencies(files[name]):
                add(needed)
            ordered[name] = files[name]

    for name in WANTED:
        add(name.replace("-", "_"))
    return tuple(ordered.values())


def dependencies(module: Path) -> list[str]:
    field = re.search(rb"\0depends=([^\0]*)\0", module.read_bytes())
    return [name for name in field[1].decode().replace("-", "_").split(",") if name] if field else []


def default_cache() -> Path:
    """Where kernels stay between runs: EAGENT_REFEREE_CACHE, else ~/.cache/eagent-referee."""
    return Path(os.environ.get("EAGENT_REFEREE_CACHE") or Path.home() / ".cache" / "eagent-referee")
