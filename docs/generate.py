"""Fill the generated blocks of the pages from the program, and draw the cost curves.

    python docs/generate.py             every block but the measured ones, and the pictures
    python docs/generate.py --check     exit 1 and name the pages that are stale; needs no torch
    python docs/generate.py --check --with-torch
    python docs/generate.py docs/zoo.md docs/mixers/mamba.md     only these pages
    python docs/generate.py --measure   also the blocks that need real runs: they differ from machine to machine
    scripts/demo --json | tail -n 1 > docs/demo.json    keeps a run of the demo, which the README shows
    seqcost compare --all … --measure --json > docs/all.json    the command stands on the page all.md

A block stands between two comments, the first of which names it: `<!-- generated: totals lstm-layer -->`, the last
is `<!-- end -->`. `generated with torch` marks what only a trace can answer, `measured` what only a run can. The
kinds of block are in blocks.py.
"""

import argparse
import re
import shlex
import sys
from pathlib import Path

import blocks
import kept_runs

DOCS = Path(__file__).parent
BLOCK = re.compile(
    r"(?P<head><!-- (?P<kind>generated|generated with torch|measured): (?P<name>.+?) -->\n).*?(?=<!-- end -->)",
    re.DOTALL,
)


def filled(page: str, kinds: set[str]) -> str:
    """The page with its blocks of these kinds made anew."""

    def block(found: re.Match[str]) -> str:
        if found["kind"] not in kinds:
            return found[0]
        function, *arguments = shlex.split(found["name"])
        return f"{found['head']}\n{blocks.BLOCKS[function](*arguments)}\n\n"

    return BLOCK.sub(block, page)


def pages() -> list[Path]:
    """Every page, in a stable order; the README too once a run of the demo is kept."""
    readme = [DOCS.parent / "README.md"] if kept_runs.is_kept("demo") else []
    return sorted(path for path in DOCS.rglob("*.md") if "_build" not in path.parts) + readme


def main() -> None:
    """Write or check."""
    parser = argparse.ArgumentParser(description="Fill the generated blocks of the pages.")
    parser.add_argument("--check", action="store_true", help="change nothing, name stale pages")
    parser.add_argument("--with-torch", action="store_true", help="check the traced blocks too")
    parser.add_argument("--measure", action="store_true", help="also what needs real runs")
    parser.add_argument("pages", nargs="*", type=Path, help="only these; pictures are left alone")
    asked = parser.parse_args()
    kinds = {"generated"}
    if asked.with_torch or not asked.check:
        kinds.add("generated with torch")
    if asked.measure:
        kinds.add("measured")
    stale = []
    for path in [page.resolve() for page in asked.pages] or pages():
        before = path.read_text("utf-8")
        after = filled(before, kinds)
        if after == before:
            continue
        stale.append(path.relative_to(DOCS.parent).as_posix())
        if not asked.check:
            path.write_text(after, "utf-8")
    if asked.check and stale:
        sys.exit(f"stale: {', '.join(stale)}; run python docs/generate.py")
    if not asked.check:
        if not asked.pages:
            import drawings

            drawings.draw_all(DOCS / "pictures")
        print(f"written: {', '.join(stale) or 'no page'}{'' if asked.pages else '; pictures drawn'}")


if __name__ == "__main__":
    main()
