"""CodeCarbon's tracker, offline. Settings: measure_power_secs."""

import json
import sys

from codecarbon import OfflineEmissionsTracker


def main():
    """Each setting from its "ready" until a line comes."""
    for period_s in json.loads(sys.argv[1]):
        tracker = OfflineEmissionsTracker(
            country_iso_code="USA", output_methods=[], log_level="error", measure_power_secs=period_s
        )
        tracker.start()
        print("ready", flush=True)
        sys.stdin.readline()
        tracker.stop()


if __name__ == "__main__":
    main()
