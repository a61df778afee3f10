"""What can be done so that more fits, each as a change of the setup: it is applied and looked at, never guessed.

A remedy belongs to a group, which says what stays the same:

  same model       the same weights, the same numbers: only memory and work change
  other numbers    the same weights in a narrower format
  other training   another rule of training
  more devices     a part lies on other devices; that part is arithmetic, their traffic is not counted
  another model    as many layers of the same width, but other weights: to be trained anew, better or worse

Remedies of one slot exclude each other. Two are arithmetic on the optimizer's part of the peak, and say so: states of
8 bits (Dettmers et al. 2022, arXiv 2110.02861: a byte a value and a float32 for every block; 256 values a block, and
tensors below 4,096 values left alone, as bitsandbytes does), and states divided among devices (Rajbhandari et al. 2020,
arXiv 1910.02054, stage 1).
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from seqcost.formulas.catalogue import entry
from seqcost.formulas.core.component import Component
from seqcost.formulas.stacks.language_model import LanguageModel
from seqcost.formulas.stacks.transformer import Transformer
from seqcost.questions.fitting.setup import SHARDS, Setup
from seqcost.questions.targets.catalogue import Named
from seqcost.questions.targets.hugging_face import Configuration

SAME, NUMBERS, TRAINING = "same model", "other numbers", "other training"
DEVICES, ANOTHER = "more devices", "another model"
GROUPS = (SAME, NUMBERS, TRAINING, DEVICES, ANOTHER)  # from what changes least on
CHUNKS = 16  # of the loss
PIECE = 1024  # tokens of one call, where a state carries on
_GROUPED = 4  # query heads to a pair of key and value heads
_HALF = "bfloat16"
_ALTERNATIVES = {
    "window": "window attention", "lsh": "LSH attention", "linear-attention": "linear attention",
    "mamba": "state space (Mamba)",
}  # fmt: skip
_SHARED = ("U", "D", "L", "H", "F", "M", "causal", "norm", "epsilon", "order", "activation", "bias", "head", "tied")


class NoRemedy(Exception):  # noqa: N818 - no error: a reason
    """Why a remedy does not apply."""


@dataclass(frozen=True)
class Remedy:
    """Something that can be done: `apply` gives the setup in which it is done, or raises NoRemedy with the reason."""

    name: str
    group: str
    slot: str
    apply: Callable[[Setup], Setup]


def remedies(*, accelerator: bool) -> tuple[Remedy, ...]:
    """All that are known, the gentlest first; `accelerator`: whether the memory is that of a device beside the host."""

    def offloaded(setup: Setup) -> Setup:
        if not accelerator:
            raise NoRemedy("the memory is the host's own; name a machine with an accelerator")
        return _changed(setup, offload=True)

    return (
        Remedy("fused attention", SAME, "attention", _fused),
        Remedy("checkpoint each layer", SAME, "activations", lambda setup: _changed(setup, checkpoint="layers")),
        Remedy("checkpoint attention", SAME, "activations", lambda setup: _changed(setup, checkpoint="attention")),
        Remedy("offload what is kept", SAME, "offload", offloaded),
        Remedy(f"loss in {CHUNKS} chunks", SAME, "loss", lambda setup: _changed(setup, loss_chunks=CHUNKS)),
        Remedy("one sequence a pass", SAME, "batch", _accumulated),
        Remedy(f"pieces of {PIECE:,} tokens", SAME, "pieces", _in_pieces),
        Remedy(_HALF, NUMBERS, "format", _in_half),
        Remedy("8-bit optimizer states", TRAINING, "optimizer", lambda setup: _states(setup, "8-bit")),
        Remedy("SGD, no states", TRAINING, "optimizer", _sgd),
        Remedy(f"states over {SHARDS} devices", DEVICES, "optimizer", lambda setup: _states(setup, "sharded")),
        Remedy("grouped heads", ANOTHER, "model", _grouped),
        Remedy("reversible layers", ANOTHER, "activations", _reversible),
        *(Remedy(label, ANOTHER, "model", _other(name)) for name, label in _ALTERNATIVES.items()),
    )


def combined(setup: Setup, parts: tuple[Remedy, ...]) -> Setup:
    """Several remedies, one after the other. Raises NoRemedy or a SeqcostError where one of them cannot be."""
    for remedy in parts:
        setup = remedy.apply(setup)
    return setup


def _training(setup: Setup) -> None:
    if setup.request.phase != "train":
        raise NoRemedy(f"nothing is kept for a backward pass in the phase {setup.request.phase}")


def _changed(setup: Setup, **changes: Any) -> Setup:
    _training(setup)
    if not setup.subject.changeable:
        raise NoRemedy("a program from a file runs as it was exported")
    return replace(setup, changes={**setup.changes, **changes})


def _fused(setup: Setup) -> Setup:
    subject = setup.subject
    if isinstance(subject, Named):
        own = subject.letters().get("implementation")
        if own is None:
            raise NoRemedy("it has no attention to be fused")
        if own == "fused":
            raise NoRemedy("its attention is fused")
        return replace(setup, subject=subject.resized("implementation", "fused"))
    if isinstance(subject, Configuration):
        if subject.sizes.get("attn_implementation", subject.given.get("attn_implementation", "sdpa")) != "eager":
            raise NoRemedy("its attention is PyTorch's scaled_dot_product_attention")
        return replace(setup, subject=Configuration(subject.name, subject.sizes | {"attn_implementation": "sdpa"}))
    raise NoRemedy("how code computes attention is its own")


def _accumulated(setup: Setup) -> Setup:
    _training(setup)
    batch = setup.request.B or 1
    if batch == 1:
        raise NoRemedy("a pass has one sequence")
    return setup.with_request(B=1, accumulate=batch * setup.request.accumulate)


def _in_pieces(setup: Setup) -> Setup:
    if setup.request.phase not in ("forward", "prefill"):
        raise NoRemedy(f"the phase {setup.request.phase} does not read a text piece by piece")
    config = setup.formula
    if config is None or not config.decodes or config.takes_source:
        raise NoRemedy("no formula says what carries on from one piece to the next")
    return replace(setup, chunk=PIECE)


def _in_half(setup: Setup) -> Setup:
    if setup.request.dtype not in (None, "float32", "float64"):
        raise NoRemedy(f"it is in {setup.request.dtype}")
    if not setup.subject.changeable:
        raise NoRemedy("a program from a file keeps its formats")
    return setup.with_request(dtype=_HALF)


def _sgd(setup: Setup) -> Setup:
    _stateful(setup)
    return setup.with_request(optimizer="sgd")


def _states(setup: Setup, how: str) -> Setup:
    optimizer = _stateful(setup)
    if how == "8-bit" and optimizer.partition(":")[0].lower() not in ("adam", "adamw"):
        raise NoRemedy("8-bit states are those of Adam and AdamW")
    return replace(setup, states=how)


def _stateful(setup: Setup) -> str:
    _training(setup)
    optimizer = setup.request.optimizer
    if optimizer is None:
        raise NoRemedy("no optimizer was asked for")
    if optimizer.lower() == "sgd":
        raise NoRemedy("SGD without momentum has no states")
    return optimizer


def _grouped(setup: Setup) -> Setup:
    subject = setup.subject
    if not isinstance(subject, Named | Configuration):
        raise NoRemedy("its heads are its own")
    heads, pairs = _heads_of(subject)
    if pairs == 1:
        raise NoRemedy("it has one pair of key and value heads")
    fewer = max(1, heads // _GROUPED)
    if heads % fewer or fewer >= pairs:
        raise NoRemedy(f"it has {pairs} pairs of key and value heads for {heads} of queries")
    setting = "G" if isinstance(subject, Named) else "num_key_value_heads"
    return replace(setup, subject=subject.resized(setting, fewer))


def _heads_of(subject: Named | Configuration) -> tuple[int, int]:
    if isinstance(subject, Named):
        letters: Mapping[str, Any] = subject.letters()
        found = letters.get("H"), letters.get("G") if subject.setting("G") else None
    else:
        subject.need_reader()
        from seqcost.trace.letters import HuggingFaceSizes

        settings = HuggingFaceSizes(subject.spec()).settings
        found = settings.get("num_attention_heads"), settings.get("num_key_value_heads")
    if not all(type(n) is int for n in found):
        raise NoRemedy("it has no key and value heads that could be grouped")
    return found  # type: ignore[return-value]


def _reversible(setup: Setup) -> Setup:
    _training(setup)
    config = _language_model(setup)
    if isinstance(config, LanguageModel):
        if config.reversible:
            raise NoRemedy("its layers are reversible")
        assert isinstance(setup.subject, Named)
        sizes = setup.subject.sizes | {"reversible": True, "tied": False}
        return replace(setup, subject=Named(setup.subject.name, sizes))
    assert isinstance(config, Transformer)
    sizes = dict(_shared(config, "hybrid")) | {"mixers": "attention", "reversible": True, "tied": False}
    sizes |= {"G": config.G, "K": config.K, "rope": config.positions == "rope"}
    sizes["positions"] = "none" if config.positions == "rope" else config.positions
    return replace(setup, subject=Named("hybrid", sizes))


def _other(name: str) -> Callable[[Setup], Setup]:
    def apply(setup: Setup) -> Setup:
        config = _language_model(setup)
        if not isinstance(config, Transformer):
            raise NoRemedy("it is no Transformer")
        sizes = dict(_shared(config, name))
        if entry(name).make().sizes().get("F") == 0:
            del sizes["F"]  # it stands alone, without a feed-forward network
        return replace(setup, subject=Named(name, sizes))

    return apply


def _language_model(setup: Setup) -> Component:
    config = setup.subject.config
    if not isinstance(config, Transformer | LanguageModel) or config.head != "logits":
        raise NoRemedy("it is no language model of the catalogue")
    return config


def _shared(config: Transformer, name: str) -> Iterator[tuple[str, Any]]:
    """Sizes and choices of a Transformer that another model has as well."""
    fields = entry(name).fields
    for letter in _SHARED:
        if letter in fields and hasattr(config, letter):
            yield letter, getattr(config, letter)
