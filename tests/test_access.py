import ast
import os
import re
import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eagent import access
from eagent.access import Rights, Role
from eagent.api import jobs, power, routes
from eagent.api.route import Routes
from eagent.config import Groups
from eagent.peer import Peer, group_ids, let_in, name_of, peer_of
from eagent.warden import server

ROOT = Path(__file__).parent.parent
IDS = st.integers(1, 20)
SETS = st.frozensets(IDS, max_size=4)


@pytest.mark.parametrize(
    ("table", "declared"),
    [(access.API, routes.ROUTES), (access.JOBS, jobs.ROUTES), (access.POWER, power.POWER_ROUTES)],
    ids=["api", "jobs", "power"],
)
def test_the_table_has_each_route_and_no_other(table: access.Needs, declared: Routes) -> None:
    assert set(table) == {f"{route.method} {route.template}" for route in declared}


def test_the_table_has_each_operation_of_the_warden_and_no_other() -> None:
    tree = ast.parse(Path(server.__file__).read_text())
    cases = [ast.unparse(case.pattern) for node in ast.walk(tree) if isinstance(node, ast.Match) for case in node.cases]
    assert set(access.WARDEN) == {op for case in cases for op in re.findall(r"'op': '(\w+)'", case)}


def test_what_changes_something_is_for_operators_or_for_a_jobs_own_devices() -> None:
    changes = {route: role for route, role in {**access.API, **access.POWER}.items() if not route.startswith("GET ")}
    assert set(changes.values()) == {Role.OPERATOR}
    assert set(access.JOBS.values()) == {Role.JOB}


def test_the_page_for_people_has_the_same_table() -> None:
    page = (ROOT / "docs/security.md").read_text()
    told = dict(re.findall(r"^\| `([^`]+)` \| ([a-z ]+) \|", page, re.MULTILINE))
    tables = {
        **access.API,
        **access.POWER,
        **{f"jobs {route}" if route in access.API else route: role for route, role in access.JOBS.items()},
        **{f"warden {op}": role for op, role in access.WARDEN.items()},
    }
    assert told == {what: role.label for what, role in tables.items()}


@given(st.builds(Peer, IDS, IDS, IDS, SETS), SETS, SETS, SETS, SETS)
def test_nobody_has_a_role_that_neither_user_nor_group_gives(
    peer: Peer, owners: frozenset[int], operators: frozenset[int], observers: frozenset[int], agents: frozenset[int]
) -> None:
    role = Rights(owners, operators, observers, agents).role(peer)
    groups = {peer.gid, *peer.groups}
    assert (role is Role.OPERATOR) == (peer.uid in owners or bool(groups & operators))
    assert role is not Role.AGENT or groups & agents
    assert role is not Role.OBSERVER or groups & observers
    assert role is Role.NOBODY or peer.uid in owners or groups & (operators | observers | agents)


def test_a_group_that_is_not_there_has_no_members_and_is_no_error() -> None:
    assert group_ids(["no-such-group-here"]) == frozenset()
    assert Rights(frozenset({0}), group_ids(["no-such-group-here"])).role(Peer(1, 1000, 1000)) is Role.NOBODY


def test_root_in_a_container_is_no_more_than_a_job_owner_at_the_jobs_socket() -> None:
    assert access.of_jobs().role(Peer(0, 0, 0)) is Role.JOB


def test_a_refusal_says_who_may_and_who_you_are() -> None:
    line = access.refusal("PUT /v1/budget", Role.OPERATOR, Role.OBSERVER, Groups())
    assert line == "PUT /v1/budget is for operators (root and members of eagent-operators); you are an observer"
    assert "no table" in access.refusal("PUT /v1/x", None, Role.OPERATOR, Groups())


def test_the_kernel_tells_who_is_at_the_other_end() -> None:
    one, other = socket.socketpair(socket.AF_UNIX)
    with one, other:
        peer = peer_of(one)
    assert (peer.pid, peer.uid, peer.gid) == (os.getpid(), os.geteuid(), os.getegid())
    assert peer.groups == frozenset(os.getgroups())
    assert name_of(peer.pid)
    assert name_of(2**22 + 1) == ""


def test_a_file_lets_in_the_groups_that_it_is_told(tmp_path: Path) -> None:
    path = tmp_path / "s"
    path.touch(0o660)
    let_in(path, [])
    assert os.listxattr(path) == []
    let_in(path, [60, 61])
    assert path.stat().st_mode & 0o777 == 0o660
    packed = os.getxattr(path, "system.posix_acl_access")
    assert all(bytes([8, 0, 6, 0, group, 0, 0, 0]) in packed for group in (60, 61))
