"""Descriptions of hosts as TOML files: what they say, what is refused, and that writing one loses nothing."""

from __future__ import annotations

import contextlib
import inspect
import shutil
import tomllib
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eagent.errors import InputError
from eagent.sim import faults, model, processor, supply
from eagent.sim.description import fault, file, load, mig, setting
from eagent.sim.description.description import HOST, SUPPLY, Description
from eagent.sim.description.fault import Fault
from eagent.sim.description.load import Load, Requests
from eagent.sim.description.mig import Mig
from eagent.sim.description.parts import CPU, GPU, Cpus, Gpus
from eagent.sim.description.setting import Setting
from eagent.sim.workload import Gang, Serving, Square

SHIPPED = Path(__file__).parents[3] / "config" / "sim-host.toml"
HERE = Path("/nowhere")


def parse(text: str) -> Description:
    return file.parse(text, "lab.toml", HERE)


def uncommented() -> dict[str, Any]:
    """The shipped file with every key switched on."""
    lines = SHIPPED.read_text().splitlines()
    return tomllib.loads(
        "\n".join(line.removeprefix("# ") if line[2:].split(" = ")[0].isidentifier() else line for line in lines)
    )


# ---- what it says ----------------------------------------------------------------------------------------------------


def test_an_empty_file_is_a_host_of_eight_a100() -> None:
    described = parse("")
    assert described == Description()
    assert (described.gpu.count, described.plant()["model"]) == (8, model.load("a100-sxm4-80gb"))


def test_numbers_of_a_model_can_be_other_than_its_own() -> None:
    told = parse("[gpu]\ncount = 4\n[gpu.override.power]\nbase_w = 70\n[cpu.override.topology]\ncores = 8").plant()
    a100 = model.load("a100-sxm4-80gb")
    assert told["gpus"] == 4
    assert told["model"] == {**a100, "power": {**a100["power"], "base_w": 70}}
    assert told["cpu"]["topology"]["cores"] == 8


def test_the_inlets_temperature_is_the_models_unless_it_is_said() -> None:
    assert parse("").plant()["supply"]["inlet_c"] == model.load("a100-sxm4-80gb")["heat"]["inlet_c"]
    assert parse("[supply]\ninlet_c = 31.5").plant()["supply"]["inlet_c"] == 31.5


def test_what_boots_draw_follows_from_the_parts_unless_it_is_said() -> None:
    assert parse("[gpu]\ncount = 1").plant()["supply"]["boot_w"] < parse("").plant()["supply"]["boot_w"]
    assert parse("[supply]\nboot_w = 700").plant()["supply"]["boot_w"] == 700


def test_a_model_of_ones_own_is_read_from_beside_the_description(tmp_path: Path) -> None:
    text = (model.MODELS / "a100-sxm4-80gb.toml").read_text().replace("max_w = 400.0", "max_w = 500.0")
    (tmp_path / "mine.toml").write_text(text)
    shutil.copy(processor.MODELS / "epyc-7543.toml", tmp_path / "cpu.toml")
    (tmp_path / "lab.toml").write_text('[gpu]\nmodel = "mine.toml"\n[cpu]\nmodel = "./cpu.toml"')
    described = file.read(str(tmp_path / "lab.toml"))
    assert described.plant()["model"]["limits"]["max_w"] == 500.0
    assert described.plant()["cpu"] == processor.load("epyc-7543")
    shutil.rmtree(tmp_path)  # what is written does not need the files
    assert parse(file.write(described)) == described


def test_loads_and_settings_stand_in_the_order_of_the_file() -> None:
    described = parse(
        '[[load]]\nkind = "square"\ngpus = [2, 3]\nduty = 0.25\nat_s = 5\n'
        '[[set]]\npower_limit_w = 250\n[[load]]\nkind = "serving"\ngpus = "0-1"\ntrace = "a.csv"\nbatch_max = 8\n'
        '[[set]]\ngpus = "7"\nlock_mhz = [210, 900]\npersistence = false'
    )
    assert described.loads == (
        Load(Square(duty=0.25), (2, 3), 5),
        Load(Serving(batch_max=8), (0, 1), requests=Requests(HERE / "a.csv")),
    )
    assert described.settings == (Setting(power_limit_w=250), Setting((7,), lock_mhz=(210, 900), persistence=False))


# ---- the file that ships ---------------------------------------------------------------------------------------------


def test_the_shipped_file_describes_a_host() -> None:
    described = file.read(str(SHIPPED))
    assert [each.kind for each in described.loads] == ["gang", "serving", "square"]


def test_the_shipped_file_has_every_key_and_no_other() -> None:
    document = uncommented()
    loads = {table["kind"]: set(table) for table in document.pop("load")}
    (set_at_once,) = document.pop("set")
    (divided,) = document.pop("mig")
    assert set(divided) == set(mig.KEYS)
    wrong = {table["kind"]: set(table) for table in document.pop("fault")}
    assert {name: set(table) for name, table in document.items()} == {
        "host": set(HOST),
        "gpu": {*GPU, "override"},
        "cpu": {*CPU, "override"},
        "supply": set(SUPPLY),
    }
    assert set(set_at_once) == set(setting.KEYS)
    own = {kind: {*load.PLACE, *keys} for kind, keys in load.KEYS.items()}
    assert loads == {**own, "serving": {*own["serving"], *load.REQUESTS}}
    assert set().union(*wrong.values()) >= set(fault.KEYS)
    assert all(keys <= {*fault.KEYS, *fault.VALUES[kind]} for kind, keys in wrong.items())
    assert all(keys >= set(fault.VALUES[kind]) for kind, keys in wrong.items())
    assert {*document, "set", "mig", "load", "fault"} == set(file.SECTIONS)


def test_the_shipped_file_states_the_real_defaults() -> None:
    document = uncommented()
    told = Description()
    assert {key: document["host"][key] for key in ("seed", "permission", "clock")} == {
        key: getattr(told, key) for key in ("seed", "permission", "clock")
    }
    assert (document["gpu"]["count"], document["gpu"]["model"]) == (told.gpu.count, told.gpu.model)
    assert document["cpu"]["model"] == told.cpu.model
    supplied = {**document["supply"], "boot_s": supply.BOOT_S}  # a real one is too long for a first try
    assert supplied == {key: told.plant()["supply"][key] for key in supplied}
    for table in document["load"]:
        work = asdict(load.WORKS[table["kind"]]())
        assert {key: table[key] for key in work} == work


def test_the_keys_of_the_supply_are_those_of_the_supply() -> None:
    parameters = inspect.signature(supply.supply).parameters.values()
    assert {each.name for each in parameters if each.kind is each.KEYWORD_ONLY} == set(SUPPLY)


# ---- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[hots]", "lab.toml: unknown section [hots] (did you mean 'host'?)"),
        ("host = 3", "lab.toml: host: must be a section, [host]"),
        ("[host]\nnam = 'x'", "lab.toml: [host] unknown key 'nam' (did you mean 'name'?)"),
        ("[host]\nname = 'a b'", "lab.toml: [host] name = 'a b': must be up to 64 letters"),
        ("[host]\nname = 3", "lab.toml: [host] name = 3: must be a text"),
        ("[host]\nseed = 1.5", "lab.toml: [host] seed = 1.5: must be a whole number"),
        ("[host]\nclock = 'sand'", "lab.toml: [host] clock = 'sand': must be one of wall, virtual"),
        ("[supply]\ninlet_c = 95", "lab.toml: [supply] inlet_c = 95: must be a number from -40 to 49"),
        ("[gpu]\ncount = 17", "lab.toml: [gpu] count = 17: must be a whole number from 1 to 16"),
        ("[gpu]\ncount = true", "lab.toml: [gpu] count = True: must be a whole number"),
        ("[gpu]\nmodel = 'a100'", "lab.toml: [gpu] no GPU model 'a100'"),
        ("[gpu]\nmodel = 3", "lab.toml: [gpu] model = 3: must be a text"),
        ("[gpu]\nmodel = 'my.toml'", "lab.toml: [gpu] /nowhere/my.toml: No such file"),
        ("[gpu.model.power]\nbase_w = 3", "lab.toml: [gpu.model]: section 'identity' is missing"),
        ("[gpu]\noverride = 3", "lab.toml: [gpu] override = 3: must be sections, such as [gpu.override.power]"),
        ("[gpu.override]\npower = 3", "lab.toml: [gpu.override]: power must be a section"),
        ("[gpu.override.powr]\nx = 1", "lab.toml: [gpu.override]: unknown section 'powr' (did you mean 'power'?)"),
        ("[gpu.override.power]\nbase = 1", "lab.toml: [gpu.override]: [power]: unknown key 'base'"),
        ("[gpu.override.power]\nbase_w = -1", "lab.toml: [gpu.override]: power.base_w must be a number from 0"),
        ("[gpu.override.limits]\nmin_w = 500", "lab.toml: [gpu.override]: [limits] must have min_w <= default_w"),
        ("[cpu]\nmodel = 'z80'", "lab.toml: [cpu] no processor model 'z80'"),
        ("[cpu]\npowercap = 'x'", "lab.toml: [cpu] powercap = 'x': must be one of intel-rapl"),
        ("[cpu.override.clocks]\nmin_khz = 20000000", "lab.toml: [cpu.override]: [clocks] must have min_khz below"),
        ("[supply]\nboot_s = nan", "lab.toml: [supply] boot_s = nan: must be a number from 0"),
        ("[supply]\nfans_w = 3", "lab.toml: [supply] unknown key 'fans_w' (did you mean 'fan_w'?)"),
        ("[set]\ngpus = '0'", "lab.toml: set: must be a list of sections, each of which begins with [[set]]"),
        ("[[set]]\ngpus = '0'", "lab.toml: [[set]] 1: sets nothing"),
        ("[[set]]\npower_limit_w = 600", "lab.toml: [[set]] 1: power_limit_w = 600: the GPUs take 100 to 400"),
        ("[[set]]\nlock_mhz = [100, 900]", "lab.toml: [[set]] 1: lock_mhz = [100, 900]: the GPUs take 210 to 1410"),
        ("[[set]]\nlock_mhz = [900, 210]", "lab.toml: [[set]] 1: lock_mhz = [900, 210]: must be a range"),
        ("[[set]]\nlock_mhz = 900", "lab.toml: [[set]] 1: lock_mhz = 900: must be a list of 2"),
        ("[[set]]\npersistence = 1", "lab.toml: [[set]] 1: persistence = 1: must be true or false"),
        ("[[set]]\ngpus = '8'\npersistence = true", "lab.toml: [[set]] 1: no gpu 8: the host has 8, from 0 to 7"),
        ("[[set]] \ngpu = '8'", "lab.toml: [[set]] 1: unknown key 'gpu' (did you mean 'gpus'?)"),
        ("[[mig]]\ninstances = 2\nslices = 3", "lab.toml: [[mig]] 1: memory_b is missing"),
        ("[[mig]]\ninstances = 8\nslices = 1\nmemory_b = 1", "lab.toml: [[mig]] 1: instances = 8: must be a whole"),
        ("[[mig]]\ninstances = 3\nslices = 3\nmemory_b = 1", "lab.toml: [[mig]] 1: 3 instances of 3 slices: a GPU"),
        (
            "[[mig]]\ninstances = 2\nslices = 3\nmemory_b = 50000000000",
            "lab.toml: [[mig]] 1: memory_b = 50000000000: 2",
        ),
        (
            "[[mig]]\ngpus = '1'\ninstances = 2\nslices = 3\nmemory_b = 1\n"
            "[[mig]]\ninstances = 1\nslices = 1\nmemory_b = 1",
            "lab.toml: [[mig]] 2: gpu 1 is divided by [[mig]] 1 already",
        ),
        ("[[load]]\ngpus = '0'", "lab.toml: [[load]] 1: kind is missing: one of square, gang, serving"),
        ("[[load]]\nkind = 'squar'", "lab.toml: [[load]] 1: kind = 'squar': must be one of square, gang, serving"),
        ("[[load]]\nkind = 'square'\nstep_s = 1", "lab.toml: [[load]] 1: unknown key 'step_s'"),
        ("[[load]]\nkind = 'square'\nduty = 2", "lab.toml: [[load]] 1: duty = 2: must be a number from 0 to 1"),
        ("[[load]]\nkind = 'square'\nduty = []", "lab.toml: [[load]] 1: duty = []: must be a number from 0 to 1"),
        ("[[load]]\nkind = 'square'\nat_s = -1", "lab.toml: [[load]] 1: at_s = -1: must be a number from 0"),
        ("[[load]]\nkind = 'gang'\ngpus = '9'", "lab.toml: [[load]] 1: no gpu 9: the host has 8"),
        ("[[load]]\nkind = 'gang'\ngpus = '3-1'", "lab.toml: [[load]] 1: '3-1' is not a list of gpus"),
        ("[[load]]\nkind = 'gang'\ngpus = []", "lab.toml: [[load]] 1: gpus = (): must be a list in order"),
        ("[[load]]\nkind = 'gang'\ngpus = [1, 1]", "lab.toml: [[load]] 1: gpus = (1, 1): must be a list in order"),
        ("[[load]]\nkind = 'gang'\ngpus = 1", "lab.toml: [[load]] 1: gpus = 1: must be a list in order"),
        ("[[load]]\nkind = 'serving'\nrate_per_s = 0", "lab.toml: [[load]] 1: rate_per_s = 0: must be a number"),
        ("[[load]]\nkind = 'serving'\ntrace = 3", "lab.toml: [[load]] 1: trace = 3: must be a text"),
        (
            "[[load]]\nkind = 'serving'\ntrace = 'x'\nfor_s = 3",
            "lab.toml: [[load]] 1: for_s is of generated requests: it does not go with trace",
        ),
        (
            "[[load]]\nkind = 'gang'\ngpus = '0-3'\n[[load]]\nkind = 'square'\ngpus = '3-4'",
            "lab.toml: [[load]] 2: gpu 3 has the work of [[load]] 1 already",
        ),
        ("[[fault]]\ngpus = '0'", "lab.toml: [[fault]] 1: kind is missing, such as not-supported"),
        ("[[fault]]\nkind = 'gpulost'", "lab.toml: [[fault]] 1: kind = 'gpulost': must be one of not-supported"),
        ("[[fault]]\nkind = 'missing-symbols'", "lab.toml: [[fault]] 1: kind = 'missing-symbols': must be one of"),
        ("[[fault]]\nkind = 'gpu-lost'\nshare = 1", "lab.toml: [[fault]] 1: unknown key 'share'"),
        ("[[fault]]\nkind = 'gpu-lost'\ngpus = '8'", "lab.toml: [[fault]] 1: gpus: the host has 8, from 0 to 7"),
        ("[[fault]]\nkind = 'gpu-lost'\ncpus = '0'", "lab.toml: [[fault]] 1: cpus: gpu-lost is of gpus"),
        ("[[fault]]\nkind = 'driver-reload'\ngpus = '0'", "lab.toml: [[fault]] 1: gpus: driver-reload is of the whole"),
        ("[[fault]]\nkind = 'sysfs-read'\ncpus = '64'", "lab.toml: [[fault]] 1: cpus: the host has 64, from 0 to 63"),
        ("[[fault]]\nkind = 'rapl-wrap'\npackages = '2'", "lab.toml: [[fault]] 1: packages: the host has 2, from 0"),
        ("[[fault]]\nkind = 'gpu-lost'\nevery_s = 3", "lab.toml: [[fault]] 1: every_s: gpu-lost lasts"),
        ("[[fault]]\nkind = 'xid'\nfor_s = 3", "lab.toml: [[fault]] 1: for_s: xid strikes once"),
        ("[[fault]]\nkind = 'xid'\nat_s = -3", "lab.toml: [[fault]] 1: at_s = -3: must be a number from 0"),
        (
            "[[fault]]\nkind = 'foreign-limit'",
            "lab.toml: [[fault]] 1: power_limit_w is missing: foreign-limit needs it",
        ),
        ("[[fault]]\nkind = 'zero-power'\nshare = 2", "lab.toml: [[fault]] 1: share = 2: must be a number from 1e-06"),
        ("[[fault]]\nkind = 'sysfs-read'\nerror = 'E'", "lab.toml: [[fault]] 1: error = 'E': must be one of EIO"),
        (
            "[[fault]]\nkind = 'stuck-power'\nstuck = 'x'",
            "lab.toml: [[fault]] 1: stuck = 'x': must be a list of some of",
        ),
        (
            "[[fault]]\nkind = 'stuck-power'\nstuck = [1]",
            "lab.toml: [[fault]] 1: stuck = [1]: must be a list of some of",
        ),
        ("[[fault]]\nkind = 'stuck-power'\nstuck = []", "lab.toml: [[fault]] 1: stuck = []: must be a list of some of"),
        ("[host", "lab.toml: not TOML: "),
        (f"x = {'[' * 100_000}", "lab.toml: not TOML: "),
        (f"x = {'9' * 5000}", "lab.toml: not TOML: "),
        ("[[load]]\nkind = 'gang'\n" * 65, "lab.toml: [[load]]: 65 of them; at most 64"),
    ],
)
def test_a_mistake_is_one_line_that_says_where_and_what_would_be_right(text: str, complaint: str) -> None:
    with pytest.raises(InputError) as caught:
        parse(text)
    assert str(caught.value).startswith(complaint)
    assert "\n" not in str(caught.value)


def test_a_mistake_in_a_model_of_ones_own_names_its_file(tmp_path: Path) -> None:
    text = (model.MODELS / "a100-sxm4-80gb.toml").read_text().replace("base_w = 60.0", "base_w = -60.0")
    (tmp_path / "mine.toml").write_text(text)
    with pytest.raises(InputError, match=rf"x: \[gpu\] {tmp_path}/mine.toml: power.base_w must be a number"):
        file.parse('[gpu]\nmodel = "mine.toml"', "x", tmp_path)


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_a_file_that_cannot_be_read_is_one_line(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "lab.toml").write_bytes(content)
    with pytest.raises(InputError, match=r"lab\.toml: (No such file|not a text in UTF-8)"):
        file.read(str(tmp_path / "lab.toml"))


@given(st.text(max_size=200))
def test_any_text_is_a_description_or_an_error_of_input(text: str) -> None:
    with contextlib.suppress(InputError):
        assert isinstance(parse(text), Description)


# ---- there and back --------------------------------------------------------------------------------------------------

SHARES = st.floats(0, 1)
WATTS = st.floats(0, 1e6) | st.integers(0, 1_000_000)
COUNT = 8


def overrides() -> st.SearchStrategy[dict[str, dict[str, Any]]]:
    power = st.fixed_dictionaries({}, optional={"base_w": st.floats(0, 10_000), "memory_w": st.integers(0, 10_000)})
    sensor = st.fixed_dictionaries({}, optional={"gain": st.just([0.9, 1.1]), "plain": st.just("instant")})
    name = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=15)
    identity = st.fixed_dictionaries({"name": name})
    return st.fixed_dictionaries(
        {}, optional={"power": power.filter(bool), "sensor": sensor.filter(bool), "identity": identity}
    )


def works() -> st.SearchStrategy[Any]:
    square = st.builds(Square, period_s=st.floats(1e-3, 1e6), duty=SHARES, compute=SHARES, memory=SHARES)
    gang = st.builds(Gang, step_s=st.floats(1e-3, 1e4), imbalance=st.floats(0, 0.5), host_s=st.floats(0, 1e4))
    return square | gang | st.builds(Serving, decode_s=st.floats(0, 10), batch_max=st.integers(1, 128))


@st.composite
def loads(draw: st.DrawFn) -> tuple[Load, ...]:
    """Loads of which no two have a GPU in common."""
    left = draw(st.permutations(range(COUNT)))
    out = []
    while left and draw(st.booleans()):
        taken = draw(st.integers(1, len(left)))
        work = draw(works())
        generated = st.builds(
            Requests,
            for_s=st.none() | st.floats(1, 1e6),
            rate_per_s=st.none() | st.floats(1, 1e3),
            seed=st.integers(0, 2**63 - 1),
        )
        path = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=9)
        traced = st.builds(Requests, trace=path.map(lambda name: Path("/traces") / name.replace("/", "_")))
        requests = draw(st.one_of(traced, generated)) if isinstance(work, Serving) else Requests()
        out.append(Load(work, tuple(sorted(left[:taken])), draw(st.floats(0, 1e6)), requests))
        left = left[taken:]
    return tuple(out)


def some_settings() -> st.SearchStrategy[Setting]:
    gpus = st.none() | st.sets(st.integers(0, COUNT - 1), min_size=1).map(lambda some: tuple(sorted(some)))
    lock = st.none() | st.tuples(st.integers(210, 800), st.integers(800, 1410))
    limit = st.floats(100, 400)
    return st.builds(Setting, gpus, limit, lock, st.none() | st.booleans())


def some_faults() -> st.SearchStrategy[Fault]:
    gpus = st.none() | st.sets(st.integers(0, COUNT - 1), min_size=1).map(lambda some: tuple(sorted(some)))
    when, lasts = st.floats(0, 1e6), st.none() | st.floats(1, 1e6)
    lost = st.builds(Fault, st.just("gpu-lost"), gpus, at_s=when, for_s=lasts)
    words = st.lists(st.sampled_from(sorted(faults.STUCK)), min_size=1, unique=True)
    stuck = st.fixed_dictionaries({}, optional={"stuck": words, "power_w": st.floats(0, 900)})
    lock = st.fixed_dictionaries({"lock_mhz": st.just([210, 900])})
    return (
        lost
        | st.builds(Fault, st.just("stuck-power"), gpus, at_s=when, values=stuck)
        | st.builds(Fault, st.just("foreign-lock"), gpus, every_s=st.floats(1, 100), for_s=lasts, values=lock)
        | st.builds(Fault, st.just("sysfs-read"), cpus=st.just((0, 7)), packages=st.none() | st.just((0,)))
    )


@settings(deadline=None)
@given(
    st.builds(
        Description,
        name=st.none() | st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z"),
        seed=st.integers(0, 2**64 - 1),
        permission=st.sampled_from(["anyone", "root", "nobody"]),
        clock=st.sampled_from(["wall", "virtual"]),
        gpu=st.builds(Gpus, st.just(COUNT), st.just("a100-sxm4-80gb"), overrides()),
        cpu=st.builds(Cpus, st.sampled_from(processor.names()), st.none() | st.sampled_from(processor.POWERCAPS)),
        supply=st.fixed_dictionaries(
            {},
            optional={
                "standby_w": WATTS,
                "boot_w": WATTS,
                "boot_s": st.floats(0, 86_400),
                "inlet_c": st.floats(-40, 49),
            },
        ),
        settings=st.lists(some_settings(), max_size=3).map(tuple),
        migs=st.lists(st.builds(Mig, st.just(2), st.integers(1, 3), st.integers(1, 2**34)), max_size=1).map(tuple),
        loads=loads(),
        faults=st.lists(some_faults(), max_size=3).map(tuple),
    )
)
def test_what_is_written_is_read_back_as_it_was(described: Description) -> None:
    assert parse(file.write(described)) == described
