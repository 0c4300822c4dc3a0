"""Contracts: test classes that whoever adds a part to hwnas inherits, so that hwnas can rely on it.

    from hwnas.testing import RuntimeContract

    class TestMine(RuntimeContract):
        @pytest.fixture
        def runtime(self):
            return MyRuntime()

:class:`RuntimeContract` is for runtimes, :class:`FormatContract` for formats of model files, :class:`StrategyContract`
for search strategies. All need pytest, which hwnas itself doesn't bring; each is imported when first used, since only
some need torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING

_HOME = {
    "FormatContract": "hwnas.testing.format",
    "RuntimeContract": "hwnas.testing.runtime",
    "StrategyContract": "hwnas.testing.strategy",
}

__all__ = ["FormatContract", "RuntimeContract", "StrategyContract"]

if TYPE_CHECKING:
    from hwnas.testing.format import FormatContract as FormatContract
    from hwnas.testing.runtime import RuntimeContract as RuntimeContract
    from hwnas.testing.strategy import StrategyContract as StrategyContract


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'hwnas.testing' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
