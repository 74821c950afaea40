import asyncio
import contextlib
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eagent.engines.power.adapter import PowerState
from eagent.engines.power.child import Finished
from eagent.engines.power.command import CommandAdapter, Commands, fill, unknown_places
from eagent.errors import RefusedError, UnavailableError

COMMANDS = Commands(
    on=("/bin/wake", "{address}"),
    off=("/bin/ssh", "root@{host}", "poweroff"),
    state=("/bin/state", "--of={host}", '{"json": 1}'),
    power_w=("/bin/watts", "{host}", "hush"),
    timeout_s=7.0,
)


class Site:
    """Answers in place of the site's programs."""

    def __init__(self, output: str = "", status: int = 0, errors: str = "") -> None:
        self.answer = Finished(status, output, errors)
        self.ran: list[tuple[list[str], float]] = []

    async def run(self, argv: Sequence[str], timeout_s: float) -> Finished:
        self.ran.append((list(argv), timeout_s))
        return self.answer

    def adapter(self) -> CommandAdapter:
        return CommandAdapter(COMMANDS, {"n1": "52:54:00:12:34:56"}, self.run)


def test_each_wish_runs_its_own_command_with_host_and_address_filled_in() -> None:
    site = Site("on\n")
    adapter = site.adapter()
    asyncio.run(adapter.on("n1"))
    asyncio.run(adapter.off("n1"))
    assert asyncio.run(adapter.state("n1")) is PowerState.ON
    assert site.ran == [
        (["/bin/wake", "52:54:00:12:34:56"], 7.0),
        (["/bin/ssh", "root@n1", "poweroff"], 7.0),
        (["/bin/state", "--of=n1", '{"json": 1}'], 7.0),
    ]


@pytest.mark.parametrize("name", ["-n1", "n1 --force", "../n1", "n1;reboot", ""])
def test_what_is_no_host_is_refused_before_anything_runs(name: str) -> None:
    site = Site()
    with pytest.raises(RefusedError, match="is not the name of a host"):
        asyncio.run(site.adapter().off(name))
    assert site.ran == []


@given(st.lists(st.text(max_size=30), min_size=1, max_size=5), st.from_regex(r"[a-z][a-z0-9]{0,8}", fullmatch=True))
def test_filling_in_neither_adds_nor_splits_an_argument(words: list[str], host: str) -> None:
    filled = fill(tuple(words), host, host)
    assert len(filled) == len(words)
    for before, after in zip(words, filled, strict=True):
        assert after == before.replace("{host}", host).replace("{address}", host)


def test_a_word_in_braces_that_is_not_filled_in_is_noticed() -> None:
    assert unknown_places('{hots} {host} {"a": {address}}') == ["hots"]


@pytest.mark.parametrize(
    ("said", "state"), [("on", PowerState.ON), (" OFF \n", PowerState.OFF), ("unknown", PowerState.UNKNOWN)]
)
def test_states(said: str, state: PowerState) -> None:
    assert asyncio.run(Site(said).adapter().state("n1")) is state


@given(st.text(max_size=60))
def test_any_other_word_is_no_state(said: str) -> None:
    if said.strip().lower() not in ("on", "off", "unknown"):
        with pytest.raises(UnavailableError, match="must be on, off or unknown"):
            asyncio.run(Site(said).adapter().state("n1"))


@given(st.text(max_size=20) | st.floats().map(str))
def test_watts_are_a_number_that_a_host_can_draw_or_an_error(said: str) -> None:
    with contextlib.suppress(UnavailableError):
        watts = asyncio.run(Site(said).adapter().power_w("n1"))
        assert watts is not None
        assert 0 <= watts <= 1_000_000


def test_watts_that_nobody_measures_are_missing() -> None:
    adapter = CommandAdapter(Commands(("/on",), ("/off",), ("/state",)), {}, Site().run)
    assert asyncio.run(adapter.power_w("n1")) is None


def test_a_command_that_fails_is_told_with_its_last_words_and_without_its_arguments() -> None:
    site = Site(status=4, errors="first\nno such outlet\n")
    with pytest.raises(UnavailableError) as failure:
        asyncio.run(site.adapter().power_w("n1"))
    assert str(failure.value) == "n1: its power_w command failed with status 4: no such outlet"
