"""Compare what is on this machine before and after the tests: processes, sockets, mounts and files of ours.

Without an argument it prints what is there now, as JSON. With that as its argument it lists what has come since and
fails if there is any. A process is ours if it inherited EAGENT_CI_RUN or was started from this checkout; the rest is
ours by its name, so that a busy machine's other users are not taken for leaks. In $TMPDIR everything is ours.
"""

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

NAME = "eagent"
CHECKOUT = str(Path.cwd())
TEMPORARY = os.environ.get("TMPDIR", "")
PLACES = ("/tmp", "/var/tmp", "/dev/shm", "/run", "/run/netns", "/var/lib", "/etc", "/etc/systemd/system")


def main() -> int:
    found = {kind: sorted(set(look())) for kind, look in LOOKS.items()}
    if len(sys.argv) < 2:
        print(json.dumps(found))
        return 0
    before = json.loads(sys.argv[1])
    new = [f"{kind}: {thing}" for kind in found for thing in found[kind] if thing not in before[kind]]
    print("\n".join(new) if new else "nothing")
    return bool(new)


def processes() -> Iterator[str]:
    """Yield our processes but this one and those it descends from."""
    marker = f"EAGENT_CI_RUN={os.environ.get('EAGENT_CI_RUN', 'none')}".encode()
    line = set(ancestors(os.getpid()))
    for entry in Path("/proc").glob("[0-9]*"):
        if int(entry.name) in line:
            continue
        try:
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
            inherited = marker in (entry / "environ").read_bytes().split(b"\0")
        except OSError:  # it ended, or it is another user's
            continue
        if inherited or f"{CHECKOUT}/" in command:
            yield f"{entry.name} {command}"


def ancestors(pid: int) -> Iterator[int]:
    while pid > 0:
        yield pid
        pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def sockets() -> Iterator[str]:
    """Yield the names, abstract ones included, of bound Unix sockets."""
    for line in Path("/proc/net/unix").read_text().splitlines()[1:]:
        name = line.split(maxsplit=7)[7:]
        if name and is_ours(name[0]):
            yield name[0]


def mounts() -> Iterator[str]:
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        place = line.split()[4]
        if is_ours(place):
            yield place


def files() -> Iterator[str]:
    places = [*PLACES, *(os.environ.get(name, "") for name in ("XDG_RUNTIME_DIR", "XDG_STATE_HOME"))]
    for place in {*places, str(Path.home() / ".local/state"), str(Path.home() / ".config")}:
        for path in list_directory(place):
            if NAME in path.name.lower() and not CHECKOUT.startswith(str(path)):
                yield str(path)
                yield from map(str, list_directory(str(path)))
    # pytest keeps the directories of its last runs by design; everything else there should have been removed.
    yield from (str(path) for path in list_directory(TEMPORARY) if not path.name.startswith("pytest-of-"))


def list_directory(place: str) -> list[Path]:
    try:
        return list(Path(place).iterdir()) if place else []
    except OSError:
        return []


def is_ours(name: str) -> bool:
    return NAME in name.lower() or bool(TEMPORARY and TEMPORARY in name)


LOOKS = {"process": processes, "socket": sockets, "mount": mounts, "file": files}

if __name__ == "__main__":
    sys.exit(main())
