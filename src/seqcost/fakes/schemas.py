"""What PyTorch itself says of an operator: its plain name, and whether it works element by element."""

from typing import Any

import torch

_NOT_IN_PLACE = ("__and__", "__or__", "__xor__", "__lshift__", "__rshift__")


def base_name(operator: Any) -> str:
    """`aten::add` of `aten.add_.Tensor`."""
    name = str(operator._schema.name) if isinstance(operator, torch._ops.OpOverload) else str(operator)
    return out_of_place(name)


def out_of_place(name: str) -> str:
    """`aten::add` of `aten::add_`."""
    return name if name.endswith(_NOT_IN_PLACE) else name.rstrip("_")


def is_pointwise(operator: Any) -> bool:
    """Whether PyTorch tags an operator, or another form of it (`abs` of `abs_`), as pointwise."""
    if not isinstance(operator, torch._ops.OpOverload):
        return False
    plain = getattr(getattr(torch.ops, operator.namespace), base_name(operator).split("::")[1], None)
    forms = [operator]
    if isinstance(plain, torch._ops.OpOverloadPacket):
        forms += [getattr(plain, name) for name in plain.overloads()]
    return any(torch.Tag.pointwise in form.tags for form in forms)
