"""Network -> artifact: make each target's files, judge them, time those that passed, and bundle these."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hwnas.arrays import Array
from hwnas.artifacts.beside_fp32 import Cost, costs
from hwnas.artifacts.bundle import OWN_FILES, Artifact, hashes, rendered, write_artifact
from hwnas.artifacts.doubts import contradicted, doubts_of, underflow
from hwnas.artifacts.entry import facts_of
from hwnas.artifacts.formats.base import get_format
from hwnas.artifacts.make import Made, check_readable, make, normalization_inside
from hwnas.artifacts.parity import Evidence, compare, judge
from hwnas.artifacts.reference import REFERENCE, normalization_of, reference_of
from hwnas.artifacts.samples import Samples
from hwnas.artifacts.source import FileSource, NetworkSource, Source
from hwnas.errors import CheckError, ConfigError, DataError, HwnasError, ModelError, ParityError, RuntimeMissingError
from hwnas.files import new_folder, refuse_existing, write_atomic
from hwnas.nn.network import Network
from hwnas.onnx.model import OnnxModel
from hwnas.profiling.local import conditions_of, device_of
from hwnas.progress import Progress, say
from hwnas.records.artifact import ArtifactRecord, ExportedFile, FailedExport, Verdict
from hwnas.records.model import ModelInfo
from hwnas.records.network import NetworkRecord
from hwnas.records.target import Target, get_target, optimizing
from hwnas.runtimes.registry import RUNTIMES
from hwnas.version import __version__

_DRAWN = 64
_NOT_OF_DATA = "good for timing; a trained network needs images of its own (--data)"


@dataclass(frozen=True, kw_only=True)
class Exported(Artifact):
    """A new artifact, and the targets that it lacks.

    Attributes:
        failed: {target: why it isn't in the artifact, in words}.
        evidence: the folder that has what missed a check, and how; None where nothing did.
    """

    failed: Mapping[str, str]
    evidence: Path | None


def export_network(
    network: Network | OnnxModel | Source,
    targets: Sequence[str],
    output: str | Path,
    *,
    images: Array | Sequence[Array] | None = None,
    images_of: str | None = None,
    labels: npt.NDArray[np.int64] | None = None,
    calibration: Array | Sequence[Array] | None = None,
    pixels: bool = True,
    optimize: bool = False,
    all_or_nothing: bool = False,
    progress: Progress | None = None,
) -> Exported:
    """Write ``network`` for each target, check every file against what the network gives, and bundle those that pass.

    Args:
        network: exported as it computes in eval mode, and its ``info`` goes along; or somebody's file, whose exports
            are held against itself as ONNX Runtime runs it without optimizations.
        targets: names of shipped targets, or paths of YAML files.
        output: folder to make.
        images: inputs for the checks, normalised images (N, C, H, W), float32, or (N, …) for each input of a network
            that takes something else; random textures, or drawn numbers, when None.
        images_of: the data set they are of; the network's own when None.
        labels: their classes (N,), for accuracy before and after.
        calibration: inputs that int8 takes its ranges from; others drawn when None.
        pixels: whether images are made of bytes, so that a byte for each value says what they are.
        optimize: whether every target is as if it said ``optimize: timed``.
        all_or_nothing: whether a target that fails keeps the others from being shipped.
        progress: called with (what, done, total).

    Raises:
        ConfigError: no target, one twice, an unknown one, or one whose name can't be used.
        OutputError: the output exists or can't be written.
        DataError: the images, or other inputs, aren't of the network's size.
        ParityError, CountError: no target passed, or not all where that was asked: a file isn't the network, or loses
            too much accuracy. The output isn't written. What was made of targets that failed, and how they did, is
            kept beside it in ``OUTPUT.failed``, here as where others passed.
        ModelError, RuntimeMissingError: the same, where a target can't be made.
    """
    output = Path(output)
    refuse_existing(output)
    chosen = get_targets(targets, optimize=optimize)
    source = _source(network)
    record, info = source.record, source.info
    chosen = [record.fitted(target) for target in chosen]
    hint: tuple[str, ...] = ()
    if images is None:
        samples, inputs = source.stand_ins(_DRAWN, seed=0)
        labels, hint = None, (f"of {inputs} it may have nothing to say: give inputs of its own (--data)",)
    else:
        of = images_of or info.data
        what = "images" if record.image_chw else "inputs"
        samples, inputs = _given(record, images, "checks"), f"{what} of {_named(of) if of else 'the caller'}"
    of_nothing: tuple[str, ...] = ()
    if calibration is None:
        held, held_of = source.stand_ins(_DRAWN, seed=1)
        of_nothing = (f"its images are {held_of}: {_NOT_OF_DATA}",)
    else:
        held = _given(record, calibration, "calibration")
    inside = [found for target in chosen if (found := normalization_inside(source, target))]
    if inside:
        samples = Samples.of(record, *(inside[0].images(inside[0].pixels(each)) for each in samples.arrays))
    made: list[Made] = []
    errors: dict[str, HwnasError] = {}
    doubts: dict[str, tuple[str, ...]] = {}
    for index, target in enumerate(chosen):
        try:
            one = make(source, target, held, progress)
        except (CheckError, ModelError, RuntimeMissingError) as error:
            errors[target.name] = error
        else:
            if not of_nothing:
                doubts[target.name] = doubts_of(target, held, samples)
            note = of_nothing if target.precision == "int8" else ()
            made.append(replace(one, notes=(*one.notes, *note, *doubts.get(target.name, ()))))
        if progress:
            progress("exporting", index + 1, len(chosen), target.name)
    evidence = Evidence(
        samples=samples, inputs=inputs, outputs=source.answers(samples), source=record.reference,
        classifies=record.classes is not None, labels=labels,
    )  # fmt: skip
    judged = [
        _explained(
            source,
            one,
            judge(one.session, one.target, one.precisions, evidence),
            (*doubts.get(one.target.name, ()), *hint),
        )
        for one in made
    ]
    errors |= {
        one.target.name: ParityError(found.failures[0])
        for one, found in zip(made, judged, strict=True)
        if found.failures
    }
    kept = _keep_failed(output, made, judged, errors)
    if errors and (all_or_nothing or len(errors) == len(chosen)):
        name, first = next(iter(errors.items()))
        where = f", the evidence is in {kept}" if kept else ""
        raise type(first)(f"{name}: {first}; nothing was shipped{where}")
    judged = [found for found in judged if not found.failures]
    made = [one for one in made if one.target.name not in errors]
    for one in made:
        for doubt in doubts.get(one.target.name, ()):
            say(f"{one.target.name}: {doubt}")
    if disputed := _disputed(info, evidence):
        say(disputed)
        made = [replace(one, notes=(*one.notes, disputed)) for one in made]
    spent = costs(source, made, progress)
    made_of = normalization_of(info.preprocessing, record.image_chw[0]) if record.image_chw and pixels else None
    reference = reference_of(source, samples, made_of)
    files = [
        _entry(one, found, spent.get(one.target.name), reference.evidence(record))
        for one, found in zip(made, judged, strict=True)
    ]
    contents = {REFERENCE: reference.packed(record), **{name: data for one in made for name, data in one.names.items()}}
    manifest = ArtifactRecord(
        hwnas=__version__, network=record,
        accuracy=info.accuracy, accuracy_images=info.accuracy_images, data=info.data and _named(info.data),
        made_from=info.made_from | ({"weights_sha256": info.weights_sha256} if info.weights_sha256 else {}),
        searched=info.searched, files=tuple(files), sha256=hashes(contents),
    )  # fmt: skip
    contents |= rendered(manifest, info.preprocessing, info.labels)
    artifact = write_artifact(output, manifest, contents)
    failed = {name: str(error) for name, error in errors.items()}
    return Exported(path=artifact.path, manifest=artifact.manifest, failed=failed, evidence=kept)


def _source(network: Network | OnnxModel | Source) -> Source:
    if isinstance(network, OnnxModel):
        return FileSource(network)
    return NetworkSource(network) if isinstance(network, Network) else network


def _given(record: NetworkRecord, given: Array | Sequence[Array], name: str) -> Samples:
    """Raises:
    DataError: not what the network takes.
    """
    arrays = (given,) if isinstance(given, np.ndarray) else tuple(given)
    if len(arrays) != len(record.takes):
        raise DataError(f"inputs for the {name} are {len(arrays)} arrays, and the network takes {len(record.takes)}")
    for port, array in zip(record.takes, arrays, strict=True):
        if array.shape[1:] != port.shape or array.dtype != port.dtype or not len(array):
            what = "images" if record.image_chw else port.name
            got = f"{array.dtype} {array.shape}"
            raise DataError(f"{what} for the {name} must be {port.dtype} (N, {port.shape}), got {got}")
        if len(array) != len(arrays[0]):
            raise DataError(f"inputs for the {name}: {port.name} has {len(array)} rows, others {len(arrays[0])}")
    return Samples.of(record, *arrays)


def _explained(source: Source, one: Made, found: Verdict, doubts: Sequence[str]) -> Verdict:
    """The verdict; of a failure, what may be its cause stands behind its first reason."""
    if not found.failures:
        return found
    causes = list(doubts)
    if one.target.precision == "fp16":
        causes += filter(None, [underflow(source.graph(one.target), one.graph)])
    first, *others = found.failures
    return found.model_copy(update={"failures": ("; ".join([first, *causes]), *others)})


def _disputed(info: ModelInfo, evidence: Evidence) -> str | None:
    """What speaks against images with labels: PyTorch has fewer of them right than the model says of its test part."""
    recorded = [value for name, value in info.accuracy.items() if name.endswith("test")]
    if evidence.labels is None or not recorded:
        return None
    before = float((evidence.scores.argmax(1) == evidence.labels).mean())
    return contradicted(before, recorded[0], len(evidence.labels))


def _named(data: str) -> str:
    """A data set's name, without the folders that lead to it: these are nobody's business."""
    return data if data.startswith("python:") else Path(data).resolve().name or data


def _without_paths(words: str) -> str:
    """``words``, of each path in them only the last name."""
    return re.sub(r"(?<![\w.])(?:/|[A-Za-z]:\\)(?:[^\s'\"():]*[/\\])?", "", words)


def get_targets(names: Sequence[str], *, optimize: bool = False) -> list[Target]:
    """Targets that one artifact can hold, by the names of shipped ones or the paths of YAML files.

    Raises:
        ConfigError: no target, one twice, an unknown one, or one whose name can't be used; or, to ``optimize``, one of
            a precision that can't be optimized.
    """
    chosen = [optimizing(get_target(name)) if optimize else get_target(name) for name in names]
    own = [target.name for target in chosen]
    if not own or len(set(own)) < len(own):
        raise ConfigError(f"name one target or more, each once; got {', '.join(own) or 'none'}")
    for target in chosen:
        RUNTIMES.check(target.runtime, f"target {target.name}: ")
        check_readable(target)
    _refuse_clashes(chosen)
    return chosen


def _refuse_clashes(targets: Sequence[Target]) -> None:
    """Raises:
    ConfigError: a target's file would be called like another one of the artifact.
    """
    taken = {name.lower() for name in OWN_FILES}
    for target in targets:
        for suffix in get_format(target.format).suffixes:
            name = f"{target.name}{suffix}"
            if name.lower() in taken:
                raise ConfigError(f"target {target.name} would write {name}, and there is one already; rename it")
            taken.add(name.lower())


def _keep_failed(
    output: Path, made: Sequence[Made], judged: Sequence[Verdict], errors: Mapping[str, HwnasError]
) -> Path | None:
    """Write what missed a check, and how, into a new folder beside the output; None where nothing did."""
    if not any(isinstance(error, CheckError) for error in errors.values()):
        return None
    kept = output.with_name(f"{output.name}.failed")
    number = 1
    while kept.exists():
        number += 1
        kept = output.with_name(f"{output.name}.failed-{number}")
    verdicts = {one.target.name: found for one, found in zip(made, judged, strict=True)}
    with new_folder(kept) as folder:
        for one in made:
            if one.target.name in errors:
                for name, data in {**one.names, f"{one.target.name}.graph.onnx": one.graph}.items():
                    write_atomic(folder / name, data)
        FailedExport(
            targets={name: verdicts.get(name) or Verdict(failures=(str(error),)) for name, error in errors.items()}
        ).write(folder / "failures.json")
    return kept


def _entry(one: Made, found: Verdict, cost: Cost | None, few: Evidence) -> ExportedFile:
    """The manifest's entry of one target."""
    target, facts = one.target, facts_of(one.graph)
    device = None
    if one.runtime is not None:
        device = device_of(one.runtime, conditions_of(one.runtime, precision=target.precision, batch=target.batch.min))
    recheck = compare(few, few.samples.run(one.session, target.batch))
    assert found.parity is not None  # else the export has failed
    return ExportedFile(
        target=target.name, settings=target, files=tuple(one.names), bytes=sum(map(len, one.files.values())),
        inputs=facts.inputs, outputs=facts.outputs, opset=facts.opset, ir_version=facts.ir_version,
        precisions=one.precisions, notes=one.notes,
        parity=found.parity, recheck=recheck,
        accuracy_before=found.accuracy_before, accuracy_after=found.accuracy_after,
        lacks=one.lacks and _without_paths(one.lacks),
        latency=cost.latency if cost else None, fp32_ms=cost.fp32_ms if cost else None,
        memory_mb=cost.memory_mb if cost else None, device=device, optimized=one.optimized,
    )  # fmt: skip
