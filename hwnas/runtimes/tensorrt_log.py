"""What TensorRT says: one logger for the process, which remembers errors and prints nothing."""

from __future__ import annotations

from functools import cache
from typing import Any

from hwnas.errors import first_line


@cache
def logger(trt: Any) -> Any:
    """The one of the process, as TensorRT keeps the first it is given; ``errors`` and ``last()`` tell what it heard."""

    class Log(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if severity <= trt.ILogger.ERROR:
                self.errors.append(message)

        def last(self) -> str:
            return first_line(Exception(self.errors[-1])) if self.errors else "no reason given"

    return Log()
