"""A member's files: everything that is used was signed by the site, and what is wrong is said in one line."""

import os
from pathlib import Path

import pytest

from eagent.errors import ConfigError, EagentError, RefusedError, UnavailableError
from eagent.mesh import keys, membership, signer
from eagent.mesh.membership import Sources
from eagent.mesh.signer import Signer

pytest.importorskip("cryptography")

TABLE = 'domain = "rack"\nepoch = {epoch}\nbudget_mw = 9\nothers_mw = 1\n[members.n01]\nreserve_mw = 1\ngrant_mw = 8\n'


class Site:
    """A site's files for one host, n01."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.signer: Signer = signer.make(path / "site.key")
        self.pair = keys.make()
        keys.store(self.pair, path / "n01.key")
        (path / "tables").mkdir()
        self.write("roster.toml", self.roster())

    def roster(self, key: str = "") -> str:
        return f'serial = 1\n[hosts.n01]\naddress = "127.0.0.1:7433"\nkey = "{key or self.pair.public}"\n'

    def write(self, name: str, text: str) -> None:
        (self.path / name).write_text(text)
        (self.path / f"{name}.sig").write_bytes(self.signer.sign(text.encode()))

    def sources(self, **changed: str) -> Sources:
        path, site_key = self.path, self.signer.public_key.hex()
        given = {"name": "n01", "site_key": site_key, **changed}
        return Sources(key_file=path / "n01.key", roster_file=path / "roster.toml", tables=path / "tables", **given)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_a_member_has_its_key_and_the_signed_roster(site: Site) -> None:
    member = membership.load(site.sources())
    assert (member.name, member.pair, set(member.roster.hosts)) == ("n01", site.pair, {"n01"})


def test_a_roster_that_was_changed_after_signing_is_refused(site: Site) -> None:
    text = site.path / "roster.toml"
    text.write_text(text.read_text().replace("127.0.0.1", "127.0.0.2"))
    with pytest.raises(RefusedError, match="not signed"):
        membership.load(site.sources())


def test_a_roster_without_this_host_or_with_another_key_is_refused(site: Site) -> None:
    with pytest.raises(ConfigError, match="n02 is not in it"):
        membership.load(site.sources(name="n02"))
    site.write("roster.toml", site.roster(keys.make().public))
    with pytest.raises(ConfigError, match="another key for n01"):
        membership.load(site.sources())


@pytest.mark.parametrize("digits", ["", "00", "zz" * 32, " " + "00" * 32])
def test_a_key_that_is_none_is_refused(site: Site, digits: str) -> None:
    with pytest.raises(ConfigError, match="site_key"):
        membership.load(site.sources(site_key=digits))


def test_a_file_that_is_missing_is_said(site: Site) -> None:
    (site.path / "roster.toml.sig").unlink()
    with pytest.raises(UnavailableError, match=r"roster\.toml\.sig: No such file"):
        membership.load(site.sources())


def test_signed_tables_are_found_and_others_are_said(site: Site) -> None:
    site.write("tables/a.toml", TABLE.format(epoch=1))
    site.write("tables/b.toml", TABLE.format(epoch=2).replace("= 8", "= 9"))  # above the budget
    (site.path / "tables" / "c.toml").write_text(TABLE.format(epoch=3))  # not signed
    found, problems = membership.load_tables(site.path / "tables", site.signer.public_key)
    assert [(each.name, each.number) for each in found] == [("table:rack", 1)]
    assert len(problems) == 2
    assert "above the budget" in problems[0]
    assert "c.toml.sig: No such file" in problems[1]


def test_what_is_no_file_and_a_directory_that_is_gone_are_said_and_not_waited_for(site: Site) -> None:
    os.mkfifo(site.path / "tables" / "a.toml")
    assert membership.load_tables(site.path / "tables", bytes(32)) == ([], [f"{site.path}/tables/a.toml: not a file"])
    assert membership.load_tables(site.path / "gone", bytes(32)) == (
        [],
        [f"{site.path}/gone: No such file or directory"],
    )


def test_a_table_goes_through_gossip_as_it_was_signed(site: Site) -> None:
    site.write("tables/a.toml", TABLE.format(epoch=1))
    member = membership.load(site.sources())
    [found], _ = membership.load_tables(site.path / "tables", member.site_key)
    assert member.read(found).epoch == 1
    with pytest.raises(EagentError):
        membership.Membership("n01", member.pair, member.roster, bytes(32), b"").read(found)
