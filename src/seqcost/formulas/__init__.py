"""What theory says: a frozen config for each architecture, and its cost by line. No torch.

Letters, everywhere, in code, docs and tensors:

B batch            T sequence         S source, keys      P tokens already in the state
D width            H heads            G key/value heads   K head width of keys    V head width of values
F feed-forward     L layers           N state size        C chunk                 W window
U vocabulary       M positions of a learned table         A token types

parts/      norms, feed-forward, embedding, head, positions, and the Component that answers the nine questions
mixers/     one file per architecture
stacks/     series, repetition, residual; blocks, whole models, presets
catalogue   every architecture and preset by name

Conventions: a FLOP is one multiply or one add; causal attention counts its full rectangle unless a workload says
"half"; look-ups are 0 FLOPs and the output head counts; pointwise operations have lines of their own.
"""

from seqcost.formulas.core.component import Component as Component
from seqcost.formulas.core.workload import Workload as Workload

__all__ = ["Component", "Workload"]
