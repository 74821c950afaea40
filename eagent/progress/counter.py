"""A job's own counter and latencies, followed over scrapes: what is new since the one before, summed up.

A counter that falls has begun again (a server, or one of its workers), and what it shows is new. Series are followed
one by one, so that a worker that begins again does not make its neighbours' past count twice. The first scrape is the
beginning: units count from there.

A counter that stands still between two steps tells when a step was done only as nearly as it is asked: it was between
two scrapes, and is taken to have been in the middle. That nothing has grown since is no news of how far the job is.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from eagent.errors import InputError
from eagent.model import Latencies
from eagent.progress.exposition import Labels, Sample, samples
from eagent.progress.recipes import Histogram, Recipe

VALUE_MAX = 1e18  # far above any counter of what a job does, and below where sums of floats lose units at a glance
BUCKETS_MAX = 128
SERIES_MAX = 2048  # of counters and histograms, followed at a time


@dataclass(slots=True)
class _Counts:
    """The buckets of one kind of latency."""

    bounds_s: tuple[float, ...]
    counts: list[float] = field(default_factory=list)


class Counted:
    """One endpoint's recipe, followed."""

    def __init__(self, recipe: Recipe, labels: Mapping[str, str] | None = None) -> None:
        """Nothing is scraped yet.

        Args:
            recipe: What to look for.
            labels: Only samples with these, such as one model's.
        """
        self.units = 0.0  # since the first scrape
        self.at_ns: int | None = None  # when so much was done
        self.told_ns: int | None = None  # the last scrape that told
        self._stood = False  # whether there was nothing new in the last
        self._recipe = recipe
        self._labels = dict(labels or {})
        self._counter: str | None = None  # of those that the recipe knows, the one that is there
        self._seen: dict[tuple[str, Labels], tuple[float, ...]] = {}  # per series
        self._latencies: dict[str, _Counts] = {}  # per kind

    @property
    def unit(self) -> str:
        """What is counted."""
        return self._recipe.unit

    @property
    def latencies(self) -> tuple[Latencies, ...]:
        """What came in since the first scrape, in each bucket."""
        return tuple(
            Latencies(kind, each.bounds_s, tuple(int(count) for count in each.counts))
            for kind, each in self._latencies.items()
        )

    def take(self, body: bytes, at_ns: int) -> None:
        """Take what an endpoint answered at a monotonic time. After an error all is as before.

        Raises:
            InputError: it does not hold what the recipe looks for, in one line.
        """
        found: dict[str, list[Sample]] = defaultdict(list)
        for sample in samples(body, self._recipe.names):
            if self._labels.items() <= dict(sample.labels).items():
                found[sample.name].append(sample)
        counter, series = self._counters(found)
        histograms = {each: rows for each in self._there(found) if (rows := _rows(each, found[f"{each.name}_bucket"]))}
        if len(series) + sum(map(len, histograms.values())) > SERIES_MAX:
            raise InputError(f"more than {SERIES_MAX} series: choose some by their labels")
        seen: dict[tuple[str, Labels], tuple[float, ...]] = {}
        units = sum(self._new(counter, labels, (value,), seen)[0] for labels, value in series.items())
        grown = {each: self._grown(each, rows, seen) for each, rows in histograms.items()}
        self._counter, self._seen = counter, seen
        self.units += units
        for each, (bounds, counts) in grown.items():
            self._add(each.kind, bounds, counts)
        # A server that nobody asks anything is no job that stands still: its latencies are as of now.
        if self.told_ns is None or self._latencies:
            self.at_ns = at_ns
        elif units > 0:
            self.at_ns = (self.told_ns + at_ns) // 2 if self._stood else at_ns
        self.told_ns, self._stood = at_ns, self.told_ns is not None and units == 0

    def _counters(self, found: Mapping[str, list[Sample]]) -> tuple[str, dict[Labels, float]]:
        """The counter that is there, and its samples by their labels."""
        for each in self._recipe.counters:
            if self._counter in (None, each.name):
                fit = [one for one in found[each.name] if each.labels.items() <= dict(one.labels).items()]
                if fit:
                    return each.name, {one.labels: _count(one) for one in fit}
        wanted = self._counter or " or ".join(each.name for each in self._recipe.counters)
        chosen = " with these labels" if self._labels else ""
        raise InputError(f"no {wanted}{chosen} there")

    def _there(self, found: Mapping[str, list[Sample]]) -> Iterable[Histogram]:
        """Of each kind of latency the first histogram that is there."""
        kinds: set[str] = set()
        for each in self._recipe.histograms:
            if each.kind not in kinds and found.get(f"{each.name}_bucket"):
                kinds.add(each.kind)
                yield each

    def _new(
        self, name: str, labels: Labels, now: tuple[float, ...], seen: dict[tuple[str, Labels], tuple[float, ...]]
    ) -> tuple[float, ...]:
        """What a series has beyond the scrape before; one that is new since the first counts in full."""
        before = self._seen.get((name, labels))
        seen[name, labels] = now
        if before is None:
            return (0.0,) * len(now) if self.told_ns is None else now
        if len(before) != len(now) or any(new < old for new, old in zip(now, before, strict=True)):
            return now
        return tuple(new - old for new, old in zip(now, before, strict=True))

    def _grown(
        self,
        each: Histogram,
        rows: Mapping[Labels, Mapping[float, float]],
        seen: dict[tuple[str, Labels], tuple[float, ...]],
    ) -> tuple[tuple[float, ...], list[float]]:
        bounds = next(iter(tuple(row) for row in rows.values()))
        sums = [0.0] * len(bounds)
        for labels, row in rows.items():
            new = self._new(each.name, labels, _apart(row), seen)
            if tuple(row) == bounds:  # others of one histogram differ only in a mix of versions
                sums = [total + count for total, count in zip(sums, new, strict=True)]
        return tuple(bound * each.unit_s for bound in bounds), sums

    def _add(self, kind: str, bounds_s: tuple[float, ...], counts: list[float]) -> None:
        known = self._latencies.get(kind)
        if known is None or known.bounds_s != bounds_s:  # a server with other buckets: nothing goes on
            known = self._latencies[kind] = _Counts(bounds_s, [0.0] * len(bounds_s))
        known.counts = [total + count for total, count in zip(known.counts, counts, strict=True)]


def _count(sample: Sample) -> float:
    if not 0 <= sample.value <= VALUE_MAX:
        raise InputError(f"{sample.name} is {sample.value:g}: no count")
    return sample.value


def _rows(each: Histogram, found: Iterable[Sample]) -> dict[Labels, dict[float, float]]:
    """Each series' cumulative counts by their upper bounds, ascending; series that are not whole are left out."""
    rows: dict[Labels, dict[float, float]] = defaultdict(dict)
    for sample in found:
        labels = dict(sample.labels)
        try:
            bound = float(labels.pop("le", "nan"))
        except ValueError:
            bound = math.nan
        if math.isnan(bound):
            raise InputError(f"{each.name} has a bucket without an upper bound")
        if bound < 0:
            raise InputError(f"{each.name} has a bucket that ends at {bound:g}: no latency is below 0")
        rows[tuple(labels.items())][bound] = _count(sample)
    if any(len(row) > BUCKETS_MAX for row in rows.values()):
        raise InputError(f"{each.name} has more than {BUCKETS_MAX} buckets")
    return {labels: dict(sorted(row.items())) for labels, row in rows.items() if math.inf in row}


def _apart(row: Mapping[float, float]) -> tuple[float, ...]:
    """The count of each bucket alone."""
    counts, below = [], 0.0
    for total in row.values():
        counts.append(max(0.0, total - below))
        below = max(below, total)
    return tuple(counts)
