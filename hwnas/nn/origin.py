"""Where a network comes from, in plain values that travel with it: from a search to a MODEL folder to an artifact."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

_Milliseconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class OnDevice(_Model):
    """What a search knew of the network's latency on one device.

    Attributes:
        table: name of the latency table's file.
        device: that it was measured on; None where the table isn't at hand any more.
        budget_ms: that the search kept to.
        predicted_ms: by the table.
        low_ms, high_ms: the interval that holds 90 % of networks.
        measured_ms: after the search, in the table's terms.
    """

    table: str
    device: str | None
    budget_ms: _Milliseconds | None
    predicted_ms: _Milliseconds
    low_ms: _Milliseconds | None
    high_ms: _Milliseconds | None
    measured_ms: _Milliseconds | None


class Searched(_Model):
    """The search that found a network.

    Attributes:
        strategy: its name.
        evaluations: archs that it evaluated.
        seed: of everything random in it.
        devices: in the order of its tables.
    """

    strategy: str
    evaluations: Annotated[int, Field(ge=0)]
    seed: Annotated[int, Field(ge=0)]
    devices: tuple[OnDevice, ...]
