import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WITHOUT_TORCH = """
import runpy, sys
sys.modules["torch"] = None
sys.path.insert(0, "docs")
sys.argv = ["docs/generate.py", "--check"]
runpy.run_path("docs/generate.py", run_name="__main__")
"""


def check(*options, root=ROOT):
    command = [sys.executable, "docs/generate.py", "--check", *options]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_pages_are_current_and_need_no_torch():
    ended = subprocess.run([sys.executable, "-c", WITHOUT_TORCH], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr


@pytest.mark.slow
def test_traced_blocks_are_current():
    ended = check("--with-torch")
    assert ended.returncode == 0, ended.stderr


def test_a_stale_page_is_named(tmp_path):
    shutil.copytree(ROOT / "docs", tmp_path / "docs", ignore=shutil.ignore_patterns("_build"))
    for folder in ("benchmarks", "src"):
        (tmp_path / folder).symlink_to(ROOT / folder)
    for file in ("pyproject.toml", "README.md"):
        (tmp_path / file).symlink_to(ROOT / file)
    page = tmp_path / "docs" / "stacks" / "presets.md"
    page.write_text(page.read_text("utf-8").replace("124,439,808", "124,000,000"), "utf-8")
    ended = check("docs/stacks/presets.md", "docs/index.md", root=tmp_path)
    assert ended.returncode == 1
    assert ended.stderr.strip() == "stale: docs/stacks/presets.md; run python docs/generate.py"
