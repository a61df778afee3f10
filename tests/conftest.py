"""How much hypothesis tries: little and always the same in CI; `--hypothesis-profile=thorough` for a long look."""

import os

from hypothesis import HealthCheck, settings

SLOW_TO_DRAW = [HealthCheck.too_slow, HealthCheck.data_too_large]

settings.register_profile("everyday", deadline=None, max_examples=15, suppress_health_check=SLOW_TO_DRAW)
settings.register_profile("ci", settings.get_profile("everyday"), derandomize=True, database=None)
settings.register_profile("thorough", settings.get_profile("everyday"), max_examples=300)
settings.load_profile("ci" if os.environ.get("CI") else "everyday")
