"""Modules that are put off, each case in a Python of its own."""

from __future__ import annotations

import subprocess
import sys

import pytest


def told(program: str) -> list[str]:
    done = subprocess.run([sys.executable, "-S", "-c", program], capture_output=True, text=True, check=True)
    return done.stdout.split()


# -S: an environment may load anything at start. What is put off here imports another module, which shows that it ran.
BEGIN = """
import sys, eagent.cli.later as later
assert "colorsys" not in sys.modules and "calendar" not in sys.modules
later.put_off("calendar", "colorsys")
import calendar
assert "locale" not in sys.modules
"""


@pytest.mark.parametrize("use", ["calendar.isleap(2024)", "from calendar import isleap; isleap(2024)"])
def test_a_module_that_is_put_off_comes_at_its_first_use(use: str) -> None:
    assert told(f"{BEGIN}print({use!r} and 'locale' in sys.modules)\n{use}\nprint('locale' in sys.modules)") == [
        "False",
        "True",
    ]


def test_who_had_the_stand_in_and_who_comes_later_see_the_same() -> None:
    after = "first = calendar\nfirst.isleap\nimport calendar\n"
    shown = "print(first is calendar, first.isleap is calendar.isleap, first.__file__ == calendar.__file__)"
    assert told(BEGIN + after + shown) == ["False", "True", "True"]


def test_what_a_module_does_not_have_is_missed_in_its_own_words() -> None:
    assert told(
        BEGIN + "try: calendar.nothing\nexcept AttributeError as problem: print(str(problem).replace(' ', '_'))"
    ) == ["module_'calendar'_has_no_attribute_'nothing'"]


def test_a_module_that_is_loaded_already_stays() -> None:
    program = "import sys, json, eagent.cli.later as later; later.put_off('json'); print(sys.modules['json'] is json)"
    assert told(program) == ["True"]
