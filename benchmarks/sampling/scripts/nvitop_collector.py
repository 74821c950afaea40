"""nvitop's ResourceMetricCollector with its background thread. Settings: interval in seconds."""

import json
import sys

from nvitop import Device, ResourceMetricCollector


def main():
    """Each setting from its "ready" until a line comes."""
    for interval in json.loads(sys.argv[1]):
        collector = ResourceMetricCollector(Device.all(), interval=interval)
        collector.start("work")
        print("ready", flush=True)
        sys.stdin.readline()
        collector.stop("work")


if __name__ == "__main__":
    main()
