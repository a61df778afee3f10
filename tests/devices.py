"""Where the common suite runs: on the CPU, and once more on a GPU where there is one."""

import pytest

every_device = pytest.mark.parametrize("bench", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)], indirect=True)
