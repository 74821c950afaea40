"""eagent: a per-host energy agent for GPU clusters.

For a job: `with eagent.measure("epoch") as window: ...`, then `window.energy_j`; docs/measure.md tells the rest.
`eagent.beat()` after each step tells eagent how far the job is: docs/progress.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from eagent.beating import beat as beat
    from eagent.measuring import Window as Window
    from eagent.measuring import measure as measure
    from eagent.measuring import measured as measured

__version__ = "0.1.0"
__all__ = ["Window", "__version__", "beat", "measure", "measured"]


def __getattr__(name: str) -> Any:
    """Load what jobs use when they use it: the daemons import this package, too."""
    if name == "beat":
        from eagent.beating import beat

        globals().update(beat=beat)
        return beat
    if name not in ("Window", "measure", "measured"):
        raise AttributeError(f"module 'eagent' has no attribute {name!r}")
    from eagent import measuring

    globals().update(Window=measuring.Window, measure=measuring.measure, measured=measuring.measured)
    return globals()[name]
