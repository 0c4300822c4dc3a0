"""The ``hwnas`` command: its verbs, in the order in which data flows."""

from __future__ import annotations

import os
import sys
import warnings
from typing import Annotated, Any

import typer

from hwnas.cli import arch, artifact, bench, demo, profile, rank, search, space, table, train
from hwnas.cli.console import open_streams, silence, write
from hwnas.errors import HwnasError, HwnasWarning, InputError
from hwnas.version import __version__

app = typer.Typer(
    name="hwnas",
    help="Finds, proves and ships the fastest accurate model for your device.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _version(show: bool) -> None:
    if show:
        print(__version__)
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


app.command("demo")(demo.demo)
app.add_typer(space.app, name="space")
app.command("count")(arch.count)
app.command("profile")(profile.profile)
app.add_typer(profile.kit_app, name="kit")
app.add_typer(table.app, name="table")
app.command("predict")(arch.predict)
app.command("train")(train.train)
app.command("rank")(rank.rank)
app.command("similarity")(train.similarity)
app.command("search", cls=search.SearchCommand)(search.search)
app.command("derive")(arch.derive)
app.command("export")(artifact.export)
app.command("bench")(bench.bench)
app.add_typer(artifact.app, name="artifact")
app.command("report")(demo.report)

_warning = warnings.formatwarning
_UsageError: type[Exception] = typer.BadParameter.__mro__[2]  # click's base class of them, which typer doesn't export


def main() -> None:
    """Run a verb; errors that a user can cause end in one line and their exit status."""
    # Before torch starts its threads: by default they spin where they wait for one another, and when another process
    # has one of their processors, each step takes tens of times longer than on one thread.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "FATAL")  # else a process that finds no others prints C++ frames
    warnings.formatwarning = _one_line
    open_streams()
    sys.exit(_outcome() or 0)


def _outcome() -> int | None:
    try:
        _refuse_odd_names()
        status = _run()
        write("")
        return status
    except HwnasError as error:
        return _fail(str(error), error.exit_status)
    except _UsageError as error:
        message = error.format_message() if hasattr(error, "format_message") else str(error)
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


def _run() -> int | None:
    try:
        return app(prog_name="hwnas", standalone_mode=False)  # type: ignore[no-any-return]
    except _UsageError as error:
        if type(error).__name__ != "NoArgsIsHelpError":  # of click, not exported either
            raise
        print(error)  # a noun alone asks for its help, which is the error's message
        return 0


def _one_line(message: Warning | str, category: type[Warning], *place: Any, **line: Any) -> str:
    """What somebody should know, without the place in the code; other people's warnings as ever."""
    return f"hwnas: {message}\n" if issubclass(category, HwnasWarning) else _warning(message, category, *place, **line)


def _refuse_odd_names() -> None:
    """Paths that aren't text could be opened, and not be written into any file of hwnas."""
    for word in (*sys.argv[1:], os.getcwd()):
        try:
            word.encode()
        except UnicodeEncodeError:
            raise InputError(f"{word!r} isn't {sys.getfilesystemencoding()} text; rename what is called so") from None


def _fail(message: str, status: int) -> int:
    try:
        print(f"hwnas: {' '.join(message.split())}", file=sys.stderr)
    except OSError:  # nobody reads on, or the disk that it goes to is full
        silence(sys.stderr)
    return status
