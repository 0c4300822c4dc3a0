"""``hwnas rank``."""

from __future__ import annotations

import io
import sys
from dataclasses import replace
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from hwnas.cli.console import JsonOption, SeedOption, print_result
from hwnas.errors import CheckpointError, ConfigError, DataError
from hwnas.files import refuse_existing, write_atomic
from hwnas.progress import Progress, ProgressBars

if TYPE_CHECKING:
    from hwnas.arrays import Values
    from hwnas.data.load import Data
    from hwnas.ranking.ranking import Estimate, Evidence, Part, Ranking
    from hwnas.ranking.truth import Truth
    from hwnas.space.chain import ChainSpace
    from hwnas.training.run import TrainedSupernet

_ARCHS = 200
_FILE_WIDTH = 160  # of a table that goes to a file


def rank(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN", help="Run folders of supernets of one space.")],
    truth: Annotated[
        Path | None,
        typer.Option(help="True accuracies: NAS-Bench-Macro's JSON, or CSV or JSON of arch and accuracies."),
    ] = None,
    standalone: Annotated[
        int | None,
        typer.Option(min=10, help="Train this many random archs from scratch instead, and compare with these."),
    ] = None,
    archs: Annotated[
        int | None, typer.Option(min=10, help=f"Archs to draw from the truth; {_ARCHS}, or all of fewer, when absent.")
    ] = None,
    images: Annotated[int, typer.Option(min=1, help="Of the validation part, to evaluate on; at most.")] = 5000,
    recalibration_images: Annotated[int, typer.Option(min=1, help="Of the train part, for an arch's BN.")] = 512,
    config: Annotated[
        Path | None, typer.Option(help="YAML of the stand-alone trainings; as the first RUN was trained when absent.")
    ] = None,
    work: Annotated[
        Path | None, typer.Option(help="Where stand-alone trainings are kept and resumed; RUN/rank when absent.")
    ] = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="An .html page to write.")] = None,
    seed: SeedOption = 0,
    as_json: JsonOption = False,
) -> None:
    """How well supernets rank archs: inherited accuracy against the accuracy of archs trained by themselves.

    Every rank correlation has a 95 % interval, over all archs and over the best fifth, and stands beside those of
    depth, multiply-adds, parameters and chance on the same archs. A RUN is also judged by its archs' inherited
    cross-entropy, which says more of an arch than how many images it gets right, and by that smoothed: the sum over
    layers that fits all archs' cross-entropies best. What it said of each arch is left in RUN/rank.csv.
    """
    import numpy as np

    from hwnas.evaluation.accuracy import Evaluator
    from hwnas.ranking.additive import additive_fit
    from hwnas.ranking.ranking import Evidence, baselines
    from hwnas.ranking.ranking import rank as compare
    from hwnas.ranking.truth import read_truth
    from hwnas.training.run import load_supernet

    _check_options(runs, truth, standalone, archs, config, work)
    if output:
        refuse_existing(output)
    supernets = {str(run): load_supernet(run) for run in runs}
    space = _common_space(supernets)
    data = _load_data(supernets)  # what is wrong with it is told before training
    with ProgressBars() as progress:
        if standalone is not None:
            truth = _train(runs[0], space, standalone, config, work or runs[0] / "rank", seed, progress)
        assert truth is not None
        known = read_truth(truth, space)
        chosen = _sample(known, truth, standalone or archs, seed)

        def inherited(name: str) -> tuple[Values, Values]:
            evaluator = Evaluator(
                supernets[name].supernet, data[name],
                recalibration_images=recalibration_images, evaluation_images=images,
            )  # fmt: skip
            scores = evaluator.scores(
                chosen.archs, k=1, progress=lambda _, *rest: progress(f"evaluating {name}", *rest)
            )  # fmt: skip
            losses = np.array([s.loss for s in scores])
            if not np.isfinite(losses).all():
                raise CheckpointError(
                    f"{name} gives {int((~np.isfinite(losses)).sum())} archs no finite loss; train anew"
                )
            return np.array([s.top1 for s in scores]), losses

        said = {name: inherited(name) for name in supernets}
    evidence = Evidence(
        archs=chosen.archs,
        truth=chosen.accuracies,
        supernets={name: accuracies for name, (accuracies, _) in said.items()},
        baselines=baselines(space, chosen.archs),
    )
    losses = {name: found for name, (_, found) in said.items()}
    found = compare(evidence, seed)
    others = {
        "by loss": {name: -values for name, values in losses.items()},
        "by loss, additive": {name: additive_fit(space, chosen.archs, -values) for name, values in losses.items()},
    }
    rankings = {how: compare(replace(evidence, supernets=scores), seed) for how, scores in others.items()}
    for name, trained in supernets.items():
        write_atomic(Path(name) / "rank.csv", _rows(evidence, losses[name], name, trained.supernet.space))
    about = {"file": str(truth), "archs": len(known.archs), "trainings": known.accuracies.shape[1]}
    if output:
        from hwnas.reporting.ranking import render_ranking

        facts = {
            "truth": f"{truth}: {about['archs']:,} archs, trained {about['trainings']}×",
            "space": f"{space.name} at {space.resolution} px, {space.classes} classes",
            "images": f"{images:,} of the validation part at most, {recalibration_images:,} for BN statistics",
            **{
                f"{name}, {how}": f"τ {_shown(ranking.whole.agreements[name].kendall_tau)}"
                for name in supernets
                for how, ranking in rankings.items()
            },
            "seed": str(seed),
        }
        write_atomic(output, render_ranking(found, evidence, facts))
    result = found.to_dict()
    for how, ranking in rankings.items():
        for row, other in zip(result["runs"], ranking.to_dict()["runs"], strict=True):
            row[how.replace(", ", "_").replace(" ", "_")] = {k: v for k, v in other.items() if k != "run"}
    print_result(
        {**result["runs"][0], **result, "truth": about, "seed": seed},
        as_json,
        f"{found.whole.archs} archs of {space.name}; true accuracies: {truth}; in brackets 95 % intervals",
        *_table(found, rankings).splitlines(),
        *_remarks(found),
        f"arch by arch: {', '.join(str(Path(name) / 'rank.csv') for name in supernets)}",
        *([f"page: {output}"] if output else []),
    )


def _check_options(
    runs: list[Path],
    truth: Path | None,
    standalone: int | None,
    archs: int | None,
    config: Path | None,
    work: Path | None,
) -> None:
    if (truth is None) == (standalone is None):
        raise ConfigError("give either --truth FILE, or --standalone N to train N archs from scratch")
    if truth is None and archs is not None:
        raise ConfigError("--archs draws from a --truth; --standalone N says already how many archs there are")
    if truth is not None and (config or work):
        raise ConfigError(f"{'--config' if config else '--work'} is of --standalone; a --truth needs no training")
    if len({run.resolve() for run in runs}) < len(runs):
        raise ConfigError("the same RUN is given twice; give each once")


def _common_space(supernets: dict[str, TrainedSupernet]) -> ChainSpace:
    from hwnas.ranking.truth import same_choices

    (first, one), *others = supernets.items()
    for name, other in others:
        if not same_choices(one.supernet.space, other.supernet.space):
            spaces = one.supernet.space.name, other.supernet.space.name
            raise ConfigError(f"{first} is of {spaces[0]} and {name} of {spaces[1]}; rank supernets of one space")
    return one.supernet.space


def _load_data(supernets: dict[str, TrainedSupernet]) -> dict[str, Data]:
    """The data set of each, loaded once where they have the same."""
    loaded: dict[tuple[object, ...], Data] = {}
    found = {}
    for name, trained in supernets.items():
        info = trained.info
        key = info.data, info.data_sha256, info.resolution, info.held_out
        if key not in loaded:
            loaded[key] = trained.data
        found[name] = loaded[key]
    return found


def _train(
    run: Path, space: ChainSpace, count: int, config: Path | None, work: Path, seed: int, progress: Progress
) -> Path:
    from hwnas.ranking.standalone import settings_of_networks, train_standalone
    from hwnas.training.config import read_config

    settings = read_config(config or run / "config.yaml")
    if settings.network is not None:
        raise ConfigError(f"{config}: 'network' is filled in for each arch; leave it out")
    settings = settings_of_networks(settings, space)
    return train_standalone(settings, space, count, work, seed=seed, progress=progress)


def _sample(known: Truth, path: Path, archs: int | None, seed: int) -> Truth:
    from hwnas.ranking.ranking import LEAST_ARCHS

    wanted, there = archs or min(_ARCHS, len(known.archs)), len(known.archs)
    if there < LEAST_ARCHS:
        raise DataError(f"{path} has {there} archs; a ranking takes {LEAST_ARCHS} or more")
    if there < wanted:
        raise DataError(f"{path} has {there} archs, {wanted - there} fewer than the {wanted} asked; lower --archs")
    return known.sample(wanted, seed)


def _rows(evidence: Evidence, losses: Values, name: str, space: ChainSpace) -> str:
    """CSV, arch by arch: what the supernet said, and what is true."""
    from hwnas.ranking.truth import to_csv
    from hwnas.space.arch import Arch

    names = list(evidence.baselines)
    said = evidence.supernets[name], losses
    columns = zip(*said, evidence.accuracy, *(evidence.baselines[n] for n in names), strict=True)
    rows = [
        [str(Arch(space, tuple(arch))), float(inherited), float(loss), float(true), *map(int, sizes)]
        for arch, (inherited, loss, true, *sizes) in zip(evidence.archs.tolist(), columns, strict=True)
    ]
    return to_csv(["arch", "inherited_accuracy", "inherited_loss", "true_accuracy", *names], rows)


def _table(found: Ranking, others: dict[str, Ranking]) -> str:
    """All supernets and baselines, a row each, and what one training says of another below them."""
    from hwnas.reporting.units import words

    top = f"τ, best {found.top.archs}" if found.top else "τ, best fifth"
    table = Table("ordered by", "Kendall τ", "Spearman ρ", top, "first pick", "best of 10 picks", box=SIMPLE)
    rows = {name: (found, name) for name in found.whole.leads}
    rows |= {f"{name}, {how}": (ranking, name) for how, ranking in others.items() for name in found.whole.leads}
    rows |= {words(name): (found, name) for name in found.whole.agreements if name not in found.whole.leads}
    whole = found.whole
    for index, (shown, (ranking, name)) in enumerate(rows.items(), start=1):
        agreement, picks = ranking.whole.agreements[name], ranking.picks[name]
        table.add_row(
            shown, _shown(agreement.kendall_tau), _shown(agreement.spearman), _top_tau(ranking.top, name),
            f"{picks.top_1:.2%}", f"{picks.top_10:.2%}", end_section=index == (1 + len(others)) * len(whole.leads),
        )  # fmt: skip
    if whole.ceiling:
        over_top = _shown(found.top.ceiling.kendall_tau) if found.top and found.top.ceiling else "too few"
        table.add_row("another training", _shown(whole.ceiling.kendall_tau), _shown(whole.ceiling.spearman), over_top)
    text = io.StringIO()
    width = None if sys.stdout.isatty() else _FILE_WIDTH
    Console(file=text, width=width, markup=False, emoji=False, highlight=False, no_color=True).print(table)
    return text.getvalue()


def _top_tau(top: Part | None, name: str) -> str:
    return _shown(top.agreements[name].kendall_tau) if top else "too few"


def _shown(estimate: Estimate) -> str:
    if isnan(estimate.low):
        return "not defined"
    return f"{estimate.value:.3f} [{estimate.low:.2f}, {estimate.high:.2f}]"


def _remarks(found: Ranking) -> list[str]:
    """Whether each supernet is better than the best way to order archs without one."""
    from hwnas.reporting.units import words

    parts = [("all archs", found.whole), *([(f"the best {found.top.archs}", found.top)] if found.top else [])]
    return [
        f"{name}, {what}: τ less that of {words(part.best_baseline)}: {_shown(lead)}"
        for name in found.whole.leads
        for what, part in parts
        for lead in [part.leads[name]]
    ] + [f"the best of these archs has {found.best_accuracy:.2%}"]
