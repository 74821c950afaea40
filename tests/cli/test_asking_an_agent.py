"""The client against the agent's real HTTP application."""

from pathlib import Path
from typing import Any

import pytest

from eagent.client import Client, device_target
from eagent.errors import EagentError, InputError, RefusedError, UnavailableError


def test_each_status_is_the_error_that_the_agent_raised(tmp_path: Path, agent: Any) -> None:
    client = Client(tmp_path / "api.sock")
    for problem in (InputError("a"), RefusedError("b"), UnavailableError("c"), EagentError("d")):
        agent.problem = problem
        with pytest.raises(type(problem)) as heard:
            client.request("POST", "/v1/restore")
        assert type(heard.value) is type(problem)
        assert str(heard.value) == str(problem)


@pytest.mark.usefixtures("agent")
def test_a_device_of_any_name_reaches_the_agent_as_it_was_typed(tmp_path: Path) -> None:
    client = Client(tmp_path / "api.sock")
    assert client.request("GET", device_target("GPU/0a ö", "explain"))["device"] == "GPU/0a ö"
