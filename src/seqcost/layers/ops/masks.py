"""What is added to the score of a pair that does not count."""

import torch


def hidden(dtype: torch.dtype) -> float:
    """Half the least number of a dtype.

    Not −∞: a query that sees nothing but padding gets a mean of it rather than NaN. Not the least number: a score below
    0 added to it would be −∞ in float16.
    """
    return torch.finfo(dtype).min / 2
