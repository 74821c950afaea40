"""What the mesh says of this host and its domains, as Prometheus families."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from eagent.api.service import Json

Gauge = Callable[[str, str, Sequence[str]], GaugeMetricFamily]

HOST = (
    ("eagent_mesh_permission_watts", "permission_w", "Most that this host may draw at the wall, in watts"),
    ("eagent_mesh_need_watts", "need_w", "What this host could use at the wall now, in watts"),
)
DOMAIN = (
    ("eagent_mesh_rights_watts", "rights_w", "Watts that this host holds in the domain"),
    ("eagent_mesh_offers_watts", "offers_w", "Watts that this host would give to others"),
    ("eagent_mesh_wants_watts", "wants_w", "Watts that this host asks others for"),
    ("eagent_mesh_budget_watts", "budget_w", "Budget of the domain in the epoch this host is in, in watts"),
    (
        "eagent_mesh_promised_watts",
        "promised_w",
        "Watts that all hosts of the domain may draw by what was heard, who was not heard of with its grant",
    ),
    ("eagent_mesh_epoch", "epoch", "Epoch of the domain that this host is in, a number"),
    ("eagent_mesh_members", "members", "Hosts in the table of the domain, a count"),
    ("eagent_mesh_members_heard", "heard", "Of these, those heard of lately, a count"),
    ("eagent_mesh_duty_tokens", "duty", "Duty tokens that this host holds, a count; with one it stays awake"),
)
TRANSPORT = (
    ("eagent_mesh_messages_sent", "sent", "Messages handed to ZeroMQ, a count"),
    ("eagent_mesh_sent_bytes", "sent_bytes", "Bytes of messages handed to ZeroMQ"),
    ("eagent_mesh_messages_received", "received", "Messages of peers, a count"),
    ("eagent_mesh_received_bytes", "received_bytes", "Bytes of messages of peers"),
    ("eagent_mesh_messages_dropped", "dropped", "Messages never sent: unknown peer, or waited too long, a count"),
    ("eagent_mesh_messages_limited", "limited", "Messages lost because a peer says too much, a count"),
    ("eagent_mesh_messages_refused", "refused", "Handshakes and messages of keys that the roster lacks, a count"),
)


def families(mesh: Json | None, gauge: Gauge, mark: str) -> Iterator[Metric]:
    """The families of a host in a mesh; none without one.

    Args:
        mesh: As in `status()`.
        gauge: Makes a family of a name, a help text and labels.
        mark: What each help text begins with.
    """
    if mesh is None:
        return
    joined = gauge("eagent_mesh_joined", "1 while this host takes part in the mesh, else 0. Source: the agent.", ())
    joined.add_metric([], float(mesh["joined"]))
    yield joined
    for name, key, text in HOST:
        family = gauge(name, f"{text}. Source: the agent.", ())
        if mesh[key] is not None:
            family.add_metric([], mesh[key])
        yield family
    for name, key, text in DOMAIN:
        family = gauge(name, f"{text}. Source: the mesh.", ("domain",))
        for domain in mesh["domains"]:
            if domain.get(key) is not None:
                family.add_metric([domain["domain"]], domain[key])
        yield family
    waits = gauge(
        "eagent_mesh_unsealed_members",
        "Hosts that have not sealed the epoch, a count: until it is 0 nobody raises. Source: the mesh.",
        ("domain",),
    )
    for domain in mesh["domains"]:
        if domain.get("unsealed") is not None:
            waits.add_metric([domain["domain"]], len(domain["unsealed"]))
    yield waits
    for name, key, text in TRANSPORT:
        counter = CounterMetricFamily(name, f"{mark}{text}. Source: the mesh's transport.")
        if mesh["transport"] is not None:
            counter.add_metric([], mesh["transport"][key])
        yield counter
