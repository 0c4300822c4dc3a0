"""``hwnas rank``."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from hwnas.cli.console import JsonOption, SeedOption, command, print_result
from hwnas.errors import StoppedError, counted
from hwnas.progress import ProgressBars

if TYPE_CHECKING:
    from hwnas.records.rank import Correlations, Estimate, Part, Ranking, RankRecord

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
        int | None, typer.Option(min=10, help="Archs to draw from the truth; 200, or all of fewer, when absent.")
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
    from hwnas.flow import rank as flow

    try:
        with ProgressBars() as progress:
            found = flow.rank(
                runs, truth=truth, standalone=standalone, archs=archs, images=images,
                recalibration_images=recalibration_images, config=config, work=work, output=output, seed=seed,
                progress=progress,
            )  # fmt: skip
    except KeyboardInterrupt:
        if standalone is None:
            raise
        raise StoppedError(f"stopped; the same command goes on: {command(*sys.argv[1:])}") from None
    print_result(
        _result(found),
        as_json,
        f"{found.by_accuracy.whole.archs} archs of {found.space.name}; true accuracies: {found.truth}; "
        "in brackets 95 % intervals",
        *_table(found).splitlines(),
        *_remarks(found),
        f"arch by arch: {', '.join(str(run / 'rank.csv') for run in runs)}",
        *([f"page: {output}"] if output else []),
    )


def _result(found: RankRecord) -> dict[str, Any]:
    """For JSON: the first run at the top as well."""
    ranking, whole, top = found.by_accuracy, found.by_accuracy.whole, found.by_accuracy.top
    others = {"by_loss": found.by_loss, "by_loss_additive": found.by_loss_additive}
    runs = [
        {"run": name, **_row(ranking, name), **{how: _row(other, name) for how, other in others.items()}}
        for name in whole.leads
    ]
    return {
        **runs[0],
        "archs": whole.archs,
        "top_archs": top and top.archs,
        "best_accuracy": ranking.best_accuracy,
        "ceiling": whole.ceiling and _pair(whole.ceiling),
        "top_ceiling": top and top.ceiling and _pair(top.ceiling),
        "runs": runs,
        "baselines": {name: _row(ranking, name) for name in whole.correlations if name not in whole.leads},
        "truth": {"file": str(found.truth), "archs": found.truth_archs, "trainings": found.truth_trainings},
        "seed": found.seed,
    }


def _row(ranking: Ranking, name: str) -> dict[str, Any]:
    picks = ranking.picks[name]
    return {
        **_of_part(ranking.whole, name),
        "top": ranking.top and _of_part(ranking.top, name),
        "top_1_accuracy": picks.top_1,
        "top_1_regret": ranking.best_accuracy - picks.top_1,
        "top_10_accuracy": picks.top_10,
        "top_10_regret": ranking.best_accuracy - picks.top_10,
    }


def _of_part(part: Part, name: str) -> dict[str, Any]:
    row = _pair(part.correlations[name])
    if name in part.leads:
        row |= {"best_baseline": part.best_baseline, **_with_interval("lead", part.leads[name])}
    return row


def _pair(found: Correlations) -> dict[str, Any]:
    return _with_interval("kendall_tau", found.kendall_tau) | _with_interval("spearman", found.spearman)


def _with_interval(name: str, estimate: Estimate) -> dict[str, Any]:
    return {name: estimate.value, f"{name}_interval": [estimate.low, estimate.high]}


def _table(record: RankRecord) -> str:
    """All supernets and baselines, a row each, and what one training says of another below them."""
    from hwnas.evaluation.interval import plus_minus
    from hwnas.reporting.units import words

    found, images = record.by_accuracy, record.truth_images
    others = {"by loss": record.by_loss, "by loss, additive": record.by_loss_additive}
    top = f"τ, best {found.top.archs}" if found.top else "τ, best fifth"
    table = Table("ordered by", "Kendall τ", "Spearman ρ", top, "first pick", "best of 10 picks", box=SIMPLE)
    rows = {name: (found, name) for name in found.whole.leads}
    rows |= {f"{name}, {how}": (ranking, name) for how, ranking in others.items() for name in found.whole.leads}
    rows |= {words(name): (found, name) for name in found.whole.correlations if name not in found.whole.leads}
    whole = found.whole
    for index, (shown, (ranking, name)) in enumerate(rows.items(), start=1):
        correlations, picks = ranking.whole.correlations[name], ranking.picks[name]
        of_top = ranking.top.correlations[name] if ranking.top else None
        table.add_row(
            shown, _tau(correlations), _shown(correlations.spearman), _tau(of_top),
            plus_minus(picks.top_1, images), plus_minus(picks.top_10, images),
            end_section=index == (1 + len(others)) * len(whole.leads),
        )  # fmt: skip
    if whole.ceiling:
        of_top = found.top.ceiling if found.top else None
        table.add_row("another training", _tau(whole.ceiling), _shown(whole.ceiling.spearman), _tau(of_top))
    text = io.StringIO()
    width = None if sys.stdout.isatty() else _FILE_WIDTH
    Console(file=text, width=width, markup=False, emoji=False, highlight=False, no_color=True).print(table)
    return text.getvalue()


def _tau(found: Correlations | None) -> str:
    return _shown(found.kendall_tau) if found else "too few"


def _shown(estimate: Estimate) -> str:
    if estimate.low is None:
        return "not defined"
    return f"{estimate.value:.3f} [{estimate.low:.2f}, {estimate.high:.2f}]"


def _remarks(record: RankRecord) -> list[str]:
    """Whether each supernet is better than the best way to order archs without one."""
    from hwnas.evaluation.interval import plus_minus, wilson
    from hwnas.reporting.units import words

    found = record.by_accuracy
    images, points = record.images, 100 * (0.5 - wilson(0.5, record.images)[0])  # the widest
    parts = {"all archs": found.whole, **({f"the best {found.top.archs}": found.top} if found.top else {})}
    return [
        f"{name}, {what}: τ less that of {words(part.best_baseline)}: {_shown(part.leads[name])}"
        for name in found.whole.leads
        for what, part in parts.items()
    ] + [
        f"the best of these archs has {plus_minus(found.best_accuracy, record.truth_images)}",
        f"an inherited accuracy of {counted(images, 'validation image')} is known to ±{points:.2f} points or better",
    ]
