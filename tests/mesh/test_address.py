import asyncio
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eagent.errors import ConfigError
from eagent.mesh.address import is_literal, join, listening_socket, look_up, split

ports = st.integers(0, 65_535)
literals = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)).map(str)
names = st.from_regex(r"[a-z0-9]([a-z0-9.-]{0,30}[a-z0-9])?", fullmatch=True).filter(lambda name: not is_literal(name))


@given(literals | names, ports)
def test_what_is_joined_splits_into_the_same(host: str, port: int) -> None:
    assert split(join(host, port)) == (host, port)


def test_ipv6_may_stand_without_brackets_in_a_roster() -> None:
    assert split("2001:db8::1:7433") == ("2001:db8::1", 7433)


@given(literals)
def test_an_ip_address_needs_no_resolver(host: str) -> None:
    assert is_literal(host)


@given(names)
def test_a_name_does(host: str) -> None:
    assert not is_literal(host)


@given(st.text(max_size=40))
def test_any_text_is_an_address_or_refused_in_a_line(text: str) -> None:
    try:
        host, port = split(text)
    except ConfigError as refusal:
        host, port, line = "refused", 0, str(refusal)
    else:
        line = ""
    assert host
    assert 0 <= port <= 65_535
    assert "\n" not in line


@pytest.mark.parametrize("text", ["", "n01", ":7433", "n01:", "n01:http", "n01:65536", "n01:٣", "[]:1", "n01:-1"])
def test_what_is_not_host_and_port_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="must be HOST:PORT"):
        split(text)


@pytest.mark.parametrize("listen", ["127.0.0.1:0", "localhost:0", "*:0"])
def test_a_listening_socket_is_reached_where_it_says(listen: str) -> None:
    with listening_socket(listen, 8) as listening:
        port = listening.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port), timeout=5):
            pass


def test_a_taken_address_is_told_in_a_line() -> None:
    with listening_socket("127.0.0.1:0", 8) as listening:
        address = join(*listening.getsockname()[:2])
        with pytest.raises(ConfigError, match=rf"can't listen at {address}: Address already in use"):
            listening_socket(address, 8)


def test_a_name_is_looked_up_without_holding_up_the_loop() -> None:
    async def run(host: str) -> list[str]:
        found: asyncio.Future[list[str]] = asyncio.get_running_loop().create_future()
        look_up(host, 7433, found.set_result)
        assert not found.done()
        async with asyncio.timeout(30):
            return await found

    assert set(asyncio.run(run("localhost"))) & {"127.0.0.1:7433", "[::1]:7433"}
    assert asyncio.run(run("no such host")) == []
