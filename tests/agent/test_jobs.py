"""Which processes are one job, whose job another process is of, and who listens where."""

from types import SimpleNamespace

from eagent.agent.jobs import Jobs
from eagent.agent.lineage import Identity, Process
from eagent.model import DeviceKind

S = 1_000_000_000
COMMANDS = {
    1: ("/sbin/init",),
    10: ("-bash",),
    20: ("/usr/bin/python3", "/usr/bin/torchrun", "--nproc=2", "train.py"),
    21: ("python3", "train.py", "--rank=0"),
    22: ("python3", "train.py", "--rank=1"),
    30: ("./serve", "--token", "secret"),
    40: ("/bin/sh",),
    90: ("slurmstepd",),
    91: ("python3", "a.py"),
    92: ("python3", "a.py"),
}
PARENTS = {10: 1, 11: 10, 20: 10, 21: 20, 22: 20, 23: 21, 24: 20, 30: 10, 31: 30, 40: 1, 41: 40, 90: 1, 91: 90, 92: 90}
SESSIONS = {40: 40, 41: 40, 91: 91, 92: 92}
STARTS = {24: 24 + 10**6}
USERS = {1: 0, 90: 0, 40: 1000, 41: 1000}


def process(pid: int) -> Process:
    above: list[Identity] = []
    at = pid
    while at := PARENTS.get(at, 0):
        above.append((at, at))
    return Process(
        (pid, STARTS.get(pid, pid)), USERS.get(pid, 1000), frozenset(above), PARENTS.get(pid, 0), SESSIONS.get(pid, 10)
    )


class World:
    def __init__(self, **held: tuple[int, ...] | None) -> None:
        self.held = {f"GPU-{name[3:]}": pids for name, pids in held.items()}

    def processes(self, uuid: str, _: int) -> tuple[Process, ...] | None:
        pids = self.held[uuid]
        return None if pids is None else tuple(map(process, pids))

    def look(self, pid: int, _: int) -> Process | None:
        return process(pid) if pid in PARENTS or pid in COMMANDS else None

    def command(self, pid: int) -> tuple[str, ...]:
        return COMMANDS.get(pid, ("other",))

    def jobs(self) -> Jobs:
        devices = [SimpleNamespace(uuid=uuid, kind=DeviceKind.GPU) for uuid in self.held]
        jobs = Jobs(self, self, lambda: devices)  # type: ignore[arg-type]
        jobs.look(S)
        return jobs


def test_the_ranks_of_one_launcher_are_one_job_and_what_a_shell_began_is_not() -> None:
    found = World(gpu0=(21,), gpu1=(22,), gpu2=(30,)).jobs().look(S)
    assert [(job.key, job.uuids) for job in found] == [
        ((1000, 21, 21), {"GPU-0", "GPU-1"}),
        ((1000, 30, 30), {"GPU-2"}),
    ]


def test_a_job_has_the_same_name_in_another_run_and_it_tells_no_secrets() -> None:
    (ranks, serve) = World(gpu0=(21,), gpu1=(22,), gpu2=(30,)).jobs().look(S)
    assert ranks.name.startswith("1000 python3 torchrun ")
    assert "secret" not in serve.name
    assert (ranks.name, serve.name) == tuple(job.name for job in World(gpu0=(22,), gpu1=(30,)).jobs().look(S))


def test_ranks_below_another_users_launcher_are_one_job_named_by_themselves() -> None:
    (job,) = World(gpu0=(91,), gpu1=(92,)).jobs().look(S)
    assert job.uuids == {"GPU-0", "GPU-1"}
    assert job.name.startswith("1000 python3 a.py ")


def test_two_jobs_on_a_gpu_share_it() -> None:
    found = World(gpu0=(21, 30), gpu1=(22,)).jobs().look(S)
    assert [job.shares for job in found] == [{"GPU-0"}, {"GPU-0"}]


def test_a_beat_is_of_the_job_that_its_process_is_in_or_has_begun() -> None:
    jobs = World(gpu0=(21,), gpu1=(22,), gpu2=(30,)).jobs()
    for pid in (20, 21, 22, 23):  # the launcher, the ranks, a worker of a rank
        assert list(jobs.place(pid, 1000, S)) == [(1000, 21, 21)]
    assert list(jobs.place(31, 1000, S)) == [(1000, 30, 30)]
    assert list(jobs.place(11, 1000, S)) == [(1000, 21, 21), (1000, 30, 30)], "`eagent beat` in the shell of both"


def test_a_beat_of_another_session_user_or_nobody_is_of_no_job() -> None:
    jobs = World(gpu0=(21,)).jobs()
    assert not jobs.place(41, 1000, S)
    assert not jobs.place(21, 2000, S), "who says that he is another"
    assert not jobs.place(0, 1000, S)
    assert not jobs.place(12345, 1000, S)


def test_where_holders_are_not_told_there_is_no_job() -> None:
    assert World(gpu0=None, gpu1=()).jobs().look(S) == ()


def test_who_listens_is_the_process_that_has_the_socket_or_the_only_job_of_its_user() -> None:
    two, one = World(gpu0=(21,), gpu1=(22,), gpu2=(30,)).jobs(), World(gpu0=(21,)).jobs()

    def listeners(_: int) -> list[tuple[int, int]]:
        return [(1000, 777)]

    assert list(two.listening(8000, listeners, lambda pid, inode: pid == 30 and inode == 777)) == [(1000, 30, 30)]
    assert list(two.listening(8000, listeners, lambda pid, _: pid == 20)) == [(1000, 21, 21)], "the launcher serves"
    assert list(two.listening(8000, listeners, lambda *_: None)) == []
    assert list(one.listening(8000, listeners, lambda *_: None)) == [(1000, 21, 21)]
    assert list(one.listening(8000, lambda _: [(2000, 777)], lambda *_: None)) == []


def test_what_a_launcher_begins_later_is_another_job() -> None:
    found = World(gpu0=(21,), gpu1=(22,), gpu2=(24,)).jobs().look(S)
    assert [job.uuids for job in found] == [{"GPU-0", "GPU-1"}, {"GPU-2"}]
