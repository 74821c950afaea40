"""Whether the agent may call itself healthy: it must see the hardware, and see it now."""

from __future__ import annotations

from eagent.api.service import Json

# The loop reads an idle GPU about once a second; several missed looks in a row are not a hiccup.
FRESH_S = 5.0

# What a power reading may say without the agent being blind: a value, or that the device has no such sensor.
_SEEN = ("ok", "not_supported")


def unhealthy(status: Json) -> str | None:
    """Why the agent of this `status` is not healthy, as one line; None when it is."""
    warden = status["warden"]
    if not warden["connected"]:
        why = f": {warden['why']}" if warden["why"] else ""
        return f"the warden is not connected: nothing is read and nothing is governed{why}"
    for name, half in warden["halves"].items():
        if half["hangs"]:
            return f"the warden's {name} half hangs for {half['silent_s']:.1f} s: a call of the driver does not end"
    stale_s = warden["stale_s"]
    if stale_s is None:
        return "the warden has not delivered a reading yet"
    if not stale_s <= FRESH_S:  # said so that a NaN is not fresh
        return f"the newest reading is {stale_s:.1f} s old (at most {FRESH_S:g} s is fresh): a driver call may hang"
    if not any(device["kind"] == "gpu" for device in status["devices"]):
        return "no GPU is visible"
    for device in status["devices"]:
        problem = _blind(device)
        if problem:
            return f"{device['device']}: {problem}"
    return None


def _blind(device: Json) -> str | None:
    if device["power_limit"]["state"] == "detached":
        return None  # an operator has it so
    readings = device["readings"]
    for name, reading in readings.items():
        if reading["status"] == "stale":
            return f"the {name} reading is stale"
    power = readings.get("power")
    if device["kind"] == "cpu" and (power is None or power["status"] != "ok"):
        return None  # many hosts do not tell what their CPUs draw, and nothing that eagent promises hangs on it
    if power is None or power["status"] not in _SEEN:
        return f"no power reading ({power['status'] if power else 'missing'})"
    if power["status"] == "ok" and (power["age_s"] is None or not power["age_s"] <= FRESH_S):
        return "the power reading is old, or of unknown age"
    return None
