"""The model card, ``README.md`` of an artifact: what its manifest says, for people."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from hwnas.artifacts.parity import RANDOM_TEXTURES
from hwnas.artifacts.predict_script import PREDICT, predicts, runnable
from hwnas.artifacts.reference import REFERENCE
from hwnas.evaluation.interval import plus_minus
from hwnas.graph.count import cost
from hwnas.records.artifact import MANIFEST, ArtifactRecord, Parity
from hwnas.records.model import Preprocessing
from hwnas.records.network import NetworkRecord, OfArch, OfFile, Tensor

_SHOWN_LABELS = 100
_MEANS = re.compile(
    r"[`*<|~$@]|\\(?![A-Za-z0-9 ])|(?<![^\W_])_|_(?![^\W_])"  # inside of a word _ is only itself
    r"|\](?=[(\[:])|\[(?=[ xX]\])|#(?!\w)|(?<!\w)#|&(?=#?\w+;)"  # links, to-dos, headings, entities
    r"|:(?=//)|(?<=www)\."  # addresses
)
"""What Markdown takes for more than itself."""
_BEGINS = re.compile(r"^(\d*)((?<=\d)[.)](?=\s|$)|(?<!\d)(?:[-=](?=[-=\s]|$)|\+(?=\s|$)|>))")
"""The same at the beginning of a line: lists, quotes, and lines under a heading."""


def card(manifest: ArtifactRecord, preprocessing: Preprocessing | None, labels: Sequence[str] | None) -> str:
    """The card as Markdown (CommonMark with tables); of the manifest's hashes nothing is told."""
    network = manifest.network
    random = "weights" in manifest.made_from  # told of random ones alone, see hwnas.records.model.ModelInfo.of_random
    lines = [
        f"# {literal(network.title)} for {literal(', '.join(file.target for file in manifest.files))}",
        "",
        f"{_what(network)}; {network.madds / 1e6:,.1f} M multiply-adds, "
        f"{network.params / 1e6:.2f} M parameters. Written by hwnas {literal(manifest.hwnas)}.",
        "",
        *(["**Random weights: for timing only.**", ""] if random else []),
        *_section("Files", _files(manifest)),
        *_section("Run it", _run_it(manifest)),
        *_section("Accuracy", _accuracy(manifest)),
        *_section("Latency", _latency(manifest)),
        *_section("How it was made", _made(manifest)),
        *_section("Images and labels", _images(preprocessing, labels)),
        *_section("Limits", _limits(manifest, preprocessing)),
        *_section("Architecture", _architecture(network)),
    ]
    return "\n".join(lines)


def _what(network: NetworkRecord) -> str:
    if isinstance(network, OfArch):
        return f"An image classifier: {'×'.join(map(str, network.input_chw))} in, {network.classes} classes out"
    return f"Of the file {literal(network.name)}: {_listed(network.inputs)} in, {_listed(network.outputs)} out"


def _listed(tensors: Iterable[Tensor]) -> str:
    return ", ".join(literal(f"{each.name} ({each})") for each in tensors)


def literal(text: object) -> str:
    """``text`` in one line that Markdown shows as it is, whatever it holds."""
    line = " ".join("".join(c if c.isprintable() else " " for c in str(text)).split())
    return _BEGINS.sub(r"\1\\\2", _MEANS.sub(r"\\\g<0>", line))


def _section(title: str, lines: Iterable[str]) -> Iterator[str]:
    yield from (f"## {title}", "", *lines, "")


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    yield from (f"| {' | '.join(row)} |" for row in rows)


def _files(manifest: ArtifactRecord) -> Iterator[str]:
    yield from _table(
        ["target", "files", "MB", "input", "layers with weights", "difference", "same class"],
        [
            [
                literal(file.target),
                ", ".join(map(literal, file.files)),
                f"{file.bytes / 1e6:.2f}",
                _taken(file.inputs),
                literal(", ".join(f"{count} in {name}" for name, count in file.precisions.items())) or "not known",
                f"{file.parity.max_relative:.1e}",
                _same_class(file.parity),
            ]
            for file in manifest.files
        ],
    )
    yield ""
    yield f"The difference to what {literal(manifest.network.reference)} gives is the largest of a number, over the"
    yield f"largest number. {MANIFEST} has the SHA-256 of every file; `hwnas artifact check` holds all of it against"
    yield f"the manifest, and the models against the answers in {REFERENCE}."


def _taken(tensors: Sequence[Tensor]) -> str:
    """Of images their kind, of anything else all that goes in."""
    kinds = [f"{each.dtype} {each.layout}" if each.layout else f"{each.name}: {each}" for each in tensors]
    return literal(", ".join(kinds))


def _same_class(parity: Parity) -> str:
    inputs = f"{parity.images} {literal(parity.inputs)}"
    return f"not asked of {inputs}" if parity.top1_agreement is None else f"{parity.top1_agreement:.1%} of {inputs}"


def _run_it(manifest: ArtifactRecord) -> Iterator[str]:
    file = runnable(manifest.files)
    if file is None:
        yield "There is no predict.py: no file here runs on a processor. `hwnas bench` loads them where they do."
        return
    if not predicts(manifest.network, manifest.files):
        yield f"There is no predict.py: it isn't a square image in, and classes out. {literal(file.file)} takes"
        yield f"{_listed(file.inputs)} and gives {_listed(file.outputs)}."
        return
    yield f"`python {PREDICT} image.jpg` prints the most likely classes. It runs {literal(file.file)}, or the file that"
    yield "`--target` names, and needs numpy, pillow and the runtime, nothing of hwnas."


def _accuracy(manifest: ArtifactRecord) -> Iterator[str]:
    if manifest.data is None and not manifest.accuracy:
        yield "Not known: no data set belongs to these weights."
        return
    if manifest.data is not None:
        yield f"Trained on {literal(manifest.data)}."
        yield ""
    for name, value in manifest.accuracy.items():
        yield f"- {literal(name + ':')} {plus_minus(value, manifest.accuracy_images.get(name))}"
    yield from (
        f"- {literal(file.target + ':')} {plus_minus(file.accuracy_after, file.parity.images)} of {file.parity.images} "
        f"images, {literal(manifest.network.reference)} {file.accuracy_before:.2%} of the same"
        for file in manifest.files
        if file.accuracy_before is not None and file.accuracy_after is not None
    )


def _latency(manifest: ArtifactRecord) -> Iterator[str]:
    for known in manifest.searched.devices if manifest.searched else ():
        line = f"- predicted when searched: {known.predicted_ms:.3f} ms"
        if known.low_ms is not None and known.high_ms is not None:
            line += f" ({known.low_ms:.3f} to {known.high_ms:.3f} holds 90 % of networks)"
        line += f" on {literal(known.device or f'the device of {known.table}')}"
        if known.measured_ms is not None:
            line += f"; measured after the search {known.measured_ms:.3f} ms"
        yield line + (f"; budget {known.budget_ms:.3f} ms" if known.budget_ms is not None else "")
    for file in manifest.files:
        if file.latency is None:
            yield f"- {literal(file.target + ':')} not measured"
            continue
        line = f"- {literal(file.target + ':')} {file.latency.p50_ms:.3f} ms (p10 {file.latency.p10_ms:.3f}, "
        line += f"p90 {file.latency.p90_ms:.3f}) on {literal(file.device)}"
        if file.fp32_ms is not None and file.settings.precision != "fp32":
            line += f"; in fp32 {file.fp32_ms:.3f} ms" + (": **pointless here**" if file.pointless else "")
        yield line


def _made(manifest: ArtifactRecord) -> Iterator[str]:
    if not manifest.made_from:
        yield "Nothing is known of where the weights come from."
    for name, value in manifest.made_from.items():
        yield f"- {literal(name.replace('_', ' ') + ':')} {literal(value)}"
    if found := manifest.searched:
        yield f"- found by {literal(found.strategy)} among {found.evaluations} archs, seed {found.seed}"
    if isinstance(network := manifest.network, OfArch):
        yield from (f"- stabilizer of layer {each.layer}: {literal(each)}" for each in network.stabilizers)
    for file in manifest.files:
        told = (*(file.optimized.rewrites if file.optimized else ()), *file.notes)
        yield from (f"- {literal(file.target + ':')} {literal(each)}" for each in told)


def _images(preprocessing: Preprocessing | None, labels: Sequence[str] | None) -> Iterator[str]:
    if preprocessing is None:
        yield "Nobody knows how these weights want their images prepared."
    else:
        plain = preprocessing.plain()
        yield from (f"- {literal(name.replace('_', ' ') + ':')} {literal(value)}" for name, value in plain.items())
    yield ""
    if labels is None:
        yield "The classes have no names."
        return
    more = f" and {len(labels) - _SHOWN_LABELS} more in labels.json" if len(labels) > _SHOWN_LABELS else ""
    yield f"Classes: {', '.join(map(literal, labels[:_SHOWN_LABELS]))}{more}."


def _limits(manifest: ArtifactRecord, preprocessing: Preprocessing | None) -> Iterator[str]:
    yield from (
        f"- {literal(file.target)} wasn't run where it was made: {literal(file.lacks)}. What was compared with "
        f"{literal(manifest.network.reference)} is the graph that it was made of."
        for file in manifest.files
        if file.lacks is not None
    )
    if any(file.latency is not None for file in manifest.files):
        yield "- Latencies hold for the machine that is named, one thread and the smallest batch."
    if any(file.parity.inputs == RANDOM_TEXTURES for file in manifest.files):
        yield f"- It was compared with {literal(manifest.network.reference)} on random textures, not on photographs."
    if all(file.accuracy_after is None for file in manifest.files):
        yield "- The accuracy of the exported files wasn't measured."
    if preprocessing is None and predicts(manifest.network, manifest.files):
        yield f"- {PREDICT} guesses how images are prepared."


def _architecture(network: NetworkRecord) -> Iterator[str]:
    if isinstance(network, OfFile):
        yield f"That of {literal(network.name)}, SHA-256 {network.sha256} with its sizes fixed as above."
        return
    yield f"Space {literal(network.space.name)}, choices {', '.join(map(str, network.choices))}."
    if network.figures:
        named = ", ".join(map(literal, network.space.own_code))
        yield f"Blocks of it are somebody's own code{': ' if named else ''}{named}."
        return
    yield ""
    costs = [(node.place, node.op, cost(node.op)) for node in network.graph]
    yield from _table(
        ["layer", "op", "M multiply-adds", "parameters"],
        [[literal(place), literal(op), f"{its.madds / 1e6:.2f}", f"{its.params:,}"] for place, op, its in costs],
    )
