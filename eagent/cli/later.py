"""Modules of Python that others load and eagent hardly ever uses: they come at their first use, not with those others.

A daemon keeps what it has loaded while it runs. `dataclasses` loads `inspect`, and with it parts of a compiler,
for what up to Python 3.11 it does only to classes without a docstring; `pathlib` loads `ipaddress` for addresses in
URLs. That is 1 MB of the privileged process. `importlib.util.LazyLoader` would not do: to it an `import` is a use.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any


class _StandIn(ModuleType):
    """Stands in a module's place until something of it is asked for."""

    def __getattr__(self, name: str) -> Any:
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        real = importlib.import_module(self.__name__)
        self.__dict__.update(vars(real))
        return getattr(real, name)


def put_off(*names: str) -> None:
    """Load none of these before something of it is asked for; those that are loaded stay so."""
    for name in names:
        sys.modules.setdefault(name, _StandIn(name))
