"""How much hypothesis tries: little and always the same in CI; `--hypothesis-profile=thorough` for a long look.

Tests marked `gpu` are left out where there is no CUDA device; `pytest -m gpu` runs them alone where there is one.
"""

import os

from hypothesis import HealthCheck, settings

SLOW_TO_DRAW = [HealthCheck.too_slow, HealthCheck.data_too_large]

settings.register_profile("everyday", deadline=None, max_examples=15, suppress_health_check=SLOW_TO_DRAW)
settings.register_profile("ci", settings.get_profile("everyday"), derandomize=True, database=None)
settings.register_profile("thorough", settings.get_profile("everyday"), max_examples=300)
settings.load_profile("ci" if os.environ.get("CI") else "everyday")

os.environ["SEQCOST_PROGRESS"] = (
    "0"  # a slow machine says more on standard error; tests/cli/test_waiting.py asks for it
)


def pytest_collection_modifyitems(config, items):
    marked = [item for item in items if item.get_closest_marker("gpu")]
    if not marked:
        return
    import torch  # the light tests do without

    if not torch.cuda.is_available():
        items[:] = [item for item in items if item not in set(marked)]
        config.hook.pytest_deselected(items=marked)
