"""One mechanism of the warden broken at a time, in the process that is to have it, by sitecustomize.

So nothing in eagent knows of this. What is C is broken in a copy of the tree (tests/torture/native_mutants.py).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def _replace(owner: Any, name: str, make: Callable[[Any], Any]) -> None:
    """Put into the place of a function what `make` makes of it."""
    setattr(owner, name, make(getattr(owner, name)))


def journal_not_written() -> None:
    """What a knob held before is kept in memory alone."""
    from eagent.warden import durable

    _replace(
        durable,
        "store",
        lambda real: lambda path, content: None if path.parent.name == "journal" else real(path, content),
    )


def entry_overwritten() -> None:
    """An entry that stands is replaced by what a new warden finds."""
    from eagent.warden.journal import Journal

    def make(real: Any) -> Any:
        def enter(self: Any, uuid: str, knob: Any, *rest: Any, **more: Any) -> Any:
            self._entries.pop((uuid, knob), None)
            return real(self, uuid, knob, *rest, **more)

        return enter

    _replace(Journal, "enter", make)


def entry_retired_early() -> None:
    """An entry goes as soon as nobody leases its knob, wherever that is."""
    from eagent.warden.limits import Limits

    def make(real: Any) -> Any:
        def tick(self: Any, leased: Any) -> bool:
            for device in self._devices:
                entry = self._journal.get(device.uuid, "power_limit")
                if entry and device.uuid not in leased:
                    self._journal.retire(device.uuid, entry.knob)
            return bool(real(self, leased))

        return tick

    _replace(Limits, "tick", make)


def journal_of_this_boot_void() -> None:
    """Every entry is taken for one of an earlier boot."""
    from eagent.warden.limits import Limits

    _replace(Limits, "_standing", lambda _: lambda self, uuid: None)  # noqa: ARG005


def lease_end_ignored() -> None:
    """A lease goes on for a minute, whatever it was asked for."""
    from eagent.warden.warden import Warden

    _replace(
        Warden,
        "lease",
        lambda real: (
            lambda self, limits, ttl_s, now_ns, *rest: real(self, limits, min(ttl_s * 240, 60.0), now_ns, *rest)
        ),
    )


def safe_caps_not_applied() -> None:
    """Under a budget, too, a device falls to what it held before."""
    from eagent.warden.limits import Limits

    _replace(Limits, "_fallback", lambda real: lambda self, device, _: real(self, device, None))


def envelope_unchecked() -> None:
    """Leases and the loop are not held to the envelope."""
    from eagent.warden.warden import Warden

    _replace(Warden, "_envelope_mw", lambda _: lambda self: 10**9)  # noqa: ARG005


def in_force_unasked() -> None:
    """A budget is said to be in force, and the loop is not told of it."""
    from eagent.warden.warden import Warden

    def make(real: Any) -> Any:
        def budget_set(self: Any, budget: Any) -> Any:
            tell, self._tell_fallback = self._tell_fallback, lambda: None
            try:
                real(self, budget)
            finally:
                self._tell_fallback = tell
            return {"in_force": True}

        return budget_set

    _replace(Warden, "budget_set", make)


def budget_not_stored() -> None:
    """A budget lives as long as its warden."""
    from eagent.warden import durable

    _replace(
        durable, "store", lambda real: lambda path, content: None if path.name == "budget.json" else real(path, content)
    )


def no_restore_at_start() -> None:
    """A new warden puts nothing back before it is asked for something."""
    from eagent.warden.warden import Warden

    def make(real: Any) -> Any:
        def tell(self: Any) -> None:
            if getattr(self, "_begun", False):
                real(self)
            self._begun = True

        return tell

    _replace(Warden, "_tell_fallback", make)


def prior_is_the_most() -> None:
    """A limit goes back to the device's greatest, whatever the journal says."""
    from eagent.warden.limits import Limits
    from eagent.wire import mw

    def make(real: Any) -> Any:
        def fallback(self: Any, device: Any, budget: Any) -> int:
            found = int(real(self, device, budget))
            return mw(device.max_limit_w) if found and budget is None else found

        return fallback

    _replace(Limits, "_fallback", make)


def clocks_not_given_back() -> None:
    """A clock that was locked under a lease stays so."""
    from eagent.warden.clocks import Clocks

    _replace(Clocks, "_fallback", lambda _: lambda self, device: 0)  # noqa: ARG005


def clocks_not_journalled() -> None:
    """That a clock was locked is known to the living warden alone."""
    from eagent.warden import durable

    _replace(
        durable, "store", lambda real: lambda path, content: None if "gpu_clock" in path.name else real(path, content)
    )


def lets_go_without_waiting() -> None:
    """An orderly end waits for no knob to be back."""
    from eagent.warden import main

    _replace(main, "_let_go", lambda _: lambda warden, *_: None if warden.handed_over else warden.release())


def restore_does_nothing() -> None:
    """`eagent restore` without a warden says that all is well."""
    from eagent.warden import restore

    _replace(restore, "restore_offline", lambda _: lambda *_, **more: restore.Outcome([], []))  # noqa: ARG005


def driver_life_untold() -> None:
    """No warden knows that the driver was loaded anew before its start."""
    from eagent.paths import Paths

    _replace(Paths, "driver_life", lambda _: lambda self: "")  # noqa: ARG005


def last_writes_unknown() -> None:
    """A warden does not know what the one before it had written."""
    from eagent.warden import written

    _replace(written, "unpack", lambda _: lambda file, boot_id: {})  # noqa: ARG005


def detachment_not_written() -> None:
    """That a GPU is detached is known to the living warden alone."""
    from eagent.warden import absent

    _replace(absent, "store", lambda _: lambda path, content, boot_id: None)  # noqa: ARG005


def detached_without_room() -> None:
    """A GPU that is detached goes on counting at its safe cap."""
    from eagent.warden import budget, detached, limits, warden

    for module in (budget, detached, limits, warden):
        _replace(module, "uncapped_mw", lambda _: lambda budget, devices: 0)  # noqa: ARG005
    _replace(detached, "check_room", lambda _: lambda *_: None)


def hand_over_lets_go() -> None:
    """Who hands over puts everything back first."""
    from eagent.warden.warden import Warden

    _replace(Warden, "hand_over", lambda _: lambda self, now_ns: {})  # noqa: ARG005


def successor_forgets_the_lease() -> None:
    """A successor puts back what its predecessor held."""
    from eagent.warden import main

    _replace(main, "go_on", lambda _: lambda warden, left, now_ns: None)  # noqa: ARG005


def limits_not_tried_again() -> None:
    """A limit that could not be set when the warden started is never tried again."""
    from eagent.warden.probing import Probing

    _replace(Probing, "is_due", lambda _: lambda self, uuid, now_ns: False)  # noqa: ARG005


def disk_not_tried_again() -> None:
    """A disk that took nothing is never tried again."""
    from eagent.warden.journal import Journal

    _replace(Journal, "try_out", lambda _: lambda self: False)  # noqa: ARG005


def abilities_of_the_start() -> None:
    """What can be set is told as it was at the start, whatever is learnt later."""
    from eagent.warden.abilities import Abilities

    _replace(Abilities, "follow", lambda _: lambda self, now_ns: None)  # noqa: ARG005


def observed_untold() -> None:
    """What has no entry is told as writable while the disk takes none."""
    from eagent.warden.abilities import Abilities

    _replace(Abilities, "_now", lambda _: lambda self, device: device)  # noqa: ARG005


MUTANTS: dict[str, Callable[[], None]] = {
    function.__name__.replace("_", "-"): function
    for function in (
        journal_not_written,
        entry_overwritten,
        entry_retired_early,
        journal_of_this_boot_void,
        lease_end_ignored,
        safe_caps_not_applied,
        envelope_unchecked,
        in_force_unasked,
        budget_not_stored,
        no_restore_at_start,
        prior_is_the_most,
        clocks_not_given_back,
        clocks_not_journalled,
        lets_go_without_waiting,
        restore_does_nothing,
        driver_life_untold,
        last_writes_unknown,
        detachment_not_written,
        detached_without_room,
        hand_over_lets_go,
        successor_forgets_the_lease,
        limits_not_tried_again,
        disk_not_tried_again,
        abilities_of_the_start,
        observed_untold,
    )
}
