"""A file read in a process of its own: what its parsing takes, or breaks, is not ours.

The process gets the kind and the path, and answers with one JSON value: plain data, or a sentence of refusal. Its
memory and its processor time are limited, it has no network and cannot write (see confinement). Not covered: macOS
holds no limit of memory, Windows none but that of time.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from seqcost.errors import BadTarget, MissingExtra, RunFailed

# What reads a kind of file; each takes the path and returns what JSON can hold.
READERS = {
    "json": "seqcost.files.json_text:read_json",
    "safetensors": "seqcost.files.safetensors_header:read_header",
    "exported-program": "seqcost.files.program_archive:read_program",
    "onnx": "seqcost.files.onnx_model:read_model",
}
CPU_S = 45  # of the reading process; a file of 2 GiB takes a few seconds
WALL_S = 240.0  # a machine may be busy
MEMORY_BYTES = 2**30
_SHARE = {"onnx": 3}  # of the file's own size, where all of it is read: weights lie inside
_BEGIN = "import json, sys; order = json.loads(sys.argv[1]); sys.path += order['import_path']; \
from seqcost.files.started import main; main(order)"
_QUIET = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


def read(kind: str, path: Path) -> Any:
    """What stands in a file, as plain data.

    Raises BadTarget where it is no such file, is spoilt, or asks for more time or memory than reading it may take;
    MissingExtra where a package is needed to read it; RunFailed where no process can be started.
    """
    try:
        size = path.stat().st_size
    except (OSError, ValueError) as error:  # a name with a zero byte is a ValueError
        raise BadTarget(f"{path} cannot be read ({error}); name a file that is there.") from None
    here = Path.cwd()
    order = {
        "reader": READERS[kind],
        "path": str(path.absolute()),
        "name": str(path),
        # The current folder is no place to import from.
        "import_path": [entry for entry in sys.path if entry and Path(entry).absolute() != here],
        "memory_bytes": MEMORY_BYTES + _SHARE.get(kind, 0) * size,
        "cpu_s": CPU_S,
    }
    command = [sys.executable, "-P", "-c", _BEGIN, json.dumps(order)]
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, **_QUIET},
            start_new_session=True,
        )
    except OSError as error:
        raise RunFailed(f"cannot start {sys.executable}: {error.strerror}.") from error
    with process:
        try:
            said, wrong = process.communicate(timeout=WALL_S)
        except BaseException as error:
            process.kill()
            if isinstance(error, subprocess.TimeoutExpired):
                raise _too_much(path, f"over {WALL_S:.0f} s") from None
            raise
    return _taken(path, said, wrong, process.returncode)


def _taken(path: Path, said: bytes, wrong: bytes, code: int) -> Any:
    if not said:
        assert code != 1, wrong[-2000:].decode(errors="replace")  # Python ended it: a fault of ours
        raise _too_much(path, f"over {CPU_S} s or more memory than may be taken")
    answer = json.loads(said)
    if "found" in answer:
        return answer["found"]
    error = MissingExtra if answer["error"] == "MissingExtra" else BadTarget
    raise error(answer["says"])


def _too_much(path: Path, what: str) -> BadTarget:
    return BadTarget(f"reading {path} took {what}; it is spoilt or too large: export or download it again.")
