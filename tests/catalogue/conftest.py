"""How the common suite makes layers and runs them."""

import pytest
import torch
from torch import Tensor

from seqcost.formulas import Component, Workload
from seqcost.layers import Layer, build


class Bench:
    """A layer on the bench: made with random weights, given random inputs, run in each of its ways."""

    def __init__(self, device: str) -> None:
        self.device = device

    def layer(self, config: Component, dtype: torch.dtype = torch.float32, seed: int = 0) -> Layer:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            layer = build(config).to(dtype)
            with torch.no_grad():
                for weight in layer.parameters():  # no weight is exactly 0 or 1, so none can be forgotten unseen
                    weight += 0.1 * torch.randn_like(weight)
        return layer.to(self.device)

    @staticmethod
    def inputs(layer: Layer, B: int, T: int, S: int, dtype: torch.dtype = torch.float32) -> tuple[Tensor, ...]:
        with torch.random.fork_rng():
            torch.manual_seed(7)
            given = layer.example_inputs(B, T, S)
        return tuple(x.detach().to(dtype).requires_grad_() if x.is_floating_point() else x for x in given)

    @staticmethod
    def workload(inputs: tuple[Tensor, ...], dtype: torch.dtype = torch.float32) -> Workload:
        B, T = inputs[0].shape[:2]
        S = inputs[1].shape[1] if len(inputs) > 1 and inputs[1].dim() > 1 else 0  # a time or a label is no source
        return Workload(B=B, T=T, S=S, itemsize=dtype.itemsize)

    @staticmethod
    def in_pieces(layer: Layer, inputs: tuple[Tensor, ...], pieces: list[int]) -> Tensor:
        x, *source = inputs
        state, outputs = layer.init_state(x.shape[0], *source), []
        for piece in x.split(pieces, dim=1):
            y, state = layer.extend(piece, state)
            outputs.append(y)
        return torch.cat(outputs, dim=1)

    @staticmethod
    def in_steps(layer: Layer, inputs: tuple[Tensor, ...]) -> Tensor:
        x, *source = inputs
        state, outputs = layer.init_state(x.shape[0], *source), []
        for token in x.unbind(1):
            y, state = layer.step(token, state)
            outputs.append(y)
        return torch.stack(outputs, dim=1)

    @staticmethod
    def gradients(layer: Layer, inputs: tuple[Tensor, ...], y: Tensor) -> list[Tensor]:
        """Of a loss over all tokens, with respect to the inputs and every weight."""
        weights = torch.randn(y.shape, generator=torch.Generator().manual_seed(3), dtype=y.dtype).to(y.device)
        wanted = [x for x in inputs if x.requires_grad] + list(layer.parameters())
        return list(torch.autograd.grad((y * weights).sum(), wanted, materialize_grads=True, allow_unused=True))

    @staticmethod
    def embedded(layer: Layer, inputs: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        """Output, and the features of the tokens it was made of: the input, or the embedding of its ids."""
        if inputs[0].is_floating_point():
            return layer(*inputs), inputs[0]
        seen = []
        model = layer.get_submodule("decoder") if hasattr(layer, "decoder") else layer
        hook = model.get_submodule("embedding").register_forward_hook(lambda _m, _i, out: seen.append(out))
        try:
            return layer(*inputs), seen[0]
        finally:
            hook.remove()


@pytest.fixture(scope="session")
def bench(request):
    """On the CPU, or on the device of `every_device`."""
    return Bench(getattr(request, "param", "cpu"))


@pytest.fixture(scope="session", autouse=True)
def no_tf32():
    """By PyTorch's default cuDNN rounds float32 to TF32 in a recurrence over a text, and a step of ours does not."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    yield
    torch.backends.cudnn.allow_tf32 = before


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
