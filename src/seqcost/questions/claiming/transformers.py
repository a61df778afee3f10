"""Claims about what a Transformer costs as the text grows: 1, 2, 3, 8 and 13."""

from fractions import Fraction
from itertools import pairwise

from seqcost.algebra import Curve, Kind, symbol
from seqcost.algebra.rendering import size_to_text
from seqcost.questions.answers.claims import Evidence, Figures, Ruling
from seqcost.questions.claiming.asked import Asked, false, true, untold, when
from seqcost.questions.claiming.bench import LAYER, Bench, Wanted, ratio
from seqcost.questions.claiming.costs import (
    LENGTHS,
    counted,
    curve,
    drawn,
    figure,
    formula,
    grown,
    line_formulas,
    per_power,
    written,
)
from seqcost.questions.claiming.timing import softmax_share

SHORT, LONG = 1024, 131_072  # tokens
ALIKE, TWICE = 1.1, 2.0  # times as much a token: still the same, not the same any more
NEGLIGIBLE = 0.1  # of the whole
TIMED = {T: Wanted.of("transformer", T) for T in (512, 4096)}


def square_and_line(bench: Bench) -> Evidence:
    """Claim 1: the polynomial of a block, and where its two terms are equal."""
    total = formula("transformer-block")
    powers = per_power(total)
    at = curve("transformer-block", "flops")
    linear, square = at.coefficients[1], at.coefficients[2]
    times = {T: bench.time(wanted, f"a forward pass over T = {T:,}") for T, wanted in TIMED.items()}
    equal = powers[1] / powers[2]
    return Evidence(
        formulas=(written("FLOPs of a block", total), written("the two terms are equal at T", equal)),
        figures={
            "square": figure("FLOPs that T² is multiplied by (D = 512)", square, "FLOP"),
            "linear": figure("FLOPs that T is multiplied by", linear, "FLOP"),
            "equal_at": figure("length at which both terms are equal", linear / square, "tokens"),
            "equal_in_widths": figure("the same in widths D", linear / square / LAYER["D"], "D"),
            "share_512": figure("share of the T² term at T = 512", _share(square, linear, 512), "%"),
            "share_32k": figure("share of the T² term at T = 32,768", _share(square, linear, 32_768), "%"),
            "growth": ratio("time of 4,096 tokens over that of 512", times[4096], times[512]),
        },
        pictures=(drawn("a block, D = 512: forward FLOPs", "FLOP", "flops", {"block": "transformer-block"}),),
    )


def _share(square: Fraction, linear: Fraction, T: int) -> float:
    return float(100 * square * T / (square * T + linear))


def rule_square(f: Figures) -> Ruling:
    """True for any length only if nothing grows with T alone."""
    if f["square"].value <= 0:
        return false("no term grows with the square of the length.")
    if f["linear"].value <= 0:
        return true("the square is all there is.")
    return when(
        f"the text is well longer than {f['equal_at']} ({f['equal_in_widths']}): below, the linear term is the larger "
        f"one; the square has {f['share_512']} of the FLOPs at T = 512 and {f['share_32k']} at T = 32,768."
    )


def parts(bench: Bench) -> Evidence:
    """Claim 2: the same by part."""
    del bench
    lines = line_formulas("transformer-block")
    attention = sum(amount for name, amount in lines.items() if name.startswith("attention."))
    feed_forward = sum(amount for name, amount in lines.items() if name.startswith("feed_forward."))
    powers = per_power(attention)
    own = powers[1] / powers[2]
    return Evidence(
        formulas=(
            written("attention", attention),
            written("feed-forward", feed_forward),
            written("attention's own two terms are equal at T", own),
        ),
        figures={
            "attention": figure("power of T of attention", max(powers)),
            "feed_forward": figure("power of T of the feed-forward part", max(per_power(feed_forward))),
            "own_linear": figure("attention's projections over its T² term at T = D", float(own / symbol("D")), "×"),
            "equal_at": figure(
                "attention's T² term reaches its projections at", int(own.subs(symbol("D"), 512)), "tokens"
            ),
        },
    )


def rule_parts(f: Figures) -> Ruling:
    """Both powers as claimed; attention's projections are linear, too, and make it a matter of length."""
    if f["attention"].value != 2 or f["feed_forward"].value != 1:
        return false(f"attention grows as T^{f['attention']}, the feed-forward part as T^{f['feed_forward']}.")
    if f["own_linear"].value <= 0:
        return true("attention has no other term, the feed-forward part none but the linear one.")
    return when(
        f"scores and mixing are meant: attention's projections are linear in T as well, and at D = 512 they are the "
        f"larger part of it up to {f['equal_at']}. The feed-forward part is linear at every length."
    )


def a_position(bench: Bench) -> Evidence:
    """Claim 3: what one position costs as the text grows."""
    at = curve("transformer-block", "flops")
    linear, square = at.coefficients[1], at.coefficients[2]
    a_token = formula("transformer-block") / symbol("T")
    lstm = curve("lstm-layer", "flops")
    times = {T: bench.time(wanted, f"a forward pass over T = {T:,}") for T, wanted in TIMED.items()}
    return Evidence(
        formulas=(written("FLOPs of a block a token", a_token),),
        figures={
            "growth": figure(f"FLOPs a token at T = {LONG:,} over T = {SHORT:,}", _growth(at), "×"),
            "lstm": figure("the same of an LSTM", _growth(lstm), "×"),
            "doubled_at": figure("a token costs twice what the first ones cost at", linear / square, "tokens"),
            "time": ratio("time a token, T = 4,096 over T = 512", times[4096].over(4096), times[512].over(512)),
        },
        pictures=(
            drawn(
                "D = 512: forward FLOPs a token", "FLOP", "flops",
                {"Transformer block": "transformer-block", "LSTM layer": "lstm-layer"}, per_token=True,
            ),
        ),
    )  # fmt: skip


def _growth(at: Curve) -> float:
    """What a token costs at the long length over what it costs at the short one."""
    return float(at(LONG) / LONG / (at(SHORT) / SHORT))


def rule_position(f: Figures) -> Ruling:
    """A position costs little at any length only if its cost does not grow."""
    growth, doubled = f["growth"], f["doubled_at"]
    if growth.value <= ALIKE:
        return true(f"a token costs {growth} as much at the longer length.")
    measured = f" Measured, a token of 4,096 takes {f['time']} what one of 512 takes." if f["time"].known else ""
    if growth.value < TWICE:
        return when(
            f"the text is shorter than {doubled}, where a token costs twice what the first ones cost.{measured}"
        )
    return false(
        f"what a position costs grows with the length: {growth} from T = {SHORT:,} to {LONG:,} (an LSTM's: "
        f"{f['lstm']}); it has doubled at {doubled}.{measured}"
    )


def softmax(bench: Bench) -> Evidence:
    """Claim 8: both orders, and whether softmax is small beside them."""
    contractions = formula("transformer-block")
    pointwise = formula("transformer-block", "flops", Kind.POINTWISE)
    found = counted("transformer-block", 1024)
    square = float(per_power(pointwise)[2].subs({symbol("D"): 512, symbol("H"): 8}))
    return Evidence(
        formulas=(
            written("contractions", contractions),
            f"pointwise operations that grow with T² = {size_to_text(per_power(pointwise)[2])}·T²",
        ),
        figures={
            "square": figure("highest power of T", found.polynomials["flops"].degree),
            "linear": figure("FLOPs that T is multiplied by", found.polynomials["flops"].coefficients[1], "FLOP"),
            "share": figure(
                "softmax over the products of scores and mixing, D = 512, H = 8, in operations",
                square / float(found.polynomials["flops"].coefficients[2]),
                "×",
            ),
            "time": softmax_share(T=256 if bench.quick else 1024),
        },
    )


def rule_softmax(f: Figures) -> Ruling:
    """Small in operations, and small in time."""
    if f["square"].value != 2 or f["linear"].value <= 0:
        return false(f"the FLOPs of a block have the power {f['square']} of T.")
    small = f["share"].value <= NEGLIGIBLE
    if not f["time"].known:
        return untold(f"softmax is {f['share']} of the products in operations; its time was not measured.")
    if small and f["time"].most <= NEGLIGIBLE:
        return true(f"softmax is {f['share']} of the products in operations and {f['time']} of them in time.")
    if small and f["time"].least <= NEGLIGIBLE:
        return untold(
            f"softmax is {f['share']} of the products in operations; its time, {f['time']} of theirs, was not told "
            f"apart from {NEGLIGIBLE:g} ({f['time'].interval})."
        )
    if small:
        return when(
            f"operations are counted ({f['share']} of the products); written out, softmax takes {f['time']} the time "
            "of the two products on this machine."
        )
    return false(f"softmax is {f['share']} of the products in operations already.")


def exponential(bench: Bench) -> Evidence:
    """Claim 13: by how much a doubled length multiplies the memory."""
    del bench
    peaks = {kind: _peaks(kind) for kind in ("materialised", "fused")}
    growths = {kind: [b / a for a, b in pairwise(peak)] for kind, peak in peaks.items()}
    figures = {
        "first": figure("peak of training, T = 64 → 256, scores written out", growths["materialised"][0], "×"),
        "last": figure("T = 262,144 → 1,048,576, scores written out", growths["materialised"][-1], "×"),
        "fused": figure("T = 262,144 → 1,048,576, fused attention", growths["fused"][-1], "×"),
        "power": figure("power of T of the peak, scores written out", _grown("materialised")),
        "power_fused": figure("power of T of the peak, fused attention", _grown("fused")),
    }
    written_out = curve("transformer", "peak_bytes", phase="train", implementation="materialised")
    return Evidence(
        formulas=(f"peak of training, D = 256, L = 2, scores written out = {written_out} B",), figures=figures
    )


def _peaks(kind: str) -> list[int]:
    return [int(counted("transformer", T, phase="train", implementation=kind).peak_bytes or 0) for T in LENGTHS]


def _grown(kind: str) -> int:
    return grown("transformer", "peak_bytes", phase="train", implementation=kind)


def rule_exponential(f: Figures) -> Ruling:
    """An exponential's growth over equal steps grows itself; a power's ends at a number."""
    bound = 4 ** f["power"].value  # a length four times as long
    if f["last"].value > bound * ALIKE:
        return true(f"four times the length takes {f['last']} the memory, and more with each step.")
    return false(
        f"it is a polynomial: four times the length takes at most {f['last']} the memory (a power of {f['power']}), "
        f"with fused attention {f['fused']} (a power of {f['power_fused']})."
    )


CLAIMS = (
    Asked(1, "A Transformer costs O(L·N²·H).", square_and_line, rule_square, tuple(TIMED.values())),
    Asked(2, "Attention is O(N²), the feed-forward part O(N).", parts, rule_parts),
    Asked(
        3, "Because each position costs little, Transformers scale well to long sequences.",
        a_position, rule_position, tuple(TIMED.values()),
    ),
    Asked(
        8, "A Transformer block is O(N·H² + H·N²), softmax being negligible (heads·N² against H·N²).",
        softmax, rule_softmax,
    ),
    Asked(13, "A Transformer's memory grows exponentially with the number of tokens.", exponential, rule_exponential),
)  # fmt: skip
