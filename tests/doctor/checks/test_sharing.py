from collections.abc import Callable
from typing import Any

from eagent.doctor.checks import sharing
from eagent.doctor.driver import Gpu
from eagent.doctor.host import Host

Tell = Callable[[Any], list[tuple[str, str, str]]]


def test_shared_boards_and_guests_say_what_they_are(
    host: Host, with_gpus: Callable[..., Host], gpu: Callable[..., Gpu], tell: Tell
) -> None:
    assert tell(sharing.check(host)) == [("ok", "host", "no MIG, no vGPU")]
    seen = with_gpus(gpu(0, mig=True), gpu(1, virtualization=2), gpu(2, virtualization=3), gpu(3))
    assert [(severity, subject) for severity, subject, _ in tell(sharing.check(seen))] == [
        ("note", "gpu0"),
        ("problem", "gpu1"),
        ("note", "gpu2"),
    ]
