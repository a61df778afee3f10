"""What is asked of a component: how many sequences, how many tokens, in what number format."""

from dataclasses import dataclass, replace
from typing import Literal

from seqcost.algebra.expr import Size, halve, is_size, is_symbolic, maximum
from seqcost.errors import BadSize, shortened

ID_BYTES = 8  # int64 token ids


@dataclass(frozen=True, kw_only=True)
class Workload:
    """The sizes of one call. All are sizes: ints, sweeps or symbols.

    B batch · T tokens of this call · P tokens already in the carried state · S tokens of the source (cross-attention)
    · itemsize bytes per element (4 float32, 2 bfloat16, 8 float64).

    `causal` says how the pairs of causal attention are counted: "full", the T·S rectangle that a dense
    implementation executes and most published numbers use; "half", the pairs that are not masked,
    T(T+1)/2 + T·P. `started` says that a state is handed in, so none is made; `encoded` that it holds the source's keys
    and values, so the source is not read again; `stepping` that the one token goes through `step`, which may be another
    form than that of a whole sequence. `threads` are those that kernels run on: some take a buffer for each.

    >>> from seqcost import configure
    >>> configure("gru-layer", D=8).state_bytes(Workload(B=2, T=10)).total()
    64
    """

    B: Size = 1
    T: Size = 1
    P: Size = 0
    S: Size = 0
    itemsize: Size = 4
    causal: Literal["full", "half"] = "full"
    started: bool = False
    encoded: bool = False
    stepping: bool = False
    threads: int = 1

    def __post_init__(self) -> None:
        for letter, least in (("B", 1), ("T", 1), ("P", 0), ("S", 0), ("itemsize", 1)):
            value = getattr(self, letter)
            if not is_size(value) or (isinstance(value, int | float) and (type(value) is not int or value < least)):
                raise BadSize(
                    f"Workload: {letter} = {shortened(value)} was given; a whole number of at least {least} is allowed."
                )

    @property
    def state_itemsize(self) -> Size:
        """Bytes of an element of a state that is kept in float32 at least."""
        return maximum(self.itemsize, 4)

    def step(self) -> "Workload":
        """One decoding step at position T: a single new token after all earlier ones."""
        return replace(self, T=1, P=self.P + self.T - 1, started=True, encoded=True, stepping=True)

    def of_source(self) -> "Workload":
        """What an encoder sees: the S tokens of the source, all at once."""
        return replace(self, T=self.S, P=0)

    def pairs(self, *, causal: bool) -> Size:
        """Query-key pairs of self-attention over this call, a head and a sequence."""
        rectangle = self.T * (self.P + self.T)
        if not causal or self.causal == "full":
            return rectangle
        triangle = self.T * (self.T + 1)
        return self.T * self.P + (triangle / 2 if is_symbolic(triangle) else halve(triangle))
