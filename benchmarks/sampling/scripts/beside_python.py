"""One loop beside a busy Python thread in its process: beside_python.py LOOP PERIOD_NS SECONDS WAKES_LIBRARY.

LOOP is "bare" (C), "python", or "eagent", which has deadlines of its own. Prints as JSON how late it woke up each time,
in nanoseconds, and how often a second it did. The times of the loops in C are kept by the library WAKES_LIBRARY, which
must be preloaded as well; the Python loop looks at the clock itself, once it has the interpreter's lock.
"""

import ctypes
import json
import os
import sys
import threading
import time

WARM_S = 2.0  # its wake-ups do not count: eagent's loop learns when the sensors publish
FREE_MS = 50  # as the warden starts it by default


class Wake(ctypes.Structure):
    """As in wakes.c."""

    _fields_ = (("due_ns", ctypes.c_int64), ("woke_ns", ctypes.c_int64), ("thread", ctypes.c_int64))


def kept(library, thread):
    """(due, woke) of a thread's sleeps."""
    wakes = ctypes.POINTER(Wake)()
    count = library.wakes_kept(ctypes.byref(wakes))
    return [(wakes[i].due_ns, wakes[i].woke_ns) for i in range(count) if wakes[i].thread == thread]


def python_loop(period_ns, duration_ns, found):
    """As one would write it: the deadlines are absolute, too, and those that have passed are left out."""
    begun_ns = due_ns = now_ns = time.monotonic_ns()
    while now_ns < begun_ns + duration_ns:
        due_ns += period_ns * max(1, -(-(now_ns - due_ns) // period_ns))
        time.sleep(max(0, due_ns - time.monotonic_ns()) / 1e9)
        now_ns = time.monotonic_ns()
        found.append((due_ns, now_ns))


def be_busy(seconds):
    """What any program may do beside us."""
    end_s = time.monotonic() + seconds
    while time.monotonic() < end_s:
        sum(i * i for i in range(1000))


def main():
    """Run one loop, and print."""
    kind, period_ns, seconds, path = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), sys.argv[4]
    duration_ns, library, own = int(seconds * 1e9), ctypes.CDLL(path), []
    if kind == "eagent":
        from eagent.hardware._loop import Loop

        loop = Loop("libnvidia-ml.so.1", os.environ["EAGENT_RUN_DIR"] + "/lateness", FREE_MS)
        threads, stop = [threading.Thread(target=loop.sample), threading.Thread(target=loop.actuate)], loop.stop
    elif kind == "bare":
        arguments = (ctypes.c_int64(period_ns), ctypes.c_int64(duration_ns))
        threads, stop = [threading.Thread(target=library.bare_loop, args=arguments)], None
    else:
        threads, stop = [threading.Thread(target=python_loop, args=(period_ns, duration_ns, own))], None
    for thread in threads:
        thread.start()
    begun_ns = time.monotonic_ns()
    be_busy(seconds)
    if stop:
        stop()
    for thread in threads:
        thread.join()
    wakes = [wake for wake in own or kept(library, threads[0].native_id) if wake[0] > begun_ns + WARM_S * 1e9]
    span_s = (wakes[-1][0] - wakes[0][0]) / 1e9
    print(json.dumps({"late_ns": [woke_ns - due_ns for due_ns, woke_ns in wakes], "hertz": (len(wakes) - 1) / span_s}))


if __name__ == "__main__":
    main()
