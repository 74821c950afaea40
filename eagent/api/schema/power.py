"""What the power role answers: hosts, domains, and what would be done."""

from __future__ import annotations

from eagent.api.schema.form import listed, made, number, one_of, text, truth, whole

# The words of `eagent.mesh`, `eagent.engines.power` and `eagent.power`; a test holds them equal.
SAYS = ("awake", "yielding", "yielded")
STATES = ("on", "off", "unknown")
STEPS = ("sleep", "wake", "none")

STATUS = made(
    "Who sleeps, who is being switched, and how each host was heard of last.",
    name=text("Of this host in the mesh"),
    acts=truth("Whether hosts are switched, or that is only told"),
    halted=text("Why nothing is switched; null: it is not halted", null=True),
    power_key=text("The public key of its certificates, in hexadecimal digits"),
    failures=whole("Switchings in a row that have failed"),
    stopped=truth("Whether they were too many, so that no host is put to sleep"),
    unrecorded=whole("Entries that could not be written into the record"),
    hosts=listed(
        made(
            "A host that can be switched",
            host=text("Its name"),
            says=one_of(SAYS, "Its own word; null: it was not heard of", null=True),
            age_s=number("Seconds since it spoke; null: never", null=True),
            told_w=number("Watts that it said it draws; null: not told", null=True),
            devices=whole("GPUs that it said it has; null: not told", null=True),
            busy=whole("GPUs that it said are busy; null: not told", null=True),
            asleep=truth("Whether it sleeps, by a certificate"),
            put_to_sleep_s=number("When it was put to sleep: Unix time, in seconds; null: it was not", null=True),
            state=one_of(STATES, "Its power, by who switches it; null: not asked yet", null=True),
            switching=one_of(("sleep", "wake"), "What is being done to it; null: nothing", null=True),
            awaited=truth("Whether it was woken, and has not spoken yet"),
            wanted=text("Who wants it awake; null: nobody", null=True),
            protected=truth("Whether it is never put to sleep"),
        ),
        "By name",
    ),
    domains=listed(
        made(
            "How far a domain's table is",
            domain=text("Its name"),
            epoch=whole("The table's number"),
            complete=truth("Whether all members have sealed it"),
            waits_for=listed(text("A host"), "Those it waits for"),
            certified_off=listed(text("A host"), "Those that a certificate says are off"),
            awake=whole("Hosts that are awake"),
            devices=whole("GPUs of those"),
            busy=whole("Of them busy"),
        ),
        "By name",
    ),
)
PLAN = made(
    "What acting would do now, and why not more.",
    acts=truth("Whether hosts are switched, or that is only told"),
    halted=text("Why nothing is switched; null: it is not halted", null=True),
    hosts=listed(
        made(
            "One host",
            host=text("Its name"),
            step=one_of(STEPS, "What would be done"),
            because=text("Why"),
            told_w=number("Watts that it said it draws; null: not told", null=True),
        ),
        "Those that can be switched",
    ),
    sleep_told_w=number("Watts that the hosts to be put to sleep said they draw"),
    sleep_not_told=whole("How many of them have not told"),
)
ANSWER = made("What becomes of it.", host=text("Its name"), answer=text("For people"))
RESUMED = made("Hosts are put to sleep again.", failures=whole("Switchings in a row that had failed"))
