"""The ``hwnas`` command: its verbs, in the order in which data flows."""

from __future__ import annotations

import difflib
import os
import sys
import warnings
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from hwnas.cli import arch, artifact, bench, demo, diff, profile, rank, search, space, table, train
from hwnas.cli.console import open_streams, silence, write
from hwnas.errors import HwnasError, HwnasWarning, InputError, printable
from hwnas.version import __version__


class _StepsGroup(TyperGroup):
    """Verbs under the step that they are of (``rich_help_panel``), in the order in which they were added."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        sections: dict[str, list[tuple[str, str]]] = {}
        for name in self.list_commands(ctx):
            command: Any = self.get_command(ctx, name)
            sentence = command.get_short_help_str(limit=1000)  # in place of what fits a line, and an ellipsis
            sections.setdefault(command.rich_help_panel or "Commands", []).append((name, sentence))
        for title, rows in sections.items():
            with formatter.section(title):
                formatter.write_dl(rows)


app = typer.Typer(
    name="hwnas",
    cls=_StepsGroup,
    help="Finds, proves and ships the fastest accurate model for your device.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _version(show: bool) -> None:
    if show:
        write(f"{__version__}\n")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


_MEASURE, _TRAIN, _SEARCH, _SHIP, _ALL = (
    "Measure (what networks take on a device)",
    "Train (one supernet for all archs)",
    "Search (the best archs within budgets)",
    "Ship (a network, checked and timed)",
    "All of it",
)
app.command("demo", rich_help_panel=_ALL)(demo.demo)
app.command("report", rich_help_panel=_ALL)(demo.report)
app.command("profile", rich_help_panel=_MEASURE)(profile.profile)
app.add_typer(profile.kit_app, name="kit", cls=_StepsGroup, rich_help_panel=_MEASURE)
app.add_typer(table.app, name="table", cls=_StepsGroup, rich_help_panel=_MEASURE)
app.command("count", rich_help_panel=_MEASURE)(arch.count)
app.command("predict", rich_help_panel=_MEASURE)(arch.predict)
app.command("train", rich_help_panel=_TRAIN)(train.train)
app.command("rank", rich_help_panel=_TRAIN)(rank.rank)
app.command("similarity", rich_help_panel=_TRAIN)(train.similarity)
app.add_typer(space.app, name="space", cls=_StepsGroup, rich_help_panel=_SEARCH)
app.command("search", cls=search.SearchCommand, rich_help_panel=_SEARCH)(search.search)
app.command("derive", rich_help_panel=_SHIP)(arch.derive)
app.command("export", rich_help_panel=_SHIP)(artifact.export)
app.command("bench", rich_help_panel=_SHIP)(bench.bench)
app.command("diff", rich_help_panel=_SHIP)(diff.diff)
app.add_typer(artifact.app, name="artifact", cls=_StepsGroup, rich_help_panel=_SHIP)

_warning = warnings.formatwarning
_UsageError: type[Exception] = typer.BadParameter.__mro__[2]  # click's base class of them, which typer doesn't export


def main() -> None:
    """Run a verb; errors that a user can cause end in one line and their exit status."""
    # Before torch starts its threads: by default they spin where they wait for one another, and when another process
    # has one of their processors, each step takes tens of times longer than on one thread.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "FATAL")  # else a process that finds no others prints C++ frames
    warnings.formatwarning = _one_line
    sys.exit(_outcome() or 0)


def _outcome() -> int | None:
    try:
        open_streams()
        _refuse_odd_names()
        status = _run()
        write("")
        return _fail("interrupted", status) if status == 130 else status  # typer's silent answer to Ctrl-C
    except HwnasError as error:
        return _fail(str(error), error.exit_status)
    except _UsageError as error:
        message = _usage(error)
        context = getattr(error, "ctx", None)
        return _fail(f"{message} (see {context.command_path if context else 'hwnas'} --help)", 2)
    except BrokenPipeError:
        silence(sys.stderr)  # nobody is there to be told of the rest, which wasn't done
        return 1
    except OSError as error:
        where = f" {error.filename}" if error.filename else ""
        return _fail(f"can't use{where}: {error.strerror or error}", 2)
    except (KeyboardInterrupt, typer.Abort):
        return _fail("interrupted", 130)


def _usage(error: Any) -> str:
    """What is wrong with the words; of an unknown option the nearest, where there is one near."""
    if type(error).__name__ != "NoSuchOption":  # of click, which typer doesn't export
        return error.format_message() if hasattr(error, "format_message") else str(error)
    options = {option.lstrip("-"): option for option in error.possibilities or ()}
    near = difflib.get_close_matches(error.option_name.lstrip("-"), options, n=1, cutoff=0.7)
    return f"No such option: {error.option_name}" + "".join(f"; did you mean {options[name]}?" for name in near)


def _run() -> int | None:
    try:
        return app(prog_name="hwnas", standalone_mode=False)  # type: ignore[no-any-return]
    except _UsageError as error:
        if type(error).__name__ != "NoArgsIsHelpError":  # of click, not exported either
            raise
        write(f"{error}\n")  # a noun alone asks for its help, which is the error's message
        return 0
    except OSError as error:
        if not error.filename:
            write("")  # says so where it was help that couldn't be written
        raise


def _one_line(message: Warning | str, category: type[Warning], *place: Any, **line: Any) -> str:
    """What somebody should know, without the place in the code; other people's warnings as ever."""
    if issubclass(category, HwnasWarning):
        return f"hwnas: {printable(str(message))}\n"
    return _warning(message, category, *place, **line)


def _refuse_odd_names() -> None:
    """Paths that aren't text could be opened, and not be written into any file of hwnas."""
    for word in (*sys.argv[1:], os.getcwd()):
        try:
            word.encode()
        except UnicodeEncodeError:
            raise InputError(f"{word!r} isn't {sys.getfilesystemencoding()} text; rename what is called so") from None


def _fail(message: str, status: int) -> int:
    try:
        print(f"hwnas: {printable(' '.join(message.split()))}", file=sys.stderr)
    except OSError:  # nobody reads on, or the disk that it goes to is full
        silence(sys.stderr)
    return status
