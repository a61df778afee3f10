"""What does it cost? One target, one length (or several), one phase: an answer made of Bills.

An architecture or preset is answered from its formulas, without PyTorch; code, a live module, or `trace=True` by
tracing. The answer is a `Count`: see answers/count.
"""

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict, Unpack, overload

from seqcost.errors import BadTarget
from seqcost.questions.answers.count import Count
from seqcost.questions.asked.arguments import flag, sizes_in
from seqcost.questions.asked.lengths import lengths_in, names_several
from seqcost.questions.asked.request import Request
from seqcost.questions.targets.resolve import resolve
from seqcost.questions.targets.subject import Subject

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
    lengths = asked_lengths(length)
    request = Request.of(
        phase=phase,
        batch=batch,
        source=source,
        dtype=dtype,
        causal=causal,
        optimizer=optimizer,
        accumulate=accumulate,
        trace=trace,
    )
    strict = flag(strict, "strict")
    _, answers = counts_of(target, lengths, request, sizes, inputs)
    if strict:
        refuse_uncounted(answers)
    return answers if several else answers[0]


def asked_lengths(length: int | str | Sequence[int | str] | None) -> list[int | None]:
    """The lengths that were asked for; None is the target's own."""
    return [None] if length is None else [*lengths_in(length)]


def counts_of(
    target: Any, lengths: Sequence[int | None], request: Request, sizes: Mapping[str, Any] | None, inputs: Any
) -> tuple[Subject, list[Count]]:
    """The subject that a target is, resolved once, and what it costs at each length."""
    subject = resolve(target, sizes_in(sizes), inputs)
    return subject, [subject.counted(request.at(T)) for T in lengths]


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
