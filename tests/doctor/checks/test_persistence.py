from collections.abc import Callable
from typing import Any

from eagent.doctor.checks import persistence
from eagent.doctor.driver import Gpu
from eagent.doctor.host import Host

Tell = Callable[[Any], list[tuple[str, str, str]]]


def test_persistence_mode_is_told_for_all_three_answers(
    with_gpus: Callable[..., Host], gpu: Callable[..., Gpu], tell: Tell
) -> None:
    seen = with_gpus(gpu(0), gpu(1, persistence=False), gpu(2, persistence=None), gpu(3, persistence=False))
    assert [(severity, subject) for severity, subject, _ in tell(persistence.check(seen))] == [
        ("ok", "gpu0"),
        ("warning", "gpu1,3"),
        ("note", "gpu2"),
    ]
