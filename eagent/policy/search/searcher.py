"""What is tried next, and why: down the curve in steps that the account can pay, to the least energy that it allows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from eagent.policy.search.account import CAUTION
from eagent.policy.search.curve import Curve, Fit

BASE_S, BASE_MOST_S = 20.0, 90.0  # of work at the top before anything is tried: by its noise
BASE_PART = 0.10  # of the bound: a standard error so small is good enough to begin with ...
BASE_FINE = 0.05  # ... and so small for good
MORE = 0.1  # of what is saved: if that would save so much more, it is worth to be known first
CHEAP = 0.5  # of the time follows the clock at most: trials cost so little that they need not wait for that
POOR = 0.45  # of the bound: a standard error above leaves nothing to spend
AROUND_S = 6.0  # before and after a trial: what a setting costs that is not measured there
TRIAL_S, QUICK_S = 12.0, 6.0  # of work at a setting, before it is judged; and where it costs little
SLOW_WORDS = 5.0  # words of a job, where that takes longer
JUDGED_S = 30.0  # of work at a setting, before it is judged less often
EARN_S = 4.0  # until it is looked again whether a trial can be paid for
HOLD_S = 30.0
AGAIN_S, AGAIN_FINE_S = 600.0, 1200.0  # after which the top is measured again: while its rate is known roughly, or well
PLENTY_S = 100.0  # times the bound: with so much earned no more is to be known exactly
AGAIN_FOR_S, AGAIN_FINE_FOR_S = 20.0, 10.0
STEP = 0.88  # of the lowest setting measured: how far down the next may be
FIRST = 0.93
SPEND = 0.85  # of what may be lost: how much one trial may cost ...
LITTLE = 0.3  # ... and how much is little
RESERVE_S = 15.0  # times the bound: what is kept to pay for what is not booked yet
HORIZON_S = 60.0  # in which what may be lost is spent
YOUNG, GROWN_S = 0.6, 900.0  # of both, for a job that has just begun; and when it has all: little is lost by then
LITTLE_SAVED = 0.02  # of the energy: where no more is seen, it is looked for further down
WORTH = 0.002  # of the energy: less is not worth a change


class Stage(StrEnum):
    """What a job's setting is for."""

    BASE = "base"  # the rate at the top is measured
    TRIAL = "trial"
    HOLD = "hold"
    SAFE = "safe"  # the top, for want of anything better


@dataclass(frozen=True, slots=True)
class Choice:
    """A setting, what for, how long until the next choice, and why, for a person."""

    setting: float
    stage: Stage
    for_s: float
    why: str


@dataclass(frozen=True, slots=True)
class Means:
    """What there is to spend, and what a trial takes."""

    bound: float  # the share of time that may be lost
    slack_s: float  # what may be lost now
    base_age_s: float  # how long ago the top was measured
    word_s: float  # usual time between two words of the job
    age_s: float  # how long it has been known


def base_first(curve: Curve, bound: float, unit: str) -> Choice | None:
    """Whether the top is to be measured (on) before anything else; None: it is known well enough to begin."""
    seconds = 0.0 if curve.base is None else curve.base.seconds
    if seconds >= BASE_S and (_is_known(curve, BASE_PART * bound) or _is_cheap(curve)):
        return None
    return _measured_on(curve, unit)


def _measured_on(curve: Curve, unit: str) -> Choice:
    return Choice(curve.top, Stage.BASE, 0.0, f"its pace at full clock is measured first, in {unit}s a second")


def _is_known(curve: Curve, error: float) -> bool:
    """Whether the pace at the top is known as well as that, or as it is going to be."""
    return curve.base is not None and (curve.base_error <= error or curve.base.seconds >= BASE_MOST_S)


def _is_cheap(curve: Curve) -> bool:
    """Whether nothing says yet that the clock costs much time."""
    fit = curve.fit()
    return fit.top == curve.lowest or fit.beta + fit.beta_error <= CHEAP


def next_choice(curve: Curve, now: float, settings: Sequence[float], means: Means, unit: str) -> Choice:
    """The next setting.

    Args:
        curve: What is known of the phase.
        now: The setting that stands.
        settings: Those that there are, ascending, none below the operator's floor; the last is the top.
        means: What may be spent.
        unit: What the job counts.
    """
    bound, slack_s = means.bound, means.slack_s
    first = base_first(curve, bound, unit)
    if first is not None:
        return first
    if curve.base_error > POOR * bound:
        why = f"how fast it goes varies too much to tell {bound:.1%}: +-{curve.base_error:.1%} so far"
        return Choice(curve.top, Stage.BASE, AGAIN_FOR_S, why)
    if slack_s <= 0:
        return Choice(curve.top, Stage.SAFE, TRIAL_S, f"{-slack_s:.1f} s more than the bound allows are to be made up")
    fine = curve.base_error <= BASE_FINE * bound or slack_s > PLENTY_S * bound
    if means.base_age_s > (AGAIN_FINE_S if fine else AGAIN_S):
        for_s = AGAIN_FINE_FOR_S if fine else AGAIN_FOR_S
        return Choice(curve.top, Stage.BASE, for_s, "its pace at full clock is measured again")
    fit = curve.fit()
    allowed = _allowed(bound - CAUTION * curve.base_error, means)
    low = max(settings[0], _believed(fit, means))
    near = [each for each in settings if max(low, STEP * curve.lowest) <= each < curve.top]
    if curve.lowest == curve.top:
        near = [each for each in settings if FIRST * curve.top <= each < curve.top]
    wanted = _best(curve, fit, near, now, allowed)
    if near and near[0] < curve.lowest < curve.top and _says_nothing(curve, fit, near):
        wanted = near[0]
    if wanted < curve.lowest:
        probe = _probe(curve, fit, [each for each in near if wanted <= each < curve.lowest], means)
        if probe is not None:
            return probe
        wanted = _best(curve, fit, [each for each in near if each >= curve.lowest], now, allowed)
        if wanted == curve.top:
            return Choice(curve.top, Stage.SAFE, EARN_S, f"time for a trial is earned first: {slack_s:.1f} s so far")
    if wanted == curve.top:
        return Choice(curve.top, Stage.SAFE, HOLD_S, f"nothing lower costs less time than {allowed:.1%} and saves")
    if not _is_known(curve, BASE_FINE * bound):
        saves = 1 - curve.energy(wanted, fit)
        could = 1 - curve.energy(_best(curve, fit, near, now, allowed + CAUTION * curve.base_error), fit)
        if could - saves > MORE * saves:
            return _measured_on(curve, unit)
    return _hold(curve, fit, wanted, allowed)


def _believed(fit: Fit, means: Means) -> float:
    """How far down the form is believed: half-way to where it was seen not to hold, while there is plenty for a try."""
    return (fit.floor + fit.bent) / 2 if means.slack_s > PLENTY_S * means.bound else fit.floor


def _allowed(steady: float, means: Means) -> float:
    """The slowdown of a setting that may be held now: less while little is earned, more while there is some."""
    grown = min(1.0, max(YOUNG, means.age_s / GROWN_S))
    reserve_s = grown * RESERVE_S * means.bound
    return steady * min(1.0, 2 * means.slack_s / reserve_s) + max(0.0, means.slack_s - reserve_s) / (grown * HORIZON_S)


def _best(curve: Curve, fit: Fit, near: Sequence[float], now: float, allowed: float) -> float:
    """The setting with the least energy of those that cost no more time than is allowed; the top if none does."""
    best, best_energy = curve.top, 1.0
    is_first = curve.lowest == curve.top
    for each in near:
        energy = curve.energy(each, fit) - (WORTH if each == now else 0.0)
        if energy < best_energy and (is_first or curve.slowdown(each, fit)[0] <= allowed):
            best, best_energy = each, energy
    return best


def _says_nothing(curve: Curve, fit: Fit, near: Sequence[float]) -> bool:
    """Whether nothing near saves, at any slowdown, though the lowest tried did no harm: it may be a bit further."""
    lowest, base = curve.points[0], curve.base
    if base is None or not lowest.units:
        return False
    harm = lowest.power_w / base.power_w * (1 + curve.measured(lowest)[0]) - 1
    return harm <= LITTLE_SAVED and all(curve.energy(each, fit) > 1 - LITTLE_SAVED for each in near)


def _hold(curve: Curve, fit: Fit, best: float, allowed: float) -> Choice:
    point = curve.at(best)
    longer, error = curve.slowdown(best, fit)
    saves = 1 - curve.energy(best, fit)
    why = (
        f"it saves {saves:.1%} of the energy for each unit and takes {longer:.1%} +-{error:.1%} longer, "
        f"{allowed:.1%} may be"
    )
    if point is None or point.seconds < JUDGED_S:
        return Choice(best, Stage.TRIAL, TRIAL_S, why)
    return Choice(best, Stage.HOLD, HOLD_S, why)


def _probe(curve: Curve, fit: Fit, near: Sequence[float], means: Means) -> Choice | None:
    """The lowest of some settings that the account can pay for, whatever comes of it; None: none that is worth it."""
    least = (near[0] + min(curve.lowest, curve.top)) / 2
    takes_s = max(TRIAL_S, SLOW_WORDS * means.word_s) + AROUND_S + means.word_s
    for each in near:
        longer, error = curve.slowdown(each, fit)
        worst = min(curve.top / each - 1, max(0.0, longer) + CAUTION * error)
        cost_s = takes_s * worst / (1 + worst)
        if each <= least and cost_s <= SPEND * means.slack_s:
            for_s = QUICK_S if cost_s <= LITTLE * means.slack_s else TRIAL_S
            return Choice(each, Stage.TRIAL, for_s, f"not tried yet; it may cost {cost_s:.1f} of {means.slack_s:.1f} s")
    return None
