"""`Arch`: a space and one choice index per choice layer, and how people write one."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hwnas.errors import ArchError, shown
from hwnas.files import no_folder, read_json, validated
from hwnas.record import Record
from hwnas.space.chain import ChainSpace
from hwnas.space.ref import Definition, SpaceRef
from hwnas.space.registry import check_own_code, get_space, made
from hwnas.space.scarlet import released_archs
from hwnas.space.space import Space


class _ArchFile(Record):
    space: str
    choices: tuple[int, ...]
    resolution: int | None = None
    classes: int | None = None
    definition: Definition | None = None


@dataclass(frozen=True, repr=False)
class Arch:
    """One architecture. Prints as ``scarlet-s2:8,6,…``.

    Raises:
        ArchError: the choices aren't an arch of the space.
    """

    space: ChainSpace
    choices: tuple[int, ...]

    def __post_init__(self) -> None:
        if not isinstance(self.space, Space):
            raise ArchError(f"an arch is of a Space, got {shown(self.space)}; get_space makes one of a name")
        self.space.check(self.choices)
        object.__setattr__(self, "choices", tuple(map(int, self.choices)))  # of a list or a row of an array, too

    def __str__(self) -> str:
        return f"{self.space.source}:{','.join(map(str, self.choices))}"

    def __repr__(self) -> str:
        return f"<Arch {self}, {self.space.resolution} px, {self.space.classes} classes>"

    def to_dict(self) -> dict[str, Any]:
        """What ``arch.json`` holds: all that it takes to make the network again, also where a YAML file has gone."""
        return arch_keys(self.space.ref, list(self.choices))

    @staticmethod
    def from_dict(data: Any, where: str, resolution: int | None = None, classes: int | None = None) -> Arch:
        """The arch that ``to_dict`` described, at another size where one is given.

        All but ``space`` and ``choices`` may be absent.

        Raises:
            ArchError: a key is missing or of the wrong type; ``where`` is named.
            SpaceError: the space can't be made.
        """
        if not isinstance(data, dict):
            raise ArchError(f'{where}: expected {{"space": …, "choices": […]}}')
        if isinstance(points := data.get("points"), list):
            raise ArchError(f"{where} is a front of {len(points)} archs; give one of them as {where}:N, N from 0")
        said = validated(_ArchFile, data, where, ArchError)
        size = said.resolution if resolution is None else resolution, said.classes if classes is None else classes
        check_own_code(said.space, said.definition)
        space = made(said.space, said.definition, *size) if said.definition else get_space(said.space, *size)
        return Arch(space, said.choices)


def parse_arch(
    text: str, resolution: int | None = None, classes: int | None = None, *, known: SpaceRef | None = None
) -> Arch:
    """What a person types for an arch.

    A released name, an ``arch.json``, ``front.json:N`` (point N, from 0, of a search's front), the folder of a search
    (its winner) or of an artifact, or ``SPACE:i,j,k,…``.

    Args:
        text: the words.
        resolution: input size in pixels; the space's own when None.
        classes: outputs; the space's own when None.
        known: a space that the text may name though its YAML file isn't here.

    Raises:
        ArchError: not one of the four, or not an arch of its space.
        SpaceError: unknown space.
    """
    released = released_archs()
    if text in released:
        return Arch(get_space("scarlet-s2", resolution, classes), released[text])
    if os.path.isdir(text):  # which also takes names that no file can have
        text = str(_arch_of(Path(text)))
    if text.endswith(".json"):
        return Arch.from_dict(read_json(Path(text), ArchError), text, resolution, classes)
    space_name, colon, choices = text.rpartition(":")
    if not colon and len(Path(text).parts) > 1:
        raise ArchError(no_folder(Path(text), "give that of a search or of an artifact, or an arch.json"))
    if not colon:
        raise ArchError(
            f"no arch {text!r}; give a released name ({', '.join(released)}), an arch.json, front.json:N, a search's "
            "folder, or SPACE:i,j,k,…"
        )
    if space_name.endswith(".json"):
        return Arch.from_dict(_point(Path(space_name), choices), text, resolution, classes)
    try:
        indices = tuple(int(c) for c in choices.split(","))
    except ValueError:
        raise ArchError(f"the choices of {text!r} must be integers separated by commas") from None
    gone = known is not None and known.source == space_name and known.definition and not Path(space_name).exists()
    return Arch(get_space(known if known and gone else space_name, resolution, classes), indices)


def _arch_of(folder: Path) -> Path:
    """The arch.json of a folder that a search (its winner) or an export made."""
    for name in ("winner.json", "arch.json"):
        if (folder / name).exists():
            return folder / name
    if (folder / "search.json").exists():
        raise ArchError(f"the search {folder} found no arch within its budgets; search again with a higher budget")
    if (folder / "settings.json").exists():
        raise ArchError(f"the search {folder} isn't finished; finish it with the same hwnas search … and --resume")
    raise ArchError(f"{folder} holds no arch; give the folder of a finished search or of an artifact, or an arch.json")


def _point(path: Path, index: str) -> dict[str, Any]:
    """Point ``index`` of a front that ``hwnas search`` wrote, as an arch file has it."""
    data = read_json(path, ArchError)
    points = data.get("points") if isinstance(data, dict) else None
    if not isinstance(points, list) or not all(isinstance(point, dict) for point in points):
        raise ArchError(f"{path} has no points; give the front.json of a search, or an arch.json without :{index}")
    if not index.isdecimal() or int(index) >= len(points):
        raise ArchError(f"{path} has {len(points)} points; give one as :N from :0 to :{len(points) - 1}, not :{index}")
    if isinstance(data.get("space"), str):
        raise ArchError(f"{path} is of an older hwnas; search again")
    space = validated(SpaceRef, data.get("space"), f"{path}: space", ArchError)
    return arch_keys(space, points[int(index)].get("choices"))


def arch_keys(space: SpaceRef, choices: Any) -> dict[str, Any]:
    """What an ``arch.json`` holds."""
    size = {"resolution": space.resolution, "classes": space.classes}
    definition = {"definition": space.definition.plain()} if space.definition else {}
    return {"space": space.source, "choices": choices, **size, **definition}
