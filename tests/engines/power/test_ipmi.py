import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eagent.engines.power.adapter import Clock, PowerState
from eagent.engines.power.child import Finished
from eagent.engines.power.ipmi import Bmc, IpmiAdapter, read_power_w, read_state, why_no_secret
from eagent.errors import RefusedError, UnavailableError

SESSION = "Error: Unable to establish IPMI v2 / RMCP+ session\n"
SILENT = Finished(1, "", f"Get Auth Capabilities error\n{SESSION}")
WRONG_PASSWORD = Finished(1, "", f"> RAKP 2 HMAC is invalid\n{SESSION}")
SOFT_REFUSED = Finished(1, "", "Set Chassis Power Control to Soft failed: Invalid data field in request\n")
READING = """
    Instantaneous power reading:                   312 Watts
    Minimum during sampling period:                  5 Watts
    Maximum during sampling period:                700 Watts
    Average power reading over sample period:      312 Watts
    IPMI timestamp:               11/22/26 06:27:55 UTC    Sampling period:           00000001 Seconds.
    Power reading state is:                   activated


"""


class Tool:
    """ipmitool with a host behind it that obeys, unless an answer was laid down; and a clock that time-lapses."""

    def __init__(self, password_file: Path, **options: object) -> None:
        self.now_s = 0.0
        self.on = True
        self.soft_takes_s: float | None = 10.0  # None: never
        self.goes_off_at_s: float | None = None
        self.laid_down: list[Finished] = []
        self.argvs: list[list[str]] = []
        self.bmc = replace(Bmc("10.1.0.11", "eagent", password_file), **options)  # type: ignore[arg-type]

    @property
    def adapter(self) -> IpmiAdapter:
        return IpmiAdapter({"n1": self.bmc}, run=self.run, clock=Clock(lambda: round(self.now_s * 1e9), self.sleep))

    @property
    def said(self) -> list[str]:
        """The last word of each command."""
        return [argv[-1] for argv in self.argvs]

    async def sleep(self, seconds: float) -> None:
        self.now_s += seconds

    async def run(self, argv: Sequence[str], timeout_s: float) -> Finished:
        assert timeout_s == self.bmc.timeout_s
        self.argvs.append(list(argv))
        if self.laid_down:
            return self.laid_down.pop(0)
        if self.goes_off_at_s is not None and self.now_s >= self.goes_off_at_s:
            self.on = False
        match argv[-1]:
            case "status":
                return Finished(0, f"Chassis Power is {'on' if self.on else 'off'}\n", "Discovered IPMB address 0x0\n")
            case "soft":
                self.goes_off_at_s = None if self.soft_takes_s is None else self.now_s + self.soft_takes_s
            case "off" | "on":
                self.on = argv[-1] == "on"
        return Finished(0, "", "")


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "password"
    path.touch(0o600)
    path.write_text("hush\n")
    return path


def test_a_host_that_shuts_down_in_order_keeps_its_power_until_then(secret: Path) -> None:
    tool = Tool(secret)
    asyncio.run(tool.adapter.off("n1"))
    assert (tool.on, tool.said) == (False, ["status", "soft", "status", "status", "status"])


def test_a_host_that_does_not_shut_down_loses_its_power_after_the_grace_and_not_before(secret: Path) -> None:
    tool = Tool(secret, grace_s=60.0)
    tool.soft_takes_s = None
    asyncio.run(tool.adapter.off("n1"))
    assert (tool.on, tool.said[-1], tool.said.count("off"), tool.now_s) == (False, "off", 1, 60.0)


def test_without_force_the_power_is_never_taken(secret: Path) -> None:
    tool = Tool(secret, force=False)
    tool.soft_takes_s = None
    with pytest.raises(RefusedError, match="not off 120 s after it was asked to shut down, and force = false"):
        asyncio.run(tool.adapter.off("n1"))
    assert tool.on
    assert "off" not in tool.said


def test_a_bmc_that_will_not_ask_the_host_gives_it_the_grace_all_the_same(secret: Path) -> None:
    tool = Tool(secret)
    on = Finished(0, "Chassis Power is on", "")
    tool.laid_down = [on, SOFT_REFUSED]
    asyncio.run(tool.adapter.off("n1"))
    assert (tool.on, tool.now_s, tool.said[-1]) == (False, 120.0, "off")


def test_a_host_that_is_off_is_left_alone(secret: Path) -> None:
    tool = Tool(secret)
    tool.on = False
    asyncio.run(tool.adapter.off("n1"))
    assert tool.said == ["status"]


def test_a_silent_bmc_is_asked_again_with_growing_pauses_and_then_given_up(secret: Path) -> None:
    tool = Tool(secret)
    tool.laid_down = [SILENT] * 3
    with pytest.raises(UnavailableError, match=r"does not answer after 3 attempts: Get Auth Capabilities error"):
        asyncio.run(tool.adapter.state("n1"))
    assert (len(tool.argvs), tool.now_s) == (3, 2.0 + 4.0)


def test_a_bmc_that_answers_the_second_time_has_answered(secret: Path) -> None:
    tool = Tool(secret)
    tool.laid_down = [SILENT]
    assert asyncio.run(tool.adapter.state("n1")) is PowerState.ON


def test_a_bmc_that_falls_silent_while_the_host_shuts_down_is_waited_for(secret: Path) -> None:
    tool = Tool(secret, attempts=1)
    asyncio.run(tool.adapter.state("n1"))
    tool.laid_down = [Finished(0, "Chassis Power is on", ""), Finished(0, "", ""), SILENT, SILENT]
    tool.goes_off_at_s = 10.0
    asyncio.run(tool.adapter.off("n1"))
    assert not tool.on
    assert "off" not in tool.said


@pytest.mark.parametrize(
    ("errors", "meaning"),
    [
        ("> RAKP 2 HMAC is invalid", "the password is wrong"),
        ("RAKP 2 message indicates an error : unauthorized name", "it does not know the user"),
        ("Authentication algorithm 0x01 is not what we requested 0x03", "try cipher_suite = 3"),
        ("Set Chassis Power Control to Up/On failed: Insufficient privilege level", "privilege does not suffice"),
    ],
)
def test_who_is_not_let_in_asks_once_so_that_no_account_is_locked(secret: Path, errors: str, meaning: str) -> None:
    tool = Tool(secret)
    tool.laid_down = [Finished(1, "", f"{errors}\n{SESSION}")]
    with pytest.raises(RefusedError, match=meaning):
        asyncio.run(tool.adapter.on("n1"))
    assert len(tool.argvs) == 1


def test_what_ipmitool_asked_of_its_own_accord_is_not_taken_for_the_answer(secret: Path) -> None:
    noise = "Invalid completion code received: Insufficient privilege level\n"
    tool = Tool(secret, grace_s=1.0)
    tool.laid_down = [
        Finished(0, "Chassis Power is on", noise),
        replace(SOFT_REFUSED, errors=noise + SOFT_REFUSED.errors),
    ]
    asyncio.run(tool.adapter.off("n1"))
    assert tool.said[-1] == "off"


def test_a_bmc_that_is_busy_is_asked_again(secret: Path) -> None:
    tool = Tool(secret)
    tool.laid_down = [Finished(1, "", "Set Chassis Power Control to Up/On failed: Node busy\n")]
    asyncio.run(tool.adapter.on("n1"))
    assert tool.said == ["on", "on"]


def test_being_kept_out_while_waiting_for_the_shutdown_never_takes_the_power(secret: Path) -> None:
    tool = Tool(secret)
    tool.laid_down = [Finished(0, "Chassis Power is on", ""), Finished(0, "", ""), WRONG_PASSWORD]
    with pytest.raises(RefusedError, match="the password is wrong"):
        asyncio.run(tool.adapter.off("n1"))
    assert tool.on


def test_the_password_is_on_no_command_line_and_in_no_error(secret: Path) -> None:
    tool = Tool(secret, cipher_suite=17)
    tool.laid_down = [WRONG_PASSWORD]
    with pytest.raises(RefusedError) as refusal:
        asyncio.run(tool.adapter.state("n1"))
    argv = tool.argvs[0]
    assert "hush" not in f"{refusal.value} {argv}"
    assert argv[argv.index("-f") + 1] == str(secret)
    assert argv[argv.index("-C") + 1] == "17"
    assert not {"-P", "-E", "-a"} & set(argv)


def test_a_password_that_others_may_read_by_now_is_not_used(secret: Path) -> None:
    tool = Tool(secret)
    secret.chmod(0o640)
    with pytest.raises(RefusedError, match=r"others than its owner may use it \(mode 0640\): chmod 600"):
        asyncio.run(tool.adapter.state("n1"))
    assert tool.argvs == []


@pytest.mark.parametrize(
    ("text", "why"), [("", "holds 0 bytes"), ("x" * 22, "must be one line of 1 to 20 bytes"), ("x" * 20 + "\n", None)]
)
def test_what_ipmi_takes_for_a_password(secret: Path, text: str, why: str | None) -> None:
    secret.write_text(text)
    told = why_no_secret(secret)
    assert told is None if why is None else told is not None and why in told


def test_a_password_file_that_is_none(tmp_path: Path) -> None:
    assert why_no_secret(tmp_path / "x") == f"{tmp_path / 'x'}: No such file or directory"
    assert why_no_secret(tmp_path) == f"{tmp_path}: not a file"


def test_the_longest_that_switching_off_may_take_is_known_before() -> None:
    adapter = IpmiAdapter({"n1": Bmc("a", "u", Path("/p"), timeout_s=10, attempts=3, backoff_s=1, grace_s=60)})
    assert adapter.off_s == 6 * (3 * 10 + 1 + 2) + 60


def test_watts_and_what_is_no_reading(secret: Path) -> None:
    assert read_power_w(READING) == 312.0
    assert read_power_w(READING.replace("312 Watts", "0 Watts")) is None
    assert read_power_w(READING.replace("activated", "deactivated")) is None
    assert read_power_w(READING + READING) is None
    tool = Tool(secret)
    tool.laid_down = [Finished(1, "", "    DCMI request failed because: Invalid command (c1)\n")]
    assert asyncio.run(tool.adapter.power_w("n1")) is None


@given(st.text(max_size=80) | st.sampled_from(["Chassis Power is on", "Chassis Power is off\n", "chassis power is on"]))
def test_only_the_exact_words_are_a_state(text: str) -> None:
    words = {"Chassis Power is on": PowerState.ON, "Chassis Power is off": PowerState.OFF}
    assert read_state(text) is words.get(text.strip())


@given(st.integers(0, 99_999), st.sampled_from(["", "\n", " noise 5 Watts\n"]))
def test_a_reading_is_found_or_missing_and_never_another_number(watts: int, noise: str) -> None:
    told = f"{noise}  Instantaneous power reading:   {watts} Watts\n  Power reading state is:   activated\n{noise}"
    assert read_power_w(told) == (watts or None)


@given(st.text(max_size=300))
def test_any_text_is_watts_above_zero_or_missing(text: str) -> None:
    watts = read_power_w(text)
    assert watts is None or watts > 0
