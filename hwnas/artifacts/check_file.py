"""One target's files, held against their network and its answers, in a process of its own.

Whoever made the files may mean harm: what hangs or crashes there is a missed check here.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from pydantic import TypeAdapter

from hwnas.artifacts.bundle import Artifact, checked_bytes, read_manifest
from hwnas.artifacts.entry import facts_of, taking_images
from hwnas.artifacts.formats.base import check_fits, get_format, open_here
from hwnas.artifacts.origin import check_graph
from hwnas.artifacts.parity import compare, misses, shortfall
from hwnas.artifacts.reference import REFERENCE, read_reference
from hwnas.errors import HwnasError, ModelError, RuntimeMissingError, first_line
from hwnas.own_process import TooLateError, ended, line, started
from hwnas.records.artifact import ExportedFile, Finding, Parity
from hwnas.records.network import Tensor
from hwnas.records.target import WIDEST, Target, Tolerance, get_target, target_names
from hwnas.runtimes.base import Session
from hwnas.version import __version__

LIMIT_S = 300
"""Of each file: some runtimes build an engine when they load it."""

_SLACK = 1.1
"""Another processor rounds otherwise: this much further from the network than when it was exported is the same."""
_FINDINGS = TypeAdapter(tuple[Finding, ...])


class NotCheckedError(Exception):
    """Why something couldn't be checked here; nothing is wrong with it."""


def finding(about: str, passed: bool | None, text: str) -> Finding:
    return Finding(about=about, passed=passed, text=" ".join(text.split()))


def tried(about: str, check: Callable[..., str], *given: object) -> Finding:
    """``check`` of what is given returns what it found, or raises what it missed."""
    try:
        return finding(about, True, check(*given))
    except (RuntimeMissingError, NotCheckedError) as error:
        return finding(about, None, f"not checked here: {error}")
    except HwnasError as error:
        return finding(about, False, str(error))
    except Exception as error:  # a forged model can lead a parser or a runtime to any
        return finding(about, False, f"can't be read: {first_line(error)}")


def check_files(
    artifact: Artifact, files: Sequence[ExportedFile], trusted: bool, limit_s: int = LIMIT_S
) -> Iterator[tuple[Finding, ...]]:
    """What :func:`check_file` finds of each, in turn; one that takes longer than ``limit_s`` is a missed check."""
    waiting = [file.target for file in files]
    while waiting:
        with started(__name__, artifact.path, int(trusted), *waiting) as process:
            try:
                while waiting and (told := line(process, limit_s)).endswith(b"\n"):
                    waiting.pop(0)
                    yield _FINDINGS.validate_json(told)
                why = f"ends with {ended(process)}"
            except TooLateError:
                why = f"took longer than {limit_s} s and was stopped; --seconds gives it more"
        if waiting:
            yield (finding(waiting.pop(0), False, f"a process that loads it {why}"),)


def check_file(artifact: Artifact, file: ExportedFile, trusted: bool) -> tuple[Finding, ...]:
    """Structure, parity and precision of one target's files; what isn't the network isn't run."""
    structure = tried(f"{file.target}: structure", _structure, artifact, file)
    if structure.passed is False:
        skipped = (f"{file.target}: {what}" for what in ("parity", "precision"))
        return structure, *(finding(about, None, "not run: its structure is wrong") for about in skipped)
    opened: list[Session] = []
    parity = tried(f"{file.target}: parity", _parity, artifact, file, trusted, opened)
    precision = tried(f"{file.target}: precision", _precision, artifact, file, next(iter(opened), None))
    return structure, parity, precision


def _structure(artifact: Artifact, file: ExportedFile) -> str:
    files, network = artifact.read(file), artifact.manifest.network
    check_fits(file.settings, files)
    if (size := sum(map(len, files.values()))) != file.bytes:
        raise ModelError(f"{size:,} bytes, the manifest says {file.bytes:,}")
    if ".onnx" not in files:
        counted = get_format(file.settings.format).structure(files)
        if counted is None:
            raise NotCheckedError(
                f"format {file.settings.format} doesn't tell its layers; its graph's were counted at export"
            )
        if counted.madds != network.madds:
            raise ModelError(f"{counted.madds:,} multiply-adds, the {network.kind} has {network.madds:,}")
        return f"the {network.kind}'s multiply-adds, in {counted.layers} layers with weights"
    facts = facts_of(files[".onnx"])
    if facts != (file.inputs, file.outputs, file.opset, file.ir_version):
        raise ModelError(
            f"opset {facts.opset}, IR version {facts.ir_version} and input {_told(facts.inputs)}, the manifest says "
            f"{file.opset}, {file.ir_version} and {_told(file.inputs)}"
        )
    zeros = check_graph(network, files[".onnx"], file.optimized)
    beside = f" and {zeros:,} declared zeros" if zeros else ""
    return f"the {network.kind}'s multiply-adds and weights{beside}; opset {facts.opset}, IR version {facts.ir_version}"


def _told(tensors: Sequence[Tensor]) -> str:
    return ", ".join(f"{tensor.name} {tensor}" for tensor in tensors)


def _as_shipped(target: Target) -> Target:
    """Whether it was optimized changes nothing in what a target is held to."""
    return target.model_copy(update={"optimize": "none"})


def _parity(artifact: Artifact, file: ExportedFile, trusted: bool, opened: list[Session]) -> str:
    target, network = file.settings, artifact.manifest.network
    of_hwnas = artifact.manifest.hwnas == __version__ and target.name in target_names()
    if of_hwnas and _as_shipped(target) != _as_shipped(network.fitted(get_target(target.name))):
        raise ModelError(f"the manifest's settings aren't those of the target {target.name} of hwnas")
    if missed := misses(file.parity, target.tolerance, network.reference, learnt=False):
        raise ModelError(f"by the manifest itself, it {missed[0]}")
    data = checked_bytes(artifact.path, REFERENCE, artifact.manifest.sha256)
    evidence = read_reference(data, network).evidence(network)
    session, where = _opened(artifact, file, trusted, opened)
    outputs = evidence.samples.run(taking_images(session, artifact.normalization(file)), target.batch)
    fresh, then = compare(evidence, outputs), file.recheck
    if (then.inputs, then.images) != (fresh.inputs, fresh.images) or then.max_relative > WIDEST[target.precision]:
        raise ModelError(f"the manifest's recheck isn't of this file on the {fresh.images} inputs of {REFERENCE}")
    missed = misses(fresh, target.tolerance, network.reference)
    nearly = misses(fresh, _nearly(target.tolerance), network.reference, learnt=False)
    if missed and (nearly or not _as_near(fresh, then)):
        raise ModelError(f"{where}{'; '.join(missed)}; it was {then.max_relative:.1e} when exported")
    return (
        f"{where}differs from {network.reference} by {fresh.max_relative:.1e} (when exported {then.max_relative:.1e})"
        f"{_same_class(fresh)} of {fresh.images} inputs"
    )


def _same_class(parity: Parity) -> str:
    return " in the worst" if parity.top1_agreement is None else f", same class on {parity.top1_agreement:.1%}"


def _opened(artifact: Artifact, file: ExportedFile, trusted: bool, opened: list[Session]) -> tuple[Session, str]:
    """A file's session and, where that isn't on its own runtime, where it is; its own becomes ``opened``.

    No runtime that is missing leaves an ONNX file unchecked: a manifest may name any.
    """
    files = artifact.read(file)
    if ".onnx" not in files:
        opened.append(artifact.open_as_is(file, trusted=trusted))
        return opened[0], ""
    session, runtime, lacks = open_here(get_format(file.settings.format), file.settings, files[".onnx"], files)
    if runtime is None:
        return session, f"on ONNX Runtime's CPU provider ({lacks}): "
    opened.append(session)
    return session, ""


def _nearly(tolerance: Tolerance) -> Tolerance:
    """What a few inputs may miss where many met the tolerance; a manifest's word alone is worth no more."""
    sqnr_db = None if tolerance.sqnr_db is None else max(0.0, tolerance.sqnr_db - 3)
    least = {"cosine": max(0.5, 2 * tolerance.cosine - 1), "sqnr_db": sqnr_db, "top1": 0.5}
    return tolerance.model_copy(update={"relative": 2 * tolerance.relative, **least})


def _as_near(fresh: Parity, then: Parity) -> bool:
    """Whether a file is as near to its network as when it was exported: what passed then on many passes again."""
    return (
        fresh.max_relative <= _SLACK * then.max_relative
        and 1 - fresh.cosine <= _SLACK * (1 - then.cosine) + 1e-6
        and (fresh.top1_agreement or 0) >= (then.top1_agreement or 0)
    )


def _precision(artifact: Artifact, file: ExportedFile, session: Session | None) -> str:
    wanted = file.settings.precision
    here = get_format(file.settings.format).precisions(artifact.read(file), session)
    if not here:
        raise NotCheckedError("its precision can't be read without its runtime")
    if missed := shortfall(here, wanted):
        raise ModelError(missed)
    return ", ".join(f"{layers} layers in {name}" for name, layers in here.items())


if __name__ == "__main__":
    findings = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what runtimes print isn't one
    artifact = Artifact(Path(sys.argv[1]), read_manifest(Path(sys.argv[1])))  # of others' hashes its files say nothing
    by_name = {file.target: file for file in artifact.manifest.files}
    for name in sys.argv[3:]:
        findings.write(_FINDINGS.dump_json(check_file(artifact, by_name[name], sys.argv[2] == "1")) + b"\n")
        findings.flush()
