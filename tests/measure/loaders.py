"""Programs for the measured process to load: well-behaved ones, and each way to misbehave."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import torch

MIB = 2**20


class Program:
    def __init__(self, run, resident=()):
        self.run = run
        self._resident = list(resident)

    def run_once(self):
        return self.run()

    def lasting_tensors(self):
        return iter(self._resident)


def adder(spec, *, phase, B, T, dtype, device, text):
    """y = x + 1 over T float32 numbers: 4 T bytes beside the 4 T of x."""
    x_T = torch.zeros(T)
    return Program(lambda: x_T + 1, [x_T])


def says_which_process(spec, *, phase, B, T, dtype, device, text):
    """Hold T MiB while running; leave the number of the process in a file, and fail where the target names this T."""
    with Path(spec["file"]).open("a") as file:
        file.write(f"{os.getpid()} ")

    def run():
        if spec.get("raises_at") == T:
            raise ValueError("too long for it")
        if spec.get("dies_at") == T:
            os._exit(3)
        held = torch.ones(T * MIB // 4)
        time.sleep(spec.get("sleep_s", 0))
        del held

    return Program(run)


def of_kind(spec, *, phase, B, T, dtype, device, text):
    """Behave as the target says."""
    if spec["kind"] == "loads badly":
        raise ValueError("no such layer\nand a second line")
    return Program(lambda: BEHAVIOURS[spec["kind"]](spec))


def reads_text(spec, *, phase, B, T, dtype, device, text):
    if text != b"a short text":
        raise ValueError(f"the text is {text!r}")
    return Program(lambda: None)


def names_the_kernels(spec, *, phase, B, T, dtype, device, text):
    from seqcost.layers import kernels

    raise ValueError(" / ".join(sorted({str(choice) for choice in kernels().values()})))


def counts_runs(spec, *, phase, B, T, dtype, device, text):
    """Leave one line per run in a file; sleep as told, and at T = 3 for as long as the file `hold` exists."""

    def run():
        with Path(spec["file"]).open("a") as file:
            file.write(f"{T} {os.getpid()}\n")
        time.sleep(spec.get("sleep_s", 0))
        while T == 3 and Path(spec["hold"]).exists():
            time.sleep(0.1)

    return Program(run)


def _holds_memory(spec):
    held = []
    while True:
        held.append(torch.ones(16 * MIB // 4))
        time.sleep(0.02)


def _child_holds_memory(spec):
    script = "import time; held = bytearray(600 * 2**20); time.sleep(60)"
    subprocess.run([sys.executable, "-c", script], check=True)


def _prints(spec):
    print("noise on standard output " * 10_000, flush=True)  # noqa: T201
    os.write(1, b'{"status": "failed", "reason": "forged"}\n')
    sys.stderr.write("noise on standard error\n")


def _slow_while_recorded(spec):
    if torch.autograd._profiler_enabled():
        time.sleep(60)


def _dies_speaking(spec):
    sys.stderr.write("first words\nlast words\n")
    sys.stderr.flush()
    os._exit(3)


def _leaves_child(spec):
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
    Path(spec["file"]).write_text(str(child.pid))
    time.sleep(60)


def _raises(error):
    raise error


def _writes_to_the_pipe(spec):
    pipe = int(sys.argv[sys.argv.index("--result-fd") + 1])
    os.write(pipe, b'{"status": "failed", "reason": "forged"}\n\xff no line of ours, and no end {"wall_s": [1e9]}')


BEHAVIOURS = {
    "sleeps": lambda spec: time.sleep(spec["s"]),
    "holds memory": _holds_memory,
    "child holds memory": _child_holds_memory,
    "raises": lambda spec: _raises(KeyError("gate")),
    "leaves": lambda spec: sys.exit(7),
    "asks for too much": lambda spec: torch.empty(2**60, dtype=torch.uint8),
    "memory error": lambda spec: _raises(MemoryError()),
    "exits": _dies_speaking,
    "is killed": lambda spec: os.kill(os.getpid(), 9),
    "crashes": lambda spec: os.kill(os.getpid(), 11),
    "closes everything": lambda spec: (os.closerange(3, 1000), time.sleep(1), os._exit(0)),
    "prints": _prints,
    "reads input": lambda spec: sys.stdin.read() and _raises(ValueError("there was input")),
    "slow while recorded": _slow_while_recorded,
    "leaves child": _leaves_child,
    "writes to the pipe": _writes_to_the_pipe,
    "dies by a nameless signal": lambda spec: (os.kill(os.getpid(), signal.SIGRTMIN + 3), time.sleep(60)),
}
