import os
from pathlib import Path

import pytest

from eagent.errors import UnavailableError
from eagent.paths import RUN_MODE, Paths


def test_paths_come_from_the_environment_first() -> None:
    paths = Paths.from_environment({"EAGENT_RUN_DIR": "/r", "EAGENT_STATE_DIR": "/s", "XDG_RUNTIME_DIR": "/x"})
    assert (paths.run, paths.state) == (Path("/r"), Path("/s"))


def test_what_jobs_may_open_lies_in_a_directory_of_its_own() -> None:
    paths = Paths.from_environment({"EAGENT_RUN_DIR": "/somewhere/run", "EAGENT_STATE_DIR": "/somewhere/state"})
    assert (paths.jobs, paths.measure_socket, paths.beat_socket) == (
        Path("/somewhere/run/jobs"),
        Path("/somewhere/run/jobs/ask.sock"),
        Path("/somewhere/run/jobs/beat.sock"),
    )
    names = (name for name in dir(Paths) if not name.startswith("_"))
    others = {value for name in names if isinstance(value := getattr(paths, name), Path)}
    others -= {paths.measure_socket, paths.beat_socket}
    assert not [each for each in others if each.parent == paths.jobs]
    assert RUN_MODE & 0o007 == 0o001, "others may pass, and neither list nor write"


def test_a_driver_that_was_loaded_again_lives_another_life(tmp_path: Path) -> None:
    paths = Paths(run=tmp_path, state=tmp_path, sysfs=tmp_path)
    assert paths.driver_life() == "", "there is no such module"
    module = tmp_path / "module" / "nvidia"
    module.mkdir(parents=True)
    first = paths.driver_life()
    assert first
    assert paths.driver_life() == first
    module.rename(tmp_path / "unloaded")  # so that its number stays taken, as kernfs sees to it
    module.mkdir()
    assert paths.driver_life() not in ("", first)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The environment of a user who is not root, on a host whose service is at tmp_path/system."""
    monkeypatch.setattr("os.getuid", lambda: 1000)
    return {"XDG_RUNTIME_DIR": str(tmp_path), "HOME": str(tmp_path)}


def asked(environ: dict[str, str], tmp_path: Path) -> Paths:
    return Paths.of_who_answers(environ, tmp_path / "system", tmp_path / "system-state")


def own_agent(run: Path) -> None:
    run.mkdir(exist_ok=True)
    (run / "api.sock").touch()


def test_a_user_without_an_agent_asks_that_of_the_host(tmp_path: Path, home: dict[str, str]) -> None:
    (tmp_path / "system").mkdir()
    found = asked(home, tmp_path)
    assert (found.run, found.state) == (tmp_path / "system", tmp_path / "system-state")
    assert asked({**home, "EAGENT_STATE_DIR": "/s"}, tmp_path).state == Path("/s")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
def test_a_user_with_an_agent_asks_it(tmp_path: Path, home: dict[str, str]) -> None:
    (tmp_path / "system").mkdir()
    own_agent(tmp_path / "eagent")
    os.chown(tmp_path / "eagent", 1000, -1)
    assert asked(home, tmp_path).run == tmp_path / "eagent"


def test_without_a_service_a_user_asks_where_an_agent_of_the_user_would_be(
    tmp_path: Path, home: dict[str, str]
) -> None:
    assert asked(home, tmp_path) == Paths.from_environment(home)
    assert asked({**home, "EAGENT_RUN_DIR": "/r"}, tmp_path).run == Path("/r")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
def test_an_agent_that_somebody_else_has_put_in_the_users_place_is_not_asked(
    tmp_path: Path, home: dict[str, str]
) -> None:
    own_agent(tmp_path / "eagent")
    os.chown(tmp_path / "eagent", 1001, -1)
    with pytest.raises(UnavailableError, match="belongs to user 1001"):
        asked(home, tmp_path)
