"""What does it cost? One target, one length (or several), one phase: an answer made of Bills.

An architecture or preset is answered from its formulas, without PyTorch; code, a live module, or `trace=True` by
tracing. The answer is a `Count`: see cost.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, TypedDict, Unpack, overload

from seqcost.algebra import Curve, lift
from seqcost.algebra.formats import ITEMSIZE, dtype_named
from seqcost.algebra.quantity import QUANTITIES, Quantity, Told
from seqcost.errors import BadSize, BadTarget
from seqcost.formulas.core.component import Component
from seqcost.formulas.core.rounding import block_sizes
from seqcost.formulas.core.workload import Workload
from seqcost.questions.answers.count import Bills, Count, conventions
from seqcost.questions.answers.phases import PHASES, by_formula
from seqcost.questions.answers.written import Written
from seqcost.questions.asked.arguments import flag, one_of, sizes_in
from seqcost.questions.asked.lengths import lengths_in, names_several, whole
from seqcost.questions.targets.kinds import formula_of, kind_of, need_for
from seqcost.questions.targets.weights import checked_for_weights, count_weights

# Short lengths and far ones: a window longer than the text, or a chunk that is not full, shows itself.
LIFTED_AT = (1, 2, 3, 5, 8, 13, 21, 1021, 2050, 4099, 10007, 65537, 1000003)
DEFAULT_LENGTH = 1024
NAMED = 3  # uncounted operators that a refusal names


class Asked(TypedDict, total=False):
    """What may be asked besides a target and its length: the parameters of `count`."""

    batch: int | str | None
    source: int | str | None
    phase: str
    dtype: Any
    causal: str
    sizes: Mapping[str, Any] | None
    inputs: Any
    trace: bool
    optimizer: str | None
    accumulate: int | str
    strict: bool


@overload
def count(target: Any, *, length: int | None = ..., **asked: Unpack[Asked]) -> Count: ...
@overload
def count(target: Any, *, length: str, **asked: Unpack[Asked]) -> Count | Any: ...  # "1k,128k" names several
@overload
def count(target: Any, *, length: Sequence[int | str], **asked: Unpack[Asked]) -> list[Count]: ...
def count(
    target: Any,
    *,
    length: int | str | Sequence[int | str] | None = None,
    batch: int | str | None = None,
    source: int | str | None = None,
    phase: str = "forward",
    dtype: Any = None,
    causal: str = "full",
    sizes: Mapping[str, Any] | None = None,
    inputs: Any = None,
    trace: bool = False,
    optimizer: str | None = None,
    accumulate: int | str = 1,
    strict: bool = False,
) -> Any:
    """Cost of a target.

    A target is an architecture or preset name; `package.module:callable`; a Hugging Face configuration; a file of
    weights (.safetensors), of an exported program (.pt2) or of an ONNX graph (.onnx); a live `torch.nn.Module` or
    `torch.export.ExportedProgram`.

    Parameters
    ----------
    length
        Tokens of the sequence T (decode: the position of the token that is generated), as a number or as text
        ("128k"). Several give a list: [1024, 4096], "1k,128k", "64..8k". Where not given, those of the inputs that
        came with the target, else 1024.
    batch
        Sequences B; where not given, those of the inputs that came with the target, else 1.
    source
        Tokens S of the source of an encoder-decoder or of cross-attention; where not given, as many as belong to T.
        Refused where the target reads none.
    phase
        forward, train (forward, loss and backward), prefill (forward that fills a state) or decode (one token).
    dtype
        float32, bfloat16, float16 or float64, or short (bf16), or torch.bfloat16: parameters, buffers and features are
        turned into it. Where not given, a formula's is float32 and a module keeps its own.
    causal
        How the pairs of causal attention are counted: "full" (the rectangle) or "half" (formulas only).
    sizes
        Letters or friendly words to override: {"D": 512, "layers": 6}.
    inputs
        Example inputs of a live module: a tuple of tensors. Length and batch are theirs; others are refused (BadSize).
    trace
        Trace the working layer instead of reading the formula.
    optimizer
        End the phase train with the step of a class of torch.optim, by name and options: "adamw",
        "sgd:momentum=0.9". Formulas stop at the gradients, so this is traced.
    accumulate
        Passes forward and backward, over `batch` sequences each, before the step; more than one is traced.
    strict
        Refuse an answer in which operators are uncounted (BadTarget), instead of listing them.

    Returns
    -------
    Count or list of Count

    Raises
    ------
    UnknownName, BadSize
        For a name, word or number that is not allowed.
    BadTarget, TraceFailed
        For a target that cannot be used, or that no rung of the trace could carry.
    MissingExtra
        Where a trace is needed and PyTorch, or another package for this target, is not installed.

    Examples
    --------
    >>> count("gpt2", length=1024).flops
    291648307200
    >>> print(count("gpt2").polynomials["flops"])
    36864·T² + 247064064·T
    >>> [answer.state_bytes for answer in count("gpt2", length="1k,128k", phase="decode", dtype="bf16")]
    [37748736, 4831838208]

    """
    several = names_several(length)
    lengths: list[int | None] = [None] if length is None else [*lengths_in(length)]
    one_of(phase, "phase", PHASES)
    one_of(causal, "convention for causal attention", ("full", "half"))
    if dtype is not None:
        dtype = dtype_named(dtype)
    sizes, trace, strict = sizes_in(sizes), flag(trace, "trace"), flag(strict, "strict")
    if batch is not None:
        batch = whole(batch, "batch")
    if source is not None:
        source = whole(source, "source")
    accumulate = whole(accumulate, "accumulate")
    config = formula_of(target, sizes) if isinstance(target, str) else None
    if isinstance(target, str) and kind_of(target) == "weights":
        given = {"a source": source, "inputs": inputs is not None, "a trace": trace, "an optimizer": optimizer}
        given |= {"accumulate": accumulate > 1, f"the phase {phase}": phase != "forward"}
        checked_for_weights(given | {f"the dtype {dtype}": dtype not in (None, "float32")}, target)
        answers = count_weights(target, lengths=_or_default(lengths), batch=batch or 1, phase=phase)
        return answers if several else answers[0]
    if config is not None and source is not None and not config.takes_source:
        raise BadSize(f"source = {source:,} was given for {target}, which reads no source; leave it out.")
    trace = trace or optimizer is not None or accumulate > 1
    if config is None or trace:
        if causal == "half":
            raise BadSize("causal='half' was asked of a trace; a trace counts what runs: use 'full', or a formula.")
        need_for(target)
        from seqcost.questions.targets.traced import count_traced

        answers = count_traced(
            target,
            sizes,
            inputs=inputs,
            lengths=lengths,
            batch=batch,
            source=source,
            phase=phase,
            dtype=dtype,
            optimizer=optimizer,
            accumulate=accumulate,
        )
    else:
        answers = count_formula(
            str(target),
            config,
            lengths=_or_default(lengths),
            B=batch or 1,
            S=source,
            phase=phase,
            dtype=dtype or "float32",
            causal=causal,
        )
    if strict:
        refuse_uncounted(answers)
    return answers if several else answers[0]


def refuse_uncounted(answers: Sequence[Count]) -> None:
    """Raise BadTarget where operators have no formula: the first few by bytes, with module, calls and bytes."""
    for answer in answers:
        missing = [item for item in answer.uncounted if "operator" in item]
        if not missing:
            continue
        ranked = sorted(missing, key=lambda item: (-item["bytes"], -item["calls"], item["operator"], item["path"]))
        named = "; ".join(
            f"{item['operator']} in {item['path'] or 'the module itself'}: {item['calls']:,} calls, "
            f"{item['bytes']:,} bytes"
            for item in ranked[:NAMED]
        )
        rest = f"; and {len(ranked) - NAMED} more" if len(ranked) > NAMED else ""
        raise BadTarget(
            f"strict was asked and {len(ranked)} {'operator of' if len(ranked) == 1 else 'operators of'} "
            f"{answer.target} {'has' if len(ranked) == 1 else 'have'} no formula ({named}{rest}); give a formula with "
            "seqcost.register_operator, or ask without strict."
        )


def count_formula(
    name: str,
    config: Component,
    *,
    lengths: Sequence[int],
    B: int,
    S: int | None,
    phase: str,
    dtype: str,
    causal: Any = "full",
) -> list[Count]:
    """An answer a length, from the formulas alone."""
    if causal == "half" and config.multiplies_masked and phase != "decode":
        raise BadSize(
            f"causal='half' was asked of {name}, which multiplies masked pairs in chunks or buckets; no convention "
            "leaves them out: use 'full', which counts what runs."
        )

    def run(length: int) -> Workload:
        tokens = 0
        if config.takes_source:
            tokens = config.source_tokens(length) if S is None else S
        return Workload(B=B, T=length, S=tokens, itemsize=ITEMSIZE[dtype], causal=causal)

    polynomials = _polynomials(config, run, phase)
    return [_at_length(name, config, run(T), phase, dtype, polynomials) for T in lengths]


def longest_text(config: Component) -> int | None:
    """Tokens that the layer of a config takes at most: the rows of a learned table of positions; None without one."""
    return getattr(config, "M", None) if getattr(config, "positions", "") == "learned" else None


def _at_length(
    name: str, config: Component, run: Workload, phase: str, dtype: str, polynomials: Mapping[str, Curve]
) -> Count:
    bills, uncounted = by_formula(config, run, phase)
    reason = "formulas do not follow allocations; ask the trace (trace=True, --trace)"
    uncounted = (*uncounted, *({"quantity": quantity, "reason": reason} for quantity in ("peak_bytes", "memory")))
    declared = conventions()
    if run.causal == "half":
        whole_bills, _ = by_formula(config, replace(run, causal="full"), phase)
        same = all(whole_bills.total(row) == bills.total(row) for row in QUANTITIES.told(Told.LETTERS))
        declared["causal"] = (
            "half: it has no causal attention, so that this is the full count"
            if same
            else "half: only the pairs that are not masked are counted"
        )
    most = longest_text(config)
    if most is not None and most < run.T:
        declared["positions"] = (
            f"T = {run.T:,} exceeds the {most:,} learned positions: the formula goes on, the layer refuses"
        )
    letters = {k: v for k, v in config.sizes().items() if v is not None}
    at = {"B": run.B, "T": run.T} | ({"S": run.S} if config.takes_source else {})
    return Count(
        target=name,
        sizes=at | letters,
        phase=phase,
        dtype=dtype,
        rung="formula",
        bills=bills,
        numbers={"trainable_params": int(bills.params.total())},  # nothing in our layers is frozen
        uncounted=uncounted,
        polynomials=polynomials,
        conventions=declared,
        origin=Written(config, run, phase, bills),
    )


def _polynomials(config: Component, run: Any, phase: str) -> dict[str, Curve]:
    """Every total as a polynomial in T, or in T and ⌈T/c⌉ (a source, if any, as long as the target unless fixed)."""
    seen: dict[int, Bills] = {}

    def value(quantity: Quantity, T: int) -> Any:
        if T not in seen:
            seen[T] = by_formula(config, run(T), phase)[0]
        return seen[T].total(quantity)

    out: dict[str, Curve] = {}
    blocks = block_sizes(config)
    for quantity in QUANTITIES.told(Told.CURVE):
        if value(quantity, LIFTED_AT[-1]) is None:
            continue
        out[quantity.name] = lift(partial(value, quantity), LIFTED_AT, blocks=blocks)
    return out


def _or_default(lengths: Sequence[int | None]) -> list[int]:
    return [DEFAULT_LENGTH if length is None else length for length in lengths]
