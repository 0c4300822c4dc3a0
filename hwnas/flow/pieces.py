"""What a report is of: files, folders and records, recognised by what they are and held against each other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from os.path import exists, isdir, isfile  # which also take names that no file can have
from pathlib import Path
from typing import Generic, TypeVar

from hwnas.artifacts.bundle import Artifact, load_artifact
from hwnas.errors import ModelError
from hwnas.files import read_json
from hwnas.records.artifact import MANIFEST
from hwnas.records.bench import BenchRecord
from hwnas.records.demo import StepsRecord
from hwnas.records.evaluation import EVALUATION, EvaluationRecord
from hwnas.records.model import ModelRecord, SizedArch
from hwnas.records.network import OfArch
from hwnas.records.search import SearchRecord
from hwnas.records.train import SupernetRecord, TrainRecord
from hwnas.space.ref import SpaceRef

Shown = SearchRecord | Artifact | BenchRecord | TrainRecord | Path | str
"""A piece of a report: what a verb returned, or the folder or file that it wrote."""

_SEARCH, _MODEL, _CONFIG, _SUPERNET = "search.json", "model.json", "config.yaml", "supernet.json"
_OF_WORK = ("search", "supernet", "finetuning", "artifact", "bench.json", "steps.json", "table.yaml")
_ASKED = "give what hwnas search, train, derive, export or demo made, or the bench.json of hwnas bench --json"

_T = TypeVar("_T")


@dataclass(frozen=True)
class Piece(Generic[_T]):
    """A record, and where it lies; None where it lies in no file."""

    record: _T
    path: Path | None = None

    def __str__(self) -> str:
        return f"the {type(self.record).__name__}" if self.path is None else str(self.path)


@dataclass
class Pieces:
    """All that was found; of each kind one, but for trainings.

    Attributes:
        search: its path is the file's, as that of ``bench`` is; others' are folders.
        table: the file of the table of the device that was searched for.
        runs: folders of trainings.
    """

    search: Piece[SearchRecord] | None = None
    artifact: Piece[Artifact] | None = None
    model: Piece[ModelRecord] | None = None
    bench: Piece[BenchRecord] | None = None
    steps: Piece[StepsRecord] | None = None
    table: Piece[Path] | None = None
    runs: list[Path] = field(default_factory=list)

    @staticmethod
    def of(shown: Iterable[Shown]) -> Pieces:
        """What is named, in any order.

        Raises:
            ModelError: one can't be read, was altered, or is nothing that a report shows; two are of one kind; or they
                don't belong together.
        """
        found = Pieces()
        for each in shown:
            if isinstance(each, SearchRecord):
                found._take("search", Piece(each))
            elif isinstance(each, Artifact):
                found._take("artifact", Piece(each, each.path))
            elif isinstance(each, BenchRecord):
                found._take("bench", Piece(each))
            else:
                found._add(each.run if isinstance(each, TrainRecord) else Path(each))
        if not (found.search or found.artifact or found.model or found.table or found.runs):
            raise ModelError(f"there is no search, network or table to report on; {_ASKED}")
        found._check()
        return found

    @property
    def answers(self) -> EvaluationRecord | None:
        """What the network answers to its test images, where that was written down.

        Raises:
            ModelError: the file is malformed, or of other weights.
        """
        path = self.model and self.model.path and self.model.path / EVALUATION
        if not self.model or not path or not path.exists():
            return None
        answers = EvaluationRecord.read(path)
        if answers.weights_sha256 != self.model.record.weights_sha256:
            raise ModelError(f"{path} is of other weights than {_MODEL} beside it; {EvaluationRecord.REMEDY}")
        return answers

    def networks(self) -> Iterator[tuple[Path | None, SizedArch, dict[str, str]]]:
        """Of archs, where each lies, what it is, and what it was made from; the artifact first."""
        manifest = self.artifact.record.manifest if self.artifact else None
        if self.artifact and manifest and isinstance(manifest.network, OfArch):
            yield self.artifact.path, manifest.network, manifest.made_from
        if self.model:
            yield self.model.path, self.model.record, self.model.record.info.made_from

    def _take(self, kind: str, piece: Piece[_T]) -> None:
        there: Piece[_T] | None = getattr(self, kind)
        if there is not None and (there.path is None or piece.path is None or not there.path.samefile(piece.path)):
            raise ModelError(f"{there} and {piece} are of one kind ({kind}), a report shows one of each; leave one out")
        setattr(self, kind, piece)

    def _add(self, path: Path) -> None:
        if isfile(path):
            return self._add_file(path)
        if not isdir(path):
            what = "is neither a file nor a folder" if exists(path) else "doesn't exist"
            raise ModelError(f"{path} {what}; {_ASKED}")
        own = [path / name for name in (_SEARCH, MANIFEST, _MODEL) if (path / name).exists()]
        run = (path / _CONFIG).exists() or (path / _SUPERNET).exists()
        if run and not any(path.samefile(each) for each in self.runs):
            self.runs.append(path)
        inner = [] if own else [path / name for name in _OF_WORK if (path / name).exists()]
        if not own and (path / "model").exists() and path / "finetuning" not in inner:
            inner.append(path / "model")
        for each in own:
            self._add_file(each)
        for each in inner:
            self._add(each)
        if not (own or inner or run) and isfile(path / "settings.json"):
            raise ModelError(f"{path} holds a search that isn't finished; finish it with hwnas search --resume")
        if not (own or inner or run) and isfile(path / "failures.json"):
            raise ModelError(f"{path} is what a failed export left; failures.json in it says what each target missed")
        if not (own or inner or run):
            raise ModelError(f"{path} holds no search, network or table to report on; {_ASKED}")

    def _add_file(self, path: Path) -> None:
        folder = path.parent
        if path.suffix in (".yaml", ".yml"):
            return self._take("table", Piece(path, path))
        if path.name == MANIFEST:
            return self._take("artifact", Piece(load_artifact(folder), folder))
        if path.suffix == ".zip":
            raise ModelError(f"{path} is an archive; unpack it first: hwnas artifact unzip {path} -o FOLDER")
        if path.suffix != ".json":
            raise ModelError(f"{path} is nothing that a report shows; {_ASKED}")
        data = read_json(path, ModelError)
        schema = data.get("schema") if isinstance(data, dict) else None
        kind = schema.partition("/")[0] if isinstance(schema, str) else ""
        if path.name == _SEARCH or kind == "hwnas-search":
            self._take("search", Piece(SearchRecord.of_plain(data, path), path))
        elif path.name == _MODEL or kind == "hwnas-model":
            self._take("model", Piece(ModelRecord.of_plain(data, path), folder))
        elif path.name == "bench.json" or kind == "hwnas-bench":
            self._take("bench", Piece(BenchRecord.of_plain(data, path), path))
        elif path.name == "steps.json" or kind == "hwnas-steps":
            self._take("steps", Piece(StepsRecord.of_plain(data, path), path))
        else:
            raise ModelError(f"{path} is nothing that a report shows; give the folder that it lies in, {folder}")

    def _check(self) -> None:
        """That they belong together.

        Raises:
            ModelError: they don't.
        """
        networks = list(self.networks())
        for where, network, made_from in networks:
            if self.search:
                self._check_searched(self.search, where, network, made_from)
        if self.artifact and self.model and len(networks) == 1:
            raise ModelError(f"{self.artifact} is of another network than {self.model}; leave one of them out")
        if self.artifact and self.model:
            (there, shipped, made_from), (here, model, _) = networks
            exported = made_from.get("weights_sha256")
            same = shipped.choices == model.choices
            if not same or exported not in (None, self.model.record.weights_sha256):
                what = "weights" if same else "arch"
                raise ModelError(f"{there} was exported from another {what} than {here} has; leave one of them out")
        if self.bench:
            rows = self.bench.record.results
            if not self.artifact:
                timed = f", {rows[0].artifact}" if rows else ""
                raise ModelError(f"{self.bench} needs the artifact that it timed beside it{timed}; name it as well")
            files = {(file.target, file.bytes) for file in self.artifact.record.manifest.files}
            if rows and not any((row.target, row.bytes) in files for row in rows):
                raise ModelError(f"{self.bench} timed other files than those of {self.artifact}; bench it again")
        if self.search and (supernet := self.search.record.supernet):
            for run in self.runs:
                if (run / _SUPERNET).exists() and _weights(run) != supernet.sha256:
                    raise ModelError(f"{self.search} searched another supernet than {run} holds; leave one of them out")

    def _check_searched(
        self, search: Piece[SearchRecord], where: Path | None, network: SizedArch, made_from: dict[str, str]
    ) -> None:
        found = search.record
        if not _same_space(found.space, network.space):
            raise ModelError(
                f"{where} is a network of {network.space}, {search} is of {found.space}: leave one of them out"
            )
        if network.choices not in set(map(tuple, found.archs.tolist())):
            choices = ",".join(map(str, network.choices))
            raise ModelError(
                f"{where} is {choices:.80}, neither the winner of {search} nor another arch that it evaluated; "
                "leave one of them out"
            )
        supernet = made_from.get("supernet_sha256")
        if supernet and found.supernet and supernet != found.supernet.sha256:
            raise ModelError(f"{where} was derived from another supernet than {search} searched; leave one of them out")


def _weights(run: Path) -> str:
    return SupernetRecord.read(run / _SUPERNET).weights_sha256


def supernet_of(search: SearchRecord) -> Path | None:
    """Where the supernet lies that was searched; None where it was moved, or trained anew."""
    if search.supernet is None or not isfile(search.supernet.run / _SUPERNET):
        return None
    return search.supernet.run if _weights(search.supernet.run) == search.supernet.sha256 else None


def _same_space(one: SpaceRef, other: SpaceRef) -> bool:
    """Whether archs of one are archs of the other; a network may have been fine-tuned to tell other classes apart."""
    if one.classes == other.classes:
        return one.fingerprint == other.fingerprint
    return (one.name, one.resolution) == (other.name, other.resolution)
