"""Show, set or clear the budget of this host: the watts that it must stay under.

A budget is kept through power limits, those of the GPUs and of CPUs that have one: their sum, plus the fixed draw of
all that eagent cannot limit (memory, fans, losses, other CPUs; as a maximum), is never more than the budget. It
outlives eagent and a boot, until it is cleared. When nobody governs the devices, each falls to its safe cap; so a
budget is refused unless all safe caps and the fixed draw fit into it.

Examples:
  eagent budget                                 show it
  eagent budget set 2480                        fixed draw and safe cap from the configuration
  eagent budget set 2.48kW --fixed-w 400W       400 W are drawn by all else, at most
  eagent budget set 2480 --fixed-w 400 --safe-cap 150W
  eagent budget clear                           end it; the limits go back to what they were before
"""

from __future__ import annotations

import argparse
from typing import Any

from eagent.cli import direct_budget
from eagent.cli.arguments import add_json, add_why, print_json, watts, watts_or_none
from eagent.cli.direct_budget import takes_budget
from eagent.cli.dispatch import Context
from eagent.cli.status import budget_lines
from eagent.errors import EagentError


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `eagent budget`."""
    add_json(parser)
    actions = parser.add_subparsers(dest="action", metavar="set|clear")
    change = actions.add_parser("set", help="put this host under a budget")
    change.add_argument("budget_w", metavar="WATTS", type=watts, help="for the whole host: 2480, 2480W or 2.48kW")
    change.add_argument(
        "--fixed-w",
        metavar="W",
        type=watts_or_none,
        help="the most that all without a limit draws; else fixed_w of the configuration",
    )
    change.add_argument(
        "--safe-cap",
        metavar="W",
        dest="safe_cap_w",
        type=watts,
        help="each GPU's limit when nobody governs it; else safe_cap_w of the configuration",
    )
    clear = actions.add_parser("clear", help="end the budget")
    for each in (change, clear):
        add_why(each)


def run(args: argparse.Namespace, context: Context) -> int:
    """Show, set or clear."""
    client = context.client()
    through_agent = args.action is None or takes_budget(client)
    if args.action == "clear":
        if through_agent:
            client.request("DELETE", "/v1/budget", why=args.why)
        else:
            direct_budget.clear(context, args.why)
            direct_budget.await_agent(client, None)
        print("The budget is cleared: the limits go back to what they were before it.")
        return 0
    if args.action == "set":
        wish = {name: getattr(args, name) for name in ("budget_w", "fixed_w", "safe_cap_w")}
        if through_agent:
            body = {name: value for name, value in wish.items() if value is not None}
            in_force = client.request("PUT", "/v1/budget", body, why=args.why)["in_force"]
        else:
            in_force = direct_budget.put(context, **wish, why=args.why)
            direct_budget.await_agent(client, args.budget_w)
        if in_force is not True:
            raise EagentError("the budget stands, but not every limit could be read back under it: see `eagent status`")
    status: dict[str, Any] = client.request("GET", "/v1/status")
    if args.json:
        print_json({"budget": status["budget"]})
    else:
        print("\n".join([*(["SIMULATED"] if status["simulated"] else []), *budget_lines(status["budget"])]))
    return 0
