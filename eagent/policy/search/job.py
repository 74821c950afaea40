"""What is known of one job, and how it changes with each look at its counters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from eagent.model import KnobName
from eagent.policy.search.account import CAUTION, Account, Held
from eagent.policy.search.curve import Curve
from eagent.policy.search.phases import match, oddness, rescaled
from eagent.policy.search.searcher import SLOW_WORDS, Choice, Means, Stage, next_choice
from eagent.policy.search.trial import (
    BLOCK_S,
    FEW,
    LONGEST_S,
    MOST,
    SECOND_NS,
    SLOW_S,
    WORDS,
    Block,
    Look,
    between,
)

SETTLE_NS = 2 * SECOND_NS  # from a word of ours until it is in force, and shows
STALL_S, STALL_WORDS = 8.0, 6.0  # no word for so long, and for so many times the usual, is a stall
UNKNOWN_BLOCKS = 2  # at the top, before a phase is known
PHASES = 6
WRITE_NS = SECOND_NS  # clocks are written no more often


@dataclass(frozen=True, slots=True)
class Subject:
    """Which job, on which GPUs, by which knob."""

    name: str
    signature: str  # the same for another run of it on boards of the same kind
    uuids: frozenset[str]
    knob: KnobName
    unit: str


@dataclass(frozen=True, slots=True)
class Phase:
    """One thing that a job does, and what was done of it below the top in this run."""

    curve: Curve
    held: Held = field(default_factory=Held)
    is_of_this_run: bool = True


@dataclass(frozen=True, slots=True)
class Job:
    """One job at one time. Plain data; `step` makes the next."""

    subject: Subject
    top: float
    bound: float
    choice: Choice
    asked_ns: int  # when the setting in force changed last
    chosen_ns: int  # when it was chosen last, changed or not
    base_ns: int  # when the top was measured last
    phases: tuple[Phase, ...] = ()
    now: int | None = None  # which of them it is in; None: not known yet
    account: Account = field(default_factory=Account)
    last: Look | None = None
    begin: Look | None = None  # of the block that is open
    words: int = 0  # of the job since then
    heard_ns: int = 0  # when the last one came, which may tell of some seconds earlier
    gap_s: float = 1.0  # usual time between two words
    low: float = 0.0  # the lowest setting that may have been in force since `booked_ns`
    booked_ns: int | None = None  # up to here the account is made,
    booked_units: float = 0.0  # and so much was done by then
    odd: tuple[tuple[int, Block], ...] = ()
    doubt: tuple[int, float, tuple[Block, ...]] | None = (
        None  # the phase left last, its setting, and what was odd there
    )
    strange: Curve | None = None  # what was measured at the top while no phase is known
    in_force: float = 0.0
    stalled: bool = False
    said: str = ""  # what happened last, for a person
    changes: int = 0
    bound_by: str = ""  # who has said so, for a person

    @property
    def curve(self) -> Curve | None:
        """That of the phase it is in."""
        return None if self.now is None else self.phases[self.now].curve

    def slack_s(self, now_ns: int) -> float:
        """What may still be lost; what is not booked yet counts as lost as far as it can be."""
        held = tuple(
            (phase.held, phase.curve.base.rate, phase.curve.base_error)
            for phase in self.phases
            if phase.held.seconds and phase.curve.base is not None
        )
        pending_s = 0.0 if self.booked_ns is None else max(0, now_ns - self.booked_ns) / SECOND_NS
        return self.account.lose(pending_s, self.lost_share()).slack_s(self.bound, held)

    @property
    def age_s(self) -> float:
        """How long it has been known, as far as that is booked."""
        return self.account.free_s + self.account.lost_s + sum(phase.held.seconds for phase in self.phases)

    def lost_share(self) -> float:
        """The most that is lost of time that is set against no work: by the curve, else all that a clock can cost."""
        worst = 1 - self.low / self.top
        curve = self.curve
        if curve is None or curve.base is None or self.odd or worst <= 0:
            return worst
        longer, error = curve.slowdown(self.low, curve.fit())
        likely = max(0.0, longer) + CAUTION * error
        return min(worst, likely / (1 + likely))


def begin(subject: Subject, top: float, bound: float, known: Sequence[Curve], now_ns: int) -> Job:
    """A job that has just been seen, with the curves of its runs before."""
    phases = tuple(Phase(curve, is_of_this_run=False) for curve in known if curve.top == top and curve.base is not None)
    choice = Choice(top, Stage.BASE, 0.0, "it has just been seen: its pace at full clock is measured first")
    began_ns = now_ns - SETTLE_NS
    return Job(subject, top, bound, choice, began_ns, now_ns, now_ns, phases, low=top, in_force=top)


def step(job: Job, look: Look, *, held: bool, settings: Sequence[float], now_ns: int) -> Job:
    """The job after one more look.

    Args:
        job: As it was.
        look: Its counters now.
        held: Whether a ceiling of ours is in force on all of its GPUs.
        settings: Those that there are, ascending, the last the top; none below the operator's floor.
        now_ns: Monotonic time.
    """
    in_force = job.choice.setting if held or job.choice.setting == job.top else job.top
    if in_force != job.in_force:
        job = replace(_broken(job), in_force=in_force, low=min(job.low, in_force), asked_ns=now_ns)
    elif in_force == job.top and job.choice.setting == job.top and job.booked_ns is None:
        job = replace(job, booked_ns=look.at_ns, booked_units=look.units)
    job = _listen(job, look, now_ns)
    return _choose(job, settings, now_ns)


def wait(job: Job, look: Look, why: str, now_ns: int) -> Job:
    """The job after one more look while somebody else's limit holds it down: nothing that it does tells of the setting.

    What is held stays; a trial ends. The time is nobody's, but for the first of it, which may still have been ours.
    """
    if job.low < job.top and not job.stalled:
        job = _charged(job, now_ns)
    choice = replace(job.choice, why=why)
    if choice.stage is not Stage.HOLD:
        choice = Choice(job.top, Stage.SAFE, 0.0, why)
    asked_ns = job.asked_ns if choice.setting == job.choice.setting else now_ns
    job = replace(_broken(job), choice=choice, asked_ns=asked_ns, stalled=True, said=why, last=look)
    return replace(job, booked_ns=now_ns, booked_units=look.units, low=job.in_force)


def _broken(job: Job) -> Job:
    """With no block open: what was counted in it belongs to no setting."""
    return replace(job, begin=None, words=0, odd=())


def _listen(job: Job, look: Look, now_ns: int) -> Job:
    before = job.last
    if before is None or look.units < before.units or look.joules < before.joules or look.units > MOST:
        if job.booked_ns is not None:
            job = _charged(job, now_ns)
        booked_ns = max(now_ns, look.at_ns)
        return replace(_broken(job), last=look, booked_ns=booked_ns, booked_units=look.units, heard_ns=now_ns)
    job = _silent(job, before, now_ns)
    if not (look.at_ns > before.at_ns and look.units > before.units):
        return job
    job = replace(job, heard_ns=now_ns)
    if job.stalled:
        job = replace(_broken(job), stalled=False, last=look, asked_ns=now_ns, low=job.in_force)
        return replace(job, booked_ns=look.at_ns, booked_units=look.units)
    gap_s = (look.at_ns - before.at_ns) / SECOND_NS
    job = replace(job, last=look, gap_s=0.9 * job.gap_s + 0.1 * min(gap_s, 60.0))
    first = job.begin
    if first is None:
        settled = look.at_ns >= job.asked_ns + SETTLE_NS
        return replace(_booked(job, look), begin=look, words=0) if settled else job
    job = replace(job, words=job.words + 1)
    seconds = (look.at_ns - first.at_ns) / SECOND_NS
    enough = job.words >= (WORDS if seconds < SLOW_S else FEW)
    if not ((seconds >= BLOCK_S and enough) or seconds >= LONGEST_S):
        return job
    block = between(first, look)
    if block is None:
        return replace(_booked(job, look), begin=look, words=0)
    return replace(_block(job, block, look, now_ns), begin=look, words=0)


def _silent(job: Job, before: Look, now_ns: int) -> Job:
    """No word for a while. A stall is none of our doing, once the top is in force again; it earns nothing either.

    It is none that words tell of some seconds earlier, and then may need as long to go on; it is one, if of another
    kind, that nobody tells of the job.
    """
    silent_s, late_s = (now_ns - job.heard_ns) / SECOND_NS, (job.heard_ns - before.at_ns) / SECOND_NS
    if silent_s <= max(STALL_S, STALL_WORDS * job.gap_s) + late_s:
        return job
    job = replace(_broken(job), stalled=True, said=f"no progress for {silent_s:.0f} s")
    if job.low >= job.top:
        return replace(job, booked_ns=now_ns)
    return _charged(job, now_ns)


def _booked(job: Job, look: Look) -> Job:
    """With the time up to a look booked: as free, against the work done in it, or else as lost as far as it may be."""
    since_s = 0.0 if job.booked_ns is None else max(0, look.at_ns - job.booked_ns) / SECOND_NS
    done = replace(job, booked_ns=look.at_ns, booked_units=look.units, low=job.in_force)
    if job.low >= job.top:
        return replace(done, account=job.account.free(since_s))
    if job.now is None or job.odd or job.curve is None or job.curve.base is None:
        return replace(_charged(job, look.at_ns), booked_units=look.units)
    phase = job.phases[job.now]
    held = Held(phase.held.seconds + since_s, phase.held.units + max(0.0, look.units - job.booked_units))
    phases = (*job.phases[: job.now], replace(phase, held=held), *job.phases[job.now + 1 :])
    return replace(done, phases=phases)


def _charged(job: Job, until_ns: int) -> Job:
    """With the time up to then booked as lost, as far as it may be."""
    since_s = 0.0 if job.booked_ns is None else max(0, until_ns - job.booked_ns) / SECOND_NS
    return replace(job, account=job.account.lose(since_s, job.lost_share()), booked_ns=until_ns, low=job.in_force)


def _block(job: Job, block: Block, look: Look, now_ns: int) -> Job:
    now = job.now
    if now is None:
        return _unknown(_booked(job, look), block, now_ns)
    side, sure = oddness(job.phases[now].curve, job.in_force, block)
    if side:
        odd = (*job.odd, (side, block))
        if sure or (len(odd) > 1 and odd[-2][0] == side):
            return _changed(_booked(replace(job, odd=odd), look), [each for _, each in odd])
        return replace(job, odd=odd)  # not booked: the next block tells what it was
    job = _booked(replace(job, odd=()), look)
    phases = list(job.phases)
    phase = replace(phases[now], curve=phases[now].curve.add(job.in_force, block))
    if job.in_force == job.top:
        job, phase = replace(job, base_ns=now_ns), replace(phase, is_of_this_run=True)
    phases[now] = phase
    return replace(job, phases=tuple(phases))


def _changed(job: Job, odd: Sequence[Block]) -> Job:
    """In another phase: what was odd is the first that is known of it, if it was at the top."""
    strange = Curve(job.top)
    if job.in_force == job.top:
        for block in odd[-1:]:
            strange = strange.add(job.top, block)
    said = "it does something else than before: back at full clock"
    doubt = None if job.now is None else (job.now, job.in_force, tuple(odd))
    return replace(job, now=None, odd=(), doubt=doubt, strange=strange, said=said, changes=job.changes + 1)


def _unknown(job: Job, block: Block, now_ns: int) -> Job:
    if job.in_force != job.top:
        return job
    strange = job.strange or Curve(job.top)
    if strange.base is not None and oddness(strange, job.top, block)[1]:
        strange = Curve(job.top)
    strange = strange.add(job.top, block)
    base = strange.base
    assert base is not None
    if base.blocks < UNKNOWN_BLOCKS:
        return replace(job, strange=strange)
    phases = list(job.phases)
    place = match([phase.curve for phase in phases], base)
    if place is None:
        phases.append(Phase(strange))
        if len(phases) > PHASES:
            spare = next((i for i, each in enumerate(phases) if not each.held.seconds), None)
            if spare is None or spare == len(phases) - 1:
                return replace(
                    job, strange=None, said=f"it has done more than {PHASES} different things: it is left alone"
                )
            del phases[spare]
        place = len(phases) - 1
        said = "it does what has not been measured yet"
    else:
        known = phases[place]
        if not known.is_of_this_run:
            phases[place] = replace(known, curve=rescaled(known.curve, base), is_of_this_run=True)
        if job.doubt is not None and job.doubt[0] == place and job.doubt[1] != job.top:
            phases[place] = _calmed(phases[place], job.doubt[1], job.doubt[2])
        said = "it does what was measured before"
    return replace(job, phases=tuple(phases), now=place, strange=None, base_ns=now_ns, said=said)


def _calmed(phase: Phase, setting: float, odd: Sequence[Block]) -> Phase:
    """With what was odd in it counted: it was the same phase, so its noise is more than was thought."""
    curve = phase.curve
    for block in odd:
        curve = curve.add(setting, block)
    return replace(phase, curve=curve)


def _choose(job: Job, settings: Sequence[float], now_ns: int) -> Job:
    """Look whether another setting is due, and choose it."""
    if now_ns - job.asked_ns < WRITE_NS:
        return job
    if job.stalled or job.now is None or job.curve is None:
        why = job.said or "its pace at full clock is measured first"
        return _asked(job, Choice(job.top, Stage.SAFE, 0.0, why), now_ns)
    choice, curve = job.choice, job.curve
    in_trial_s = (now_ns - job.chosen_ns) / SECOND_NS
    floored = choice.setting < settings[0]
    for_s = max(choice.for_s, SLOW_WORDS * job.gap_s) if choice.for_s else 0.0
    if choice.setting == job.top and (in_trial_s < for_s or curve.base is None):
        return job
    slack_s = job.slack_s(now_ns)
    if slack_s > 0 and not floored and choice.setting != job.top and in_trial_s < for_s + SETTLE_NS / SECOND_NS:
        return job
    means = Means(job.bound, slack_s, (now_ns - job.base_ns) / SECOND_NS, job.gap_s, job.age_s)
    due = next_choice(curve, choice.setting, settings, means, job.subject.unit)
    return _asked(job, due, now_ns)


def _asked(job: Job, choice: Choice, now_ns: int) -> Job:
    if choice.setting == job.choice.setting:
        return replace(job, choice=choice, chosen_ns=now_ns)
    job = _left(job, now_ns)
    if job.now is None:  # what was just left has shown that it does something else
        choice = Choice(job.top, Stage.SAFE, 0.0, job.said or choice.why)
    job = _broken(job)
    return replace(job, choice=choice, asked_ns=now_ns, chosen_ns=now_ns, low=min(job.low, choice.setting))


def _left(job: Job, now_ns: int) -> Job:
    """With what was done in the block that is open; a short one only counts, a longer one is also measured by."""
    if job.last is None or job.booked_ns is None or job.stalled or job.last.at_ns <= job.booked_ns:
        return job
    block = None if job.begin is None else between(job.begin, job.last)
    if block is not None and block.seconds >= BLOCK_S and job.now is not None:
        return _block(job, block, job.last, now_ns)
    return _booked(job, job.last)
