"""`Device`: on what, and how, latencies were measured. A latency without one means nothing."""

from __future__ import annotations

from collections.abc import Mapping

from hwnas.errors import counted
from hwnas.record import Record, Settings, ShortText, Some

NOT_SAID = "not said"
"""Of a device that another tool's table doesn't tell."""


class Conditions(Settings):
    """How a network is run: what a prediction is for, what a measurement was made under, what two of them must share.

    Attributes:
        runtime, options: what runs it; the options in force, the runtime's own defaults included.
        precision: of the arithmetic, as ``fp32``.
        threads: that one inference uses.
        batch: images per inference.
    """

    runtime: ShortText
    options: Mapping[str, str] = {}
    precision: ShortText = "fp32"
    threads: Some = 1
    batch: Some = 1


class Device(Record):
    """Hardware, operating system, runtime and how it was asked to run, as in `Conditions`.

    Attributes:
        hardware: processor or accelerator, as its maker calls it.
        cores: logical processors that the measuring process could use.
        os: system and machine, as ``Linux x86_64``.
        options: of the runtime, those that it chose by itself included.
        clocks: what is known of frequencies and their governor; ``unknown`` where the system doesn't tell.
    """

    hardware: ShortText
    cores: Some
    os: ShortText
    runtime: ShortText
    runtime_version: ShortText
    options: Mapping[str, str] = {}
    precision: ShortText
    threads: Some
    batch: Some
    clocks: ShortText

    @property
    def conditions(self) -> Conditions:
        """How networks were run on it."""
        return Conditions(**{name: getattr(self, name) for name in Conditions.model_fields})

    def difference(self, other: Device) -> str | None:
        """The first field in which another device isn't this one, None where none is; clocks come and go."""
        names = (name for name in Device.model_fields if name != "clocks")
        return next((name for name in names if getattr(self, name) != getattr(other, name)), None)

    def __str__(self) -> str:
        if self.runtime == NOT_SAID:
            return (
                f"{self.hardware} (runtime and threads not said)" if self.hardware != NOT_SAID else "a device not said"
            )
        threads = counted(self.threads, "thread")
        return (
            f"{self.hardware}, {self.runtime} {self.runtime_version}, {self.precision}, {threads}, batch {self.batch}"
        )
