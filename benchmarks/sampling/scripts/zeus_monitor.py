"""Zeus' PowerMonitor, which samples in processes that it spawns. Settings: update_period in seconds, null: its own."""

import json
import sys

from zeus.monitor import PowerMonitor


def start(update_period):
    """It gives up when its processes are not ready within ten seconds, as may be on a busy machine."""
    try:
        return PowerMonitor(update_period=update_period)
    except RuntimeError:
        return PowerMonitor(update_period=update_period)


def main():
    """Each setting from its "ready" until a line comes."""
    for update_period in json.loads(sys.argv[1]):
        monitor = start(update_period)
        print("ready", flush=True)
        sys.stdin.readline()
        monitor.stop()


if __name__ == "__main__":  # the processes that it spawns import this file again
    main()
