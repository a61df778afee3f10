"""DeltaNet: linear attention whose state is corrected by the delta rule, behind a short convolution.

Keys and queries have length 1, so that β = 1 replaces what the state says under a key, and β = 0 leaves it. Parallel
within chunks of C tokens, recurrent from chunk to chunk; a decoding step is the recurrence itself.
"""

from dataclasses import dataclass
from typing import ClassVar

from seqcost.formulas.parts.delta import Delta


@dataclass(frozen=True, kw_only=True)
class DeltaNet(Delta):
    """Linear attention with the delta rule: each token corrects what the state says under its key.

    D width · H heads · K width of a key (default D/H) · V width of a value (default K) · C chunk ·
    k taps of the short convolution.
    """

    SOURCE: ClassVar[str] = (
        "Yang et al. 2024, arXiv 2406.06484, sections 2.2, 3.2 (the chunks) and 3.3 (the layer); the rule: Schlag et "
        "al. 2021, arXiv 2102.11174"
    )
    EQUATIONS: ClassVar[tuple[str, ...]] = (
        r"[q, k, v] = \mathrm{SiLU}(\mathrm{conv}_k(x\, [W_q, W_k, W_v])),\quad \beta = \sigma(x W_\beta)",
        r"\hat q = q/|q|,\quad \hat k = k/|k|",
        r"S_t = (I - \beta_t \hat k_t \hat k_t^\top)\, S_{t-1} + \beta_t \hat k_t v_t^\top",
        r"y_t = \mathrm{RMSNorm}(S_t^\top \hat q_t)\, W_o",
    )
