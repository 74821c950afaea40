"""Splits watts by what they buy: among jobs whose pace is known by their watts, each next one goes where it buys most.

What they have to split is what all of them together would get by need, as if it were by need that it had been split
until now, and what nobody would get. So a device of which less is known gets just what it would get if nothing were
known of anybody.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from eagent.policy.goals import Sharing
from eagent.policy.search.pace import JobPace, Pace
from eagent.policy.units import Unit, milliwatts, value_of
from eagent.policy.witness import draws_as_known

LEAST_PACE = 0.5  # of what it would be by need: nobody is slowed down more for others
WORTH = 0.002  # of full pace, in the mean over the devices: less is no reason to split otherwise than now, or by need


@dataclass(frozen=True, slots=True)
class Team:
    """The units on which one job runs. As its slowest device sets the pace, all get the same."""

    job: str
    pace: Pace
    places: tuple[int, ...]  # of the units
    size: int  # devices
    label: str  # of the first

    def at(self, limit_mw: float, sharing: Sharing) -> float:
        """Its pace under a limit, which holds its devices somewhat below itself."""
        return self.pace.at(sharing.near_limit * limit_mw / 1000)

    def limit_mw(self, power_w: float, sharing: Sharing) -> int:
        """The limit that leaves it so many watts."""
        return math.ceil(power_w * 1000 / sharing.near_limit)


@dataclass(frozen=True, slots=True)
class _Range:
    """Between what limits a team's may be, in mW per device, and what it would be by need."""

    low: int
    by_need: int
    high: int


def teams_of(units: Sequence[Unit], paces: Sequence[JobPace], sharing: Sharing) -> list[Team]:
    """The jobs that watts can be split among: those whose devices do what is known of them. Less than two are none."""
    teams: list[Team] = []
    taken: set[int] = set()
    for known in paces:
        places = [place for place, unit in enumerate(units) if known.uuids >= {m.device.uuid for m in unit.members}]
        members = [member for place in places for member in units[place].members]
        if len(members) != len(known.uuids) or taken.intersection(places) or not members:
            continue
        if any(units[place].is_bound for place in places) or not draws_as_known(members, known.pace, sharing):
            continue
        taken.update(places)
        teams.append(Team(known.job, known.pace, tuple(places), len(members), members[0].device.label))
    return teams if len(teams) > 1 else []


def as_by_need(units: Sequence[Unit], teams: Sequence[Team]) -> list[Unit]:
    """The units with the use and the pressure that teams would have, had their watts been split by need.

    By need those who are held down alike come to one level, and those who draw less at full clock get that. Without
    this one that was given all that it can draw would count as in need of all that, and not as held down: it would take
    it from those of whom less is known.
    """
    drawn_mw = sum(len(units[place].members) * units[place].use_mw for team in teams for place in team.places)
    level_mw = _level(sorted((milliwatts(team.pace.full_w), team.size) for team in teams), drawn_mw)
    shown = list(units)
    for team in teams:
        full_mw = milliwatts(team.pace.full_w)
        for place in team.places:
            use_mw = min(max(min(full_mw, level_mw), units[place].floor_mw), units[place].ceiling_mw)
            shown[place] = replace(units[place], use_mw=use_mw, pressure=0.0 if full_mw <= level_mw else 1.0)
    return shown


def _level(wants: Sequence[tuple[int, int]], total_mw: int) -> int:
    """The level up to which all that want so much, so many each, may come: ascending by what they want."""
    left_mw, count = total_mw, sum(size for _, size in wants)
    for full_mw, size in wants:
        if full_mw * count > left_mw:
            return left_mw // count
        left_mw, count = left_mw - full_mw * size, count - size
    return max((full_mw for full_mw, _ in wants), default=0)


def split(
    units: Sequence[Unit], limits: Sequence[int], spare_mw: int, teams: Sequence[Team], sharing: Sharing
) -> tuple[list[int], dict[int, str]]:
    """The limits with the teams' split among them by what watts buy, if that buys more; and why, by the unit's place.

    Args:
        units: All that share the envelope.
        limits: By need, in mW per device.
        spare_mw: What by need nobody gets.
        teams: Those whose pace is known.
        sharing: The numbers to go by.
    """
    ranges = [_range(units, limits, team, sharing) for team in teams]
    pool_mw = spare_mw + sum(len(units[place].members) * limits[place] for team in teams for place in team.places)
    start, step_mw = [each.low for each in ranges], max(1, milliwatts(sharing.step_w))
    if sum(team.size * low_mw for team, low_mw in zip(teams, start, strict=True)) > pool_mw:
        return list(limits), {}  # devices of one job that take no limit alike

    def buys(number: int, limit_mw: int, to_mw: int) -> float:
        """What a milliwatt buys on the way from one limit to another."""
        gain = teams[number].at(to_mw, sharing) - teams[number].at(limit_mw, sharing)
        return gain / (to_mw - limit_mw)

    def lacks(number: int, limit_mw: int, _: int) -> float:
        """What it lacks to what it would get by need: where watts buy nothing they may yet be of use."""
        return ranges[number].by_need - limit_mw

    found = _filled(start, pool_mw, step_mw, teams, ranges, buys)
    found = _filled(found, pool_mw, step_mw, teams, ranges, lacks)

    def more(limits_mw: Sequence[int], than_mw: Sequence[int]) -> float:
        """How much more work is done under some limits than under others, in devices at full pace."""
        return sum(
            team.size * (team.at(limit_mw, sharing) - team.at(than, sharing))
            for team, limit_mw, than in zip(teams, limits_mw, than_mw, strict=True)
        )

    least = WORTH * sum(team.size for team in teams)
    stands = _standing(units, teams, ranges, pool_mw)
    if stands is not None and more(found, stands) < least / 2:
        found = stands
    if more(found, [each.by_need for each in ranges]) < least:
        return list(limits), {}
    changed, reasons = list(limits), {}
    values = [1000 * buys(number, each.by_need, each.by_need + step_mw) for number, each in enumerate(ranges)]
    for number, team in enumerate(teams):
        reason = _reason(number, found, ranges, values, teams)
        for place in team.places:
            changed[place], reasons[place] = found[number], reason
    return changed, reasons


def _range(units: Sequence[Unit], limits: Sequence[int], team: Team, sharing: Sharing) -> _Range:
    """No lower than its safe cap, than what was measured, than half its pace; or than what it would get by need."""
    own = [units[place] for place in team.places]
    by_need = min(limits[place] for place in team.places)
    least_w = max(team.pace.known_w, team.pace.power_w(LEAST_PACE * team.at(by_need, sharing)))
    low = min(by_need, max(team.limit_mw(least_w, sharing), *(each.assured_mw for each in own)))
    return _Range(max(low, *(each.floor_mw for each in own)), by_need, min(each.ceiling_mw for each in own))


def _standing(units: Sequence[Unit], teams: Sequence[Team], ranges: Sequence[_Range], pool_mw: int) -> list[int] | None:
    """The limits in force, if they are still to be had; None: they are not, or can't be read."""
    found = []
    for team, allowed in zip(teams, ranges, strict=True):
        limits_w = [value_of(member.limit_w) for place in team.places for member in units[place].members]
        known_mw = [milliwatts(limit_w) for limit_w in limits_w if limit_w is not None]
        if len(known_mw) < team.size or not allowed.low <= min(known_mw) <= allowed.high:
            return None
        found.append(min(known_mw))
    taken_mw = sum(team.size * limit_mw for team, limit_mw in zip(teams, found, strict=True))
    return found if taken_mw <= pool_mw else None


def _filled(
    start: Sequence[int],
    pool_mw: int,
    step_mw: int,
    teams: Sequence[Team],
    ranges: Sequence[_Range],
    buys: Callable[[int, int, int], float],
) -> list[int]:
    """Raise limits step by step, each time the one for which a milliwatt buys most, as far as the pool goes."""
    found = list(start)
    left_mw = pool_mw - sum(team.size * limit_mw for team, limit_mw in zip(teams, start, strict=True))

    def offer(number: int) -> None:
        """Queue the next step of a team, which ends at a whole one, if it buys anything."""
        to_mw = min((found[number] // step_mw + 1) * step_mw, ranges[number].high)
        if to_mw > found[number] and (worth := buys(number, found[number], to_mw)) > 1e-12:
            heapq.heappush(queue, (-worth, number, to_mw))

    queue: list[tuple[float, int, int]] = []
    for number in range(len(teams)):
        offer(number)
    while queue:
        _, number, to_mw = heapq.heappop(queue)
        cost_mw = teams[number].size * (to_mw - found[number])
        if cost_mw <= left_mw:
            found[number], left_mw = to_mw, left_mw - cost_mw
            offer(number)
    return found


def _reason(
    number: int, found: Sequence[int], ranges: Sequence[_Range], values: Sequence[float], teams: Sequence[Team]
) -> str:
    """In words: what a watt buys here and where it went to or came from."""
    mine_mw, by_need = found[number], ranges[number].by_need
    others = [other for other in range(len(teams)) if other != number]
    most = mine_mw >= by_need
    other = (min if most else max)(others, key=lambda place: values[place])
    return (
        f"{teams[number].job}: a watt buys {values[number]:.2%} of its pace here, on {teams[other].label} "
        f"{values[other]:.2%}: {mine_mw / 1000:g} W instead of the {by_need / 1000:g} W that it would get by need"
    )
