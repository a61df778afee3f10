"""The `seqcost` command: verbs, one per file. A user's mistake is one sentence on stderr and exit code 2."""

import contextlib
import errno
import sys
import warnings
from typing import Annotated, Any, TextIO

import typer

from seqcost import __version__
from seqcost.cli import (
    calibrate,
    check,
    check_architecture,
    claims,
    compare,
    count,
    diff,
    explain,
    fit,
    listing,
    machines,
    measure,
    predict,
    results,
)
from seqcost.cli.streams import spell_what_is_missing
from seqcost.errors import SeqcostError, SeqcostWarning
from seqcost.foreign import harmless, harmless_lines

app = typer.Typer(
    name="seqcost",
    help="What a sequence model costs: FLOPs, memory, traffic, depth and time, from formula, code and machine.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"seqcost {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="print the version and stop")
    ] = False,
) -> None:
    # Options of the command itself; its help is the app's.
    pass


app.command("list")(listing.list_command)
app.command("explain")(explain.explain_command)
app.command("count")(count.count_command)
app.command("predict")(predict.predict_command)
app.command("fit")(fit.fit_command)
app.command("diff")(diff.diff_command)
app.command("check")(check.check_command)
app.command("check-architecture")(check_architecture.check_architecture_command)
app.command("compare")(compare.compare_command)
app.command("measure")(measure.measure_command)
app.command("claims")(claims.claims_command)
app.command("machines")(machines.machines_command)
app.command("calibrate")(calibrate.calibrate_command)
app.command("results")(results.results_command)


# typer brings click inside; this is its class for a command line that cannot be read.
_UsageError: Any = typer.BadParameter.__base__
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # no room on the disk, or none for this user or file
_INTERRUPTED = 130  # 128 + SIGINT, as shells count


def _say(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Our own warnings as a sentence; those of others as Python shows them."""
    ours = issubclass(category, SeqcostWarning)
    said = f"seqcost: {message}" if ours else warnings.formatwarning(message, category, filename, lineno, line)
    print(harmless_lines(said), file=file or sys.stderr)


def main() -> None:
    """Run the command line; the exit code is the command's own, 2 for a user's mistake, 130 for Ctrl-C."""
    spell_what_is_missing()
    warnings.showwarning = _say
    try:
        code = app(standalone_mode=False)
        if sys.stdout is not None:
            sys.stdout.flush()  # what cannot be written is told here, not while Python ends
    except _UsageError as error:
        command = error.ctx.command_path if error.ctx else "seqcost"
        message = harmless(error.format_message().rstrip("."))
        print(f"seqcost: {message}; see {command} --help." if message else error.ctx.get_help(), file=sys.stderr)  # noqa: T201
        raise SystemExit(2) from None
    except SeqcostError as error:
        print(f"seqcost: {error}", file=sys.stderr)  # noqa: T201  # the one place that speaks to stderr
        raise SystemExit(2) from None
    except BrokenPipeError:  # `seqcost … | head`
        sys.stderr.close()
        raise SystemExit(0) from None
    except OSError as error:
        if error.errno not in _FULL:
            raise
        print(f"seqcost: cannot write the answer ({error.strerror}): make room, or write elsewhere.", file=sys.stderr)  # noqa: T201
        with contextlib.suppress(OSError):
            sys.stdout.close()  # and what is left in its buffer with it
        raise SystemExit(2) from None
    except (KeyboardInterrupt, typer.Abort):  # newer typer returns 130 itself
        code = _INTERRUPTED
    if code == _INTERRUPTED:
        print("seqcost: interrupted.", file=sys.stderr)  # noqa: T201
    raise SystemExit(code)


if __name__ == "__main__":
    main()
