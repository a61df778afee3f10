"""Whether a module says that it sees the past alone, or both ways by design."""

from torch import nn


def says_causal(module: nn.Module) -> bool | None:
    """Whether a module says that it sees the past alone (True), or both ways (False); None where it says nothing.

    Read are `causal` and `is_causal` of its parts, `is_decoder` of a configuration, `config.decodes` of our layers, and
    what is an encoder of torch.nn itself (inside another module one may be given a mask).
    """
    config = getattr(module, "config", None)
    own = [vars(part).get(name) for part in module.modules() for name in ("causal", "is_causal")]
    if any(value is True for value in own):
        return True
    if getattr(config, "decodes", None) is False or getattr(config, "is_decoder", None) is False:
        return False
    return False if any(value is False for value in own) or reads_both_ways(module) else None


def reads_both_ways(module: nn.Module) -> bool:
    """Whether a module is one of torch.nn's that read a sequence from both ends."""
    encoders = (nn.TransformerEncoderLayer, nn.TransformerEncoder, nn.MultiheadAttention)
    return getattr(module, "bidirectional", False) is True or isinstance(module, encoders)
