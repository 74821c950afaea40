"""One loop beside a busy Python thread in its process: beside_python.py LOOP PERIOD_NS SECONDS WAKES_LIBRARY.

LOOP is "bare" (C), "eagent" or "python". Prints as JSON how late it woke up each time, in nanoseconds, and how often a
second it did. The times of the first two are kept by the library WAKES_LIBRARY, which must be preloaded as well; the
Python loop looks at the clock itself, once it has the interpreter's lock.
"""

import collections
import ctypes
import json
import os
import sys
import threading
import time

WARM_S = 0.5  # its wake-ups do not count


class Wake(ctypes.Structure):
    """As in wakes.c."""

    _fields_ = (("due_ns", ctypes.c_int64), ("woke_ns", ctypes.c_int64), ("thread", ctypes.c_int64))


def kept(library):
    """(due, woke) of the thread that slept most often."""
    wakes = ctypes.POINTER(Wake)()
    count = library.wakes_kept(ctypes.byref(wakes))
    found = collections.defaultdict(list)
    for i in range(count):
        found[wakes[i].thread].append((wakes[i].due_ns, wakes[i].woke_ns))
    return max(found.values(), key=len)


def python_loop(period_ns, duration_ns, found):
    """As one would write it: the deadlines are absolute, too."""
    begun_ns = due_ns = time.monotonic_ns()
    while due_ns < begun_ns + duration_ns:
        due_ns += period_ns
        time.sleep(max(0, due_ns - time.monotonic_ns()) / 1e9)
        found.append((due_ns, time.monotonic_ns()))


def be_busy(seconds):
    """What any program may do beside us."""
    end_s = time.monotonic() + seconds
    while time.monotonic() < end_s:
        sum(i * i for i in range(1000))


def main():
    """Run one loop, and print."""
    kind, period_ns, seconds, path = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), sys.argv[4]
    duration_ns, library, own, loop = int(seconds * 1e9), ctypes.CDLL(path), [], None
    if kind == "eagent":
        from eagent.hardware._loop import Loop

        loop = Loop("libnvidia-ml.so.1", os.environ["EAGENT_RUN_DIR"] + "/lateness", max(1, period_ns // 1_000_000))
    target, arguments = {
        "bare": (library.bare_loop, (ctypes.c_int64(period_ns), ctypes.c_int64(duration_ns))),
        "eagent": (loop and loop.run, ()),
        "python": (python_loop, (period_ns, duration_ns, own)),
    }[kind]
    thread = threading.Thread(target=target, args=arguments)
    thread.start()
    begun_ns = time.monotonic_ns()
    be_busy(seconds)
    if loop:
        loop.stop()
    thread.join()
    wakes = [wake for wake in own or kept(library) if wake[0] > begun_ns + WARM_S * 1e9]
    span_s = (wakes[-1][0] - wakes[0][0]) / 1e9
    print(json.dumps({"late_ns": [woke_ns - due_ns for due_ns, woke_ns in wakes], "hertz": (len(wakes) - 1) / span_s}))


if __name__ == "__main__":
    main()
