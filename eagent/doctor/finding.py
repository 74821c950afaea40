"""What a check has to say: one line for a person, and one line on what to do."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """How bad it is. Only a problem makes `eagent doctor` fail."""

    OK = "ok"
    NOTE = "note"  # worth knowing; nothing is to be done
    WARNING = "warning"  # eagent works, with less than it could have, or not for long
    PROBLEM = "problem"  # something that eagent is for does not work


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. `fix` says what to do, if anything is to be done."""

    subject: str
    severity: Severity
    what: str
    fix: str = ""


def name_gpus(indices: Iterable[int]) -> str:
    """`gpu0-3,6` for GPUs that share a finding."""
    return name_devices("gpu", indices)


def name_devices(kind: str, indices: Iterable[int]) -> str:
    """The same for devices of any kind."""
    spans: list[list[int]] = []
    for index in sorted(indices):
        if spans and index == spans[-1][-1] + 1:
            spans[-1] = [spans[-1][0], index]
        else:
            spans.append([index])
    return kind + ",".join("-".join(map(str, span)) for span in spans)
