import pytest
from hypothesis import given
from hypothesis import strategies as st

from eagent.engines.power.adapter import is_address, is_host_name


@pytest.mark.parametrize("name", ["n1", "n1.rack-3.site.example", "10.0.0.1", "A" * 63])
def test_names_of_hosts(name: str) -> None:
    assert is_host_name(name)


@pytest.mark.parametrize(
    "name", ["", "-n1", "n1-", "a..b", ".", "a/b", "a b", "n1\n", "n1;id", "$(id)", "ü", "A" * 64, "a." * 127, "{host}"]
)
def test_what_is_no_name_of_a_host(name: str) -> None:
    assert not is_host_name(name)


@given(st.text(max_size=300))
def test_a_name_is_never_an_option_a_path_or_several_words(text: str) -> None:
    if is_host_name(text):
        assert text.isascii()
        assert not text.startswith("-")
        assert not set(text) & set("/\\ \n\t$;&|<>'\"`*?{}()=\0")


@pytest.mark.parametrize(
    ("address", "right"),
    [("fe80::1", True), ("::1%eth0 -x", False), ("52:54:00:12:34:56", True), ("10.1.0.11", True), ("-H", False)],
)
def test_addresses(address: str, right: bool) -> None:
    assert is_address(address) is right
