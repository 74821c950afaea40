from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from eagent.doctor import registry
from eagent.doctor.finding import Severity, name_gpus
from eagent.doctor.host import Host
from eagent.doctor.registry import examine


def test_a_healthy_host_has_no_problem(host: Host) -> None:
    found = [(group.name, finding) for group in examine(host) for finding in group.findings]
    assert [each for each in found if each[1].severity in (Severity.PROBLEM, Severity.WARNING)] == []


def test_a_check_that_fails_is_a_finding_and_the_others_are_told(
    host: Host, status: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(_: Host) -> Any:
        raise OSError("no such luck")

    monkeypatch.setattr(registry, "CHECKS", (("broken", fails), *registry.CHECKS))
    groups = examine(replace(host, status=status()))
    assert groups[0].findings[0].severity is Severity.PROBLEM
    assert "OSError: no such luck" in groups[0].findings[0].what
    assert len(groups) == len(registry.CHECKS)


@pytest.mark.parametrize(("indices", "name"), [([0], "gpu0"), ([0, 1], "gpu0-1"), ([3, 0, 1, 7, 6, 5], "gpu0-1,3,5-7")])
def test_gpus_in_a_row_are_named_as_a_span(indices: list[int], name: str) -> None:
    assert name_gpus(indices) == name
