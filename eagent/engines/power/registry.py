"""From the configuration to the hosts' switches. A new adapter: a new file, a section in `options` and a line here."""

from __future__ import annotations

from eagent.engines.power.adapter import Adapter
from eagent.engines.power.command import CommandAdapter
from eagent.engines.power.config import Host, PowerConfig
from eagent.engines.power.ipmi import Bmc, IpmiAdapter
from eagent.engines.power.role import Switch


def switches(config: PowerConfig) -> dict[str, Switch]:
    """Each host with an adapter of its own, so that what one host's patience allows is not another's."""
    return {name: Switch(_adapter(host, config), host.order, host.confirm_s) for name, host in config.hosts.items()}


def _adapter(host: Host, config: PowerConfig) -> Adapter:
    if isinstance(host.by, Bmc):
        return IpmiAdapter({host.name: host.by}, config.ipmi_program)
    return CommandAdapter(host.by, {host.name: host.address})
