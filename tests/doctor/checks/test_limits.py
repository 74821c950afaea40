from collections.abc import Callable
from dataclasses import replace
from typing import Any

from eagent.doctor.checks import limits
from eagent.doctor.driver import Gpu
from eagent.doctor.host import Host

Tell = Callable[[Any], list[tuple[str, str, str]]]


def test_gpus_that_are_alike_share_a_line(with_gpus: Callable[..., Host], gpu: Callable[..., Gpu], tell: Tell) -> None:
    seen = with_gpus(gpu(0), gpu(1), gpu(2, max_limit_w=500.0), gpu(3))
    assert tell(limits.check(seen)) == [
        ("ok", "gpu0-1,3", "A100: limit 400 W, of 100 to 400 W"),
        ("ok", "gpu2", "A100: limit 400 W, of 100 to 500 W"),
    ]


def test_a_limit_enforced_below_the_requested_one_is_a_warning(
    with_gpus: Callable[..., Host], gpu: Callable[..., Gpu], tell: Tell
) -> None:
    seen = with_gpus(gpu(0, enforced_w=300.0))
    assert tell(limits.check(seen))[1:] == [
        ("warning", "gpu0", "the driver enforces 300 W of the 400 W asked for: another limit binds")
    ]


def test_a_limit_that_is_not_the_default_is_noted_unless_eagent_set_it(
    with_gpus: Callable[..., Host], gpu: Callable[..., Gpu], status: Callable[..., Any], tell: Tell
) -> None:
    seen = with_gpus(gpu(0, requested_w=250.0, enforced_w=250.0))
    what = "somebody has set 250 W, not the default of 400 W: eagent keeps to it"
    assert tell(limits.check(seen))[1:] == [("note", "gpu0", what)]
    assert tell(limits.check(replace(seen, status=status(ours_w=250.0, state="leased"))))[1:] == []


def test_a_gpu_without_a_limit_is_only_observed(
    with_gpus: Callable[..., Host], gpu: Callable[..., Gpu], tell: Tell
) -> None:
    seen = with_gpus(gpu(0, requested_w=None))
    assert [severity for severity, _, _ in tell(limits.check(seen))] == ["note"]
