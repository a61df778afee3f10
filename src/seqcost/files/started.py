"""The process that reads one file; started by `child`, never imported by the program.

One JSON value goes to standard output: {"found": plain data}, or {"error": its type, "says": one sentence}.
"""

import importlib
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from seqcost.errors import SeqcostError
from seqcost.files.confinement import confine


def main(order: Mapping[str, Any]) -> None:
    """Read the file and say what stands in it."""
    answers = os.dup(1)
    os.dup2(2, 1)  # what a library prints is no answer
    answer: dict[str, Any]
    try:
        module, _, name = order["reader"].partition(":")
        reader = getattr(importlib.import_module(module), name)
        confine(memory_bytes=order["memory_bytes"], cpu_s=order["cpu_s"])
        answer = {"found": reader(Path(order["path"]), order["name"])}
        said = json.dumps(answer)
    except SeqcostError as error:
        said = json.dumps({"error": type(error).__name__, "says": str(error)})
    except MemoryError:
        answer = {}  # let go of what there is, to be able to speak
        limit = order["memory_bytes"] / 2**30
        says = f"reading {order['name']} takes over {limit:.3g} GiB; it is spoilt or too large: export it anew."
        said = json.dumps({"error": "BadTarget", "says": says})
    with os.fdopen(answers, "w", encoding="utf-8") as out:
        out.write(said)
    sys.stdout.flush()
    os._exit(0)
