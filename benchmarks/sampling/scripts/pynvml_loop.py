"""A plain loop: one reading of each GPU's power, then a sleep. Settings: [hertz, "usage" or "instant"]."""

import json
import sys
import threading
import time

import pynvml


def usage(gpu):
    return pynvml.nvmlDeviceGetPowerUsage(gpu)


def instant(gpu):
    return pynvml.nvmlDeviceGetFieldValues(gpu, [pynvml.NVML_FI_DEV_POWER_INSTANT])[0].value.uiVal


def poll(gpus, hertz, read, stopping):
    """Until it is told to stop."""
    while not stopping.is_set():
        for gpu in gpus:
            read(gpu)
        time.sleep(1 / hertz)


def main():
    """Each setting from its "ready" until a line comes."""
    pynvml.nvmlInit()
    gpus = [pynvml.nvmlDeviceGetHandleByIndex(i) for i in range(pynvml.nvmlDeviceGetCount())]
    for hertz, field in json.loads(sys.argv[1]):
        stopping = threading.Event()
        thread = threading.Thread(
            target=poll, args=(gpus, hertz, {"usage": usage, "instant": instant}[field], stopping)
        )
        thread.start()
        print("ready", flush=True)
        sys.stdin.readline()
        stopping.set()
        thread.join()


if __name__ == "__main__":
    main()
