"""One started process, from its orders to its answers, within limits.

The process leads a group of its own, gets a line of JSON a job on standard input, the next one when the answer to the
last is there, and answers in such lines on a pipe of its own; what it prints is thrown away, and the last words on its
standard error explain an end without an answer. The memory that its whole tree holds is looked at every LOOK_EVERY_S.
Not covered: Windows, which has no process groups and inherits no descriptors.
"""

import json
import os
import secrets
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from typing import IO, Any, Self

from seqcost.errors import RunFailed
from seqcost.measure.limits import Limits
from seqcost.measure.load import Load
from seqcost.measure.tree import Tree

LOOK_EVERY_S = 0.05
QUIET = {"KINETO_LOG_LEVEL": "99", "TORCH_CPP_LOG_LEVEL": "ERROR"}  # their notes would hide the module's last words


@dataclass
class Answer:
    """What the process told of one job, and why there is no more of it."""

    facts: dict[str, Any] = field(default_factory=dict)
    status: str | None = None  # set when it was stopped, died or reported a failure
    reason: str | None = None
    highest_bytes: int | None = None  # most resident memory that was seen
    other_cores: float | None = None  # cores that other processes kept busy meanwhile
    key: str = ""  # what its lines begin with: the module may write to the pipe, too

    @property
    def is_complete(self) -> bool:
        """Whether the last line came: the failure, or the peak, which is measured last."""
        return self.status is not None or "peak_allocated_bytes" in self.facts

    @property
    def is_good(self) -> bool:
        """Whether all went well, so that the process can take another job."""
        return self.status is None and self.is_complete

    def read(self, line: bytes) -> None:
        """Take in one line, if it is the worker's own."""
        key, _, text = line.partition(b" ")
        if key != self.key.encode():
            return
        facts = json.loads(text)
        self.status, self.reason = facts.pop("status", None), facts.pop("reason", None)
        self.facts |= facts


class Worker:
    """A started process that runs one job after another; `with Worker(environ) as worker:`.

    Nothing of it is left behind at the end, nor after a job that was stopped or failed: then `is_gone`, and the next
    job needs another.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._kept = ExitStack()
        self._unread = b""
        self._jobs = 0
        self.is_gone = False

    def __enter__(self) -> Self:
        with ExitStack() as kept:
            self._stderr = kept.enter_context(tempfile.TemporaryFile())
            self._load = Load(lambda: 0.0)  # from before its start: loading PyTorch is part of the first job
            self._process, self._pipe = kept.enter_context(_started(self._environ, self._stderr))
            self._tree = Tree(self._process.pid)
            self._kept = kept.pop_all()
        self._load.started = self._tree.cpu_s
        return self

    def __exit__(self, *error: object) -> None:
        self._tree.kill()
        self._kept.close()

    def ask(self, order: Mapping[str, Any], limits: Limits) -> Answer:
        """Give an order, and wait for its answer, the end of the process or a limit.

        The limit of time counts from here, of the first job from the start of the process.
        """
        assert not self.is_gone
        answer = Answer(key=secrets.token_hex(16))
        if self._jobs:
            self._load, self._tree.highest_bytes = Load(self._tree.cpu_s), 0
        self._jobs += 1
        stdin = self._process.stdin
        assert stdin is not None
        with suppress(BrokenPipeError):  # it ended already; its end will be explained
            stdin.write(json.dumps({**order, "key": answer.key}).encode() + b"\n")
            stdin.flush()
        try:
            self._watch(limits, answer)
        finally:
            if not answer.is_good:
                self._tree.kill()
                self.is_gone = True
        if not answer.is_complete:
            answer.status, answer.reason = _end(self._process.wait(), self._tree, self._stderr)
        answer.highest_bytes = self._tree.highest_bytes or None
        answer.other_cores = self._load.others()
        return answer

    def _watch(self, limits: Limits, answer: Answer) -> None:
        """Read until the answer is complete, the process has ended, or it passes a limit."""
        process, pipe, tree, start_s = self._process, self._pipe, self._tree, time.monotonic()
        with selectors.DefaultSelector() as selector:
            selector.register(pipe, selectors.EVENT_READ)
            while not answer.is_complete:
                has_ended = process.poll() is not None  # asked before reading, so that nothing it wrote is missed
                if selector.get_map():
                    selector.select(timeout=LOOK_EVERY_S)
                    with suppress(BlockingIOError):
                        read = os.read(pipe, 1 << 20)
                        if not read:
                            selector.unregister(pipe)  # closed: only its end can follow
                        *lines, self._unread = (self._unread + read).split(b"\n")
                        for line in lines:
                            answer.read(line)
                else:
                    time.sleep(LOOK_EVERY_S)
                if has_ended or answer.is_complete:
                    return
                held_bytes, passed_s = tree.resident_bytes(), time.monotonic() - start_s
                if held_bytes > limits.memory_bytes:
                    answer.status = "memory"
                    answer.reason = (
                        f"stopped at the memory limit of {_gib(limits.memory_bytes)}: it held {_gib(held_bytes)} "
                        f"after {passed_s:.1f} s."
                    )
                elif passed_s > limits.time_s:
                    most = _gib(tree.highest_bytes)
                    answer.status = "timeout"
                    answer.reason = f"stopped at the time limit of {limits.time_s:g} s; it had held {most} at most."


@contextmanager
def _started(environ: Mapping[str, str], stderr: IO[bytes]) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    ours, theirs = os.pipe()
    os.set_blocking(ours, False)
    # -P: the current folder is no place to import from, or a copy.py that lies there would be run
    command = [sys.executable, "-P", "-m", "seqcost.measure.worker", "--result-fd", str(theirs)]
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            pass_fds=[theirs],
            start_new_session=True,
            env={**QUIET, **os.environ, **environ},
        )
    except OSError as error:
        os.close(ours)
        raise RunFailed(f"cannot start {sys.executable}: {error.strerror}.") from error
    finally:
        os.close(theirs)
    assert process.stdin is not None
    try:
        yield process, ours
    finally:
        process.kill()
        process.wait()
        with suppress(BrokenPipeError):
            process.stdin.close()
        os.close(ours)


def _end(code: int, tree: Tree, stderr: IO[bytes]) -> tuple[str, str]:
    """Status and sentence for a process that ended by itself before its last line."""
    if code == -signal.SIGKILL:
        held = _gib(tree.highest_bytes)
        return "memory", f"killed by the system, most likely for want of memory; it held {held} when last seen."
    end = f"by {_signal_name(-code)}" if code < 0 else f"with exit code {code}"
    stderr.seek(max(0, stderr.seek(0, os.SEEK_END) - 4096))
    words = stderr.read().decode(errors="replace").strip().splitlines()
    said = f": {words[-1].strip()[:300]}" if words else "."
    return "failed", f"the process ended {end} before it gave a result{said}"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # real-time signals have no name
        return f"signal {number}"


def _gib(num_bytes: int) -> str:
    return f"{num_bytes / 2**30:.2f} GiB"
