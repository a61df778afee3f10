import subprocess
import sys

import psutil
import pytest

from seqcost.measure.tree import Tree

MIB = 2**20

GROWS = """
import psutil
from seqcost.measure.resident import forget_peak, peak_resident_bytes
MIB = 2**20
held = b"x" * (300 * MIB); del held
before = peak_resident_bytes()
forget_peak()
now = psutil.Process().memory_info().rss
held = b"x" * (100 * MIB); del held
print(before, now, peak_resident_bytes())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can forget a peak")
def test_the_peak_is_that_since_it_was_last_forgotten():
    ended = subprocess.run([sys.executable, "-c", GROWS], capture_output=True, text=True, check=True)
    before, now, peak = map(int, ended.stdout.split())
    assert before > 300 * MIB
    assert peak - now == pytest.approx(100 * MIB, rel=0.05)


def test_a_tree_counts_its_children_and_is_killed_whole():
    child = f"held = b'x' * (200 * {MIB}); print(1, flush=True); import time; time.sleep(60)"
    command = [sys.executable, "-c", f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as process:
        process.stdout.readline()
        tree = Tree(process.pid)
        assert tree.resident_bytes() > 200 * MIB
        assert tree.highest_bytes > 200 * MIB
        members = [psutil.Process(process.pid), *psutil.Process(process.pid).children()]
        assert len(members) == 2
        tree.kill()
        process.wait(timeout=10)
    _, alive = psutil.wait_procs(members, timeout=10)
    assert not alive
    assert tree.resident_bytes() == 0
