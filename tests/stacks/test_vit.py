"""Vision Transformer: published sizes and costs, Hugging Face's ViTModel with the same weights, images and patches."""

import pytest
import torch
from oracles import assert_agree, copy_weights, relative_error, renamed, same

from seqcost.algebra import Kind, symbols
from seqcost.errors import BadSize
from seqcost.formulas import Workload
from seqcost.formulas.catalogue import configure
from seqcost.formulas.stacks.vit import ViT as Formula
from seqcost.layers import build
from seqcost.programs import Target
from seqcost.trace import trace

# (D, L, H, F) of table 1; patches of 224²; parameters with 1,000 classes as torchvision and timm publish them; the
# multiply-adds of a forward pass that timm publishes, which the papers call FLOPs.
PUBLISHED = {
    "vit-base-16": ((768, 12, 12, 3072), 196, 86_567_656, 17.58e9),
    "vit-large-16": ((1024, 24, 16, 4096), 196, 304_326_632, 61.60e9),
    "vit-huge-14": ((1280, 32, 16, 5120), 256, 632_045_800, 167.40e9),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_sizes_and_costs(name):
    sizes, patches, parameters, multiply_adds = PUBLISHED[name]
    config = configure(name)
    assert (*sizes, patches) == (config.D, config.L, config.H, config.F, config.M)
    assert config.params().total() == parameters
    flops = config.flops(Workload(T=patches)).total(Kind.CONTRACTION)
    assert flops / 2 == pytest.approx(multiply_adds, rel=2e-3)


def test_a_model_as_a_function_of_its_sizes():
    # Patches 2·T·3p²·D, blocks 24·(T+1)·D² + 4·(T+1)²·D each, classes 2·D·classes.
    B, T, D, L, H = symbols("BTDLH").values()
    flops = Formula(D=D, L=L, H=H, patch=4, classes=10).flops(Workload(B=B, T=T)).total(Kind.CONTRACTION)
    expected = 2 * T * 48 * D + L * (24 * (T + 1) * D**2 + 4 * (T + 1) ** 2 * D) + 20 * D
    assert (flops - B * expected).expand() == 0


def hugging_face(layers):
    table = {
        "patches.class_token": lambda get: get("embeddings.cls_token")[0, 0],
        "patches.positions": lambda get: get("embeddings.position_embeddings")[0],
    } | renamed({"patches.project": "embeddings.patch_embeddings.projection", "norm.norm": "layernorm"})
    for i in range(layers):
        inner = {f"attention.inner.inner.{name}": f"attention.{name[0]}_proj" for name in ("query", "key", "value")}
        inner |= {"attention.inner.inner.output": "attention.o_proj", "attention.inner.norm.norm": "layernorm_before"}
        inner |= {"feed_forward.inner.inner.up": "mlp.fc1", "feed_forward.inner.inner.down": "mlp.fc2"}
        inner |= {"feed_forward.inner.norm.norm": "layernorm_after"}
        table |= renamed({f"blocks.{i}.{ours}": f"layers.{i}.{theirs}" for ours, theirs in inner.items()})
    return table


@pytest.mark.parametrize("implementation", ["fused", "materialised"])
def test_equals_hugging_face_in_outputs_and_gradients(implementation):
    from transformers import ViTConfig, ViTModel

    torch.manual_seed(0)
    theirs = ViTModel(
        ViTConfig(
            hidden_size=24, num_hidden_layers=2, num_attention_heads=3, intermediate_size=56, image_size=20,
            patch_size=4, layer_norm_eps=1e-6, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
        ),
        add_pooling_layer=False,
    )  # fmt: skip
    ours = build(Formula(D=24, L=2, H=3, F=56, M=25, patch=4, head="none", implementation=implementation))
    table = hugging_face(2)
    copy_weights(ours, theirs, table)
    images = torch.randn(2, 3, 20, 20)
    ours_x, theirs_x = images.clone().requires_grad_(), images.clone().requires_grad_()
    pair = (ours(ours_x), theirs(theirs_x).last_hidden_state)
    assert_agree(ours, theirs, table, pair, ((ours_x,), (theirs_x,)))


def test_classes_are_those_of_hugging_face():
    from transformers import ViTConfig, ViTForImageClassification

    torch.manual_seed(0)
    config = ViTConfig(
        hidden_size=24, num_hidden_layers=1, num_attention_heads=3, intermediate_size=56, image_size=20, patch_size=4,
        layer_norm_eps=1e-6, num_labels=7,
    )  # fmt: skip
    theirs = ViTForImageClassification(config).eval()
    ours = build(Formula(D=24, L=1, H=3, F=56, M=25, patch=4, classes=7))
    body = {name: lambda get, read=read: read(lambda n: get(f"vit.{n}")) for name, read in hugging_face(1).items()}
    copy_weights(ours, theirs, body | {f"head.dense.{k}": same(f"classifier.{k}") for k in ("weight", "bias")})
    images = torch.randn(2, 3, 20, 20)
    with torch.no_grad():
        assert relative_error(ours(images), theirs(images).logits) < 1e-5


@pytest.mark.parametrize("shape", [(8, 12), (4, 24), (12, 8)])
def test_an_image_is_its_patches_row_by_row(shape):
    model = build(Formula(D=8, L=1, H=2, M=6, patch=4, classes=5)).double()
    images = torch.randn(2, 3, *shape, dtype=torch.float64)
    patches = model.get_submodule("patches").cut(images)
    assert patches.shape == (2, 6, 48)
    assert torch.equal(patches[0, 0], images[0, :, :4, :4].flatten())
    assert relative_error(model(images), model(patches)) < 1e-14
    assert relative_error(model(images), model.reference(patches)) < 1e-14


def test_images_cost_what_their_patches_cost():
    config = Formula(D=8, L=2, H=2, M=6, patch=4, head="none")
    traced = trace(
        Target.of_module(build(config), torch.randn(2, 3, 8, 12, requires_grad=True)),
        phase="forward",
        B=2,
        T=6,
        lengths=(),
    )
    run = Workload(B=2, T=6)
    assert traced.flops.total(Kind.CONTRACTION) == config.flops(run).total(Kind.CONTRACTION)
    assert traced.flops.total(Kind.POINTWISE) == config.flops(run).total(Kind.POINTWISE)
    assert traced.traffic.total() == config.bytes_moved(run).total()
    assert traced.saved.total() == config.saved_bytes(run).total()
    assert traced.depth == config.depth(run).total()


def test_patches_that_do_not_count():
    model = build(Formula(D=8, L=2, H=2, M=9, patch=2, classes=5)).double()
    patches = torch.randn(2, 9, 12, dtype=torch.float64)
    keep = torch.arange(9).expand(2, 9) < torch.tensor([[4], [9]])
    y = model(patches, keep=keep)
    assert relative_error(y[:1], model(patches[:1, :4])) < 1e-14
    assert relative_error(y[1:], model(patches[1:])) < 1e-14


def test_what_is_refused():
    model = build(Formula(D=8, L=1, H=2, M=4, patch=4, classes=5))
    with pytest.raises(BadSize, match=r"images \[batch, 3, height, width\] with sides that divide by 4"):
        model(torch.randn(1, 3, 8, 9))
    with pytest.raises(BadSize, match="6 patches were given to a table of 4 positions"):
        model(torch.randn(1, 3, 8, 12))
    with pytest.raises(BadSize, match="the patches of a square"):
        Formula(D=8, L=1, H=2, M=5, positions="fixed")
