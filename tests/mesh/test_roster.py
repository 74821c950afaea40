import pytest

from eagent.errors import ConfigError
from eagent.mesh.roster import Peer, parse

KEYS = ["Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID", "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7"]
TOML = f"""
serial = 3

[hosts.n01]
address = "10.1.0.1:7433"
key = '{KEYS[0]}'

[hosts.n02]
address = "n02.example:7433"
key = '{KEYS[1]}'
"""


def test_a_roster_tells_where_each_host_is_and_by_which_key_it_is_known() -> None:
    roster = parse(TOML, "r")
    assert roster.serial == 3
    assert roster.hosts == {"n01": Peer("10.1.0.1:7433", KEYS[0]), "n02": Peer("n02.example:7433", KEYS[1])}


@pytest.mark.parametrize(
    ("old", "new", "wrong"),
    [
        (KEYS[1], KEYS[0], "n01 and n02 have the same key"),
        (KEYS[0], "short", "key: must be a CURVE public key, 40 characters"),
        ("10.1.0.1:7433", "10.1.0.1", "must be HOST:PORT"),
        ("10.1.0.1:7433", "10.1.0.1:99999", "must be HOST:PORT"),
        ("10.1.0.1:7433", "10.1.0.1:" + "9" * 5000, "must be HOST:PORT"),
        ("serial = 3", "serial = 0", "serial = 0: must be a whole number"),
        ("serial = 3", "seriall = 3", "no key 'seriall' is known"),
    ],
)
def test_a_roster_that_can_not_be_used_is_refused_in_one_line(old: str, new: str, wrong: str) -> None:
    assert old in TOML
    with pytest.raises(ConfigError) as caught:
        parse(TOML.replace(old, new), "roster.toml")
    assert wrong in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_empty_roster_is_refused() -> None:
    with pytest.raises(ConfigError, match="hosts: must be from 1"):
        parse("serial = 1", "r")
