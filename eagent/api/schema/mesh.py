"""A host's part in the mesh, its domains and its peers. Watts are at the wall where not said otherwise."""

from __future__ import annotations

from eagent.api.schema.form import listed, made, mapped, number, one_of, ref, text, truth, whole
from eagent.api.service import Json

# The words of `eagent.mesh`, which a host without a mesh does not load; a test holds them equal.
STAGES = ("out", "sealed", "open")
POWERS = ("awake", "yielding", "yielded", "asleep")


def schemas() -> Json:
    """The schemas of this family, by name."""
    return {
        "MeshSummary": made(
            "This host's part in the mesh.", **_part(), domains=listed(ref("Domain"), "Those it is in")
        ),
        "Mesh": made(
            "This host's part in the mesh, and what it knows of the others.",
            simulated=truth("Whether this host's devices are simulated"),
            halted=text("As in the status", null=True),
            name=text("Of this host in the mesh"),
            alarms=listed(text("One line"), "What is wrong now, for people"),
            **_part(),
            domains=listed(ref("DomainWithLines"), "Those it is in"),
            peers=listed(ref("Peer"), "All hosts that were heard of, this one among them"),
        ),
        "Sleep": made(
            "Whether this host would sleep.",
            wanted=truth("Whether the policy wants it"),
            reason=text("Why, or why not"),
            acts=truth("Whether it may act on it"),
            hindered=text("What it must still hand over; null: nothing, or it does not act", null=True),
            draws_w=number("Watts that its devices draw; null: not known", null=True),
        ),
        "Domain": made("A domain, and what this host holds of it.", _table(), **_domain()),
        "DomainWithLines": made(
            "A domain with each member of its table.",
            {
                **_table(),
                "lines": mapped(
                    made(
                        "What the table says of one member",
                        grant_w=number("What it is granted, in watts"),
                        life=text("Which life of the host the grant is for; empty: none, and each has its reserve"),
                        duty=whole("Duty tokens that it is granted"),
                    ),
                    "By the host's name",
                ),
            },
            **_domain(),
        ),
        "Peer": made(
            "A host that was heard of.",
            host=text("Its name"),
            age_s=number("Seconds since it spoke"),
            stale=truth("Whether that is too long"),
            power=one_of(POWERS, "By its own word, or the power role's"),
            devices=whole("How many GPUs it has"),
            busy=whole("How many of them are busy"),
            power_w=number("Watts that its devices draw; null: not told", null=True),
            limits_w=number("The sum of its devices' limits, in watts; null: not told", null=True),
            domains=listed(
                made(
                    "Where it stands in one domain",
                    domain=text("Its name"),
                    life=text("Which life of the host this is"),
                    epoch=whole("The table's number"),
                    stage=one_of(STAGES, "How far it has come in that epoch"),
                    rights_w=number("Watts that it may draw"),
                    duty=whole("Duty tokens that it holds"),
                ),
                "Its domains",
            ),
        ),
    }


def _part() -> Json:
    return {
        "joined": truth("Whether it takes part now"),
        "permission_w": number("Watts that it may draw; null: it takes no part", null=True),
        "reserve_w": number("Watts that it may always draw"),
        "nameplate_w": number("The most watts that it can draw at all"),
        "need_w": number("Watts that it has a use for; null: it takes no part", null=True),
        "sleep": ref("Sleep"),
        "transport": {
            "type": ["object", "null"],
            "additionalProperties": whole("Since the start"),
            "description": "Counters of messages, bytes and refusals; null: it takes no part",
        },
    }


def _domain() -> Json:
    return {
        "domain": text("Its name"),
        "epoch": whole("The number of the table that it is in; 0: in none"),
        "newest_epoch": whole("The number of the newest table heard of"),
        "stage": one_of((*STAGES, "beginning"), "How far this host has come in that epoch"),
        "life": text("Which life of the host this is; null: none has begun", null=True),
        "rights_w": number("Watts that it may draw; null: none has begun", null=True),
        "duty": whole("Duty tokens that it holds; null: none has begun", null=True),
        "offers_w": number("Watts that it offers to others"),
        "wants_w": number("Watts that it wants of others"),
        "refused": text("Why the newest table is refused; null: it is not", null=True),
        "heard_age_s": number("Seconds since another host spoke; null: none did", null=True),
        "budget_w": number("The domain's budget, in watts; null: there is no table yet", null=True),
    }


def _table() -> Json:
    """What a domain has where it has a table."""
    return {
        "others_w": number("Watts that the table keeps for what is no member"),
        "promised_w": number("Watts that its members may draw, silent ones counted with their grant"),
        "grant_w": number("Watts that it grants this host; null: none", null=True),
        "members": whole("How many hosts it has"),
        "heard": whole("How many of them were heard of lately"),
        "silent": listed(text("A host"), "Those that were not"),
        "unsealed": listed(text("A host"), "Those that have not sealed it"),
        "duty_in_all": whole("Duty tokens that it has"),
    }
