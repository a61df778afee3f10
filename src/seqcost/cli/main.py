"""The `seqcost` command: verbs, one a file. A user's mistake is one sentence on stderr and exit code 2."""

import sys

import typer

from seqcost.cli import compare, count, explain, listing, results
from seqcost.errors import SeqcostError

app = typer.Typer(
    name="seqcost",
    help="What a sequence model costs: FLOPs, memory, traffic, depth and time, from formula, code and machine.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("list")(listing.list_command)
app.command("explain")(explain.explain_command)
app.command("count")(count.count_command)
app.command("compare")(compare.compare_command)
app.command("results")(results.results_command)


def main() -> None:
    """Run the command line."""
    try:
        app()
    except SeqcostError as error:
        print(f"seqcost: {error}", file=sys.stderr)  # noqa: T201  # the one place that speaks to stderr
        raise SystemExit(2) from None
    except BrokenPipeError:  # `seqcost … | head`
        sys.stderr.close()
        raise SystemExit(0) from None


if __name__ == "__main__":
    main()
