"""The extractor: every depth's codes in one pass, for convolutional networks and transformers."""

import pytest
import torch

from codes import CodeExtractor, Taps, load_backbone, summarise
from codes.extractor import Extraction

TINY = "tests.codes.factories:Tiny"


def images(batch=2, height=64, width=64):
    return torch.rand(batch, 3, height, width, generator=torch.Generator().manual_seed(7))


def hooks(model):
    return sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules())


@pytest.mark.parametrize(
    ("name", "channels"),
    [
        ("resnet18", (64, 128, 256, 512)),
        ("resnet50", (256, 512, 1024, 2048)),
        ("vgg19", (128, 256, 512, 512)),
        ("densenet121", (256, 512, 1024, 1024)),
        ("efficientnet_lite0", (24, 40, 112, 320)),
    ],
)
def test_the_catalogs_cut_points(name, channels):
    extractor = CodeExtractor(load_backbone(name, "none"), image_size=64)
    assert extractor.depths == ("CL1", "CL2", "CL3", "CL4")
    assert tuple(extractor.channels.values()) == channels
    assert tuple(extractor.dimensions.values()) == tuple(5 * c for c in channels)
    sizes = []
    with torch.no_grad():
        for depth in extractor.depths:
            module = extractor.backbone.model.get_submodule(extractor.taps[depth])
            handle = module.register_forward_hook(lambda *args: sizes.append(tuple(args[2].shape[2:])))
            extractor(images(1))
            handle.remove()
    # 56, 28, 14 and 7 at 224 px; DenseNet's blocks end before their transition, at the same sizes
    assert sizes == [(16, 16), (8, 8), (4, 4), (2, 2)]


@pytest.mark.parametrize(
    ("name", "taps", "size", "channels"),
    [
        ("timm/test_vit", None, (160, 160), {"CL1": 64, "CL2": 64, "CL3": 64, "CL4": 64}),
        ("timm/vit_tiny_patch16_224", ["patch_embed", "blocks.0.attn", "norm"], (224, 224), dict.fromkeys(
            ["patch_embed", "blocks.0.attn", "norm"], 192)),
        ("timm/deit_tiny_distilled_patch16_224", ["blocks.3"], (224, 224), {"blocks.3": 192}),
        ("timm/swin_tiny_patch4_window7_224", None, (224, 224), {"CL1": 96, "CL2": 192, "CL3": 384, "CL4": 768}),
        ("swin_t", ["features.0", "features.3", "features.7"], (64, 96), {
            "features.0": 96, "features.3": 192, "features.7": 768}),
    ],
)  # fmt: skip
def test_transformers(name, taps, size, channels):
    extractor = CodeExtractor(load_backbone(name, "none"), taps)
    assert extractor.channels == channels
    pixels = images(1, *size).requires_grad_()
    extraction = extractor(pixels)
    assert extraction.logits.shape == (1, 1000)
    sum(code.sum() for code in extraction.codes.values()).backward()
    assert pixels.grad.isfinite().all()
    assert pixels.grad.abs().sum() > 0


def test_a_transformers_tokens_are_summarised_on_their_grid():
    """Non-square image, three prefix tokens: the code is that of the patch tokens laid out row by row."""
    backbone = load_backbone("tests.codes.factories:timm_vit")
    tokens = []
    handle = backbone.model.blocks[1].register_forward_hook(lambda *args: tokens.append(args[2].clone()))
    with torch.no_grad():
        backbone(images(2, 32, 64))
    handle.remove()
    assert tokens[0].shape == (2, 3 + 2 * 4, 192)
    grid = torch.stack([tokens[0][:, 3 + 4 * row : 7 + 4 * row] for row in range(2)], dim=1)  # (B, 2, 4, 192)
    expected, _ = summarise(grid.permute(0, 3, 1, 2))
    # Not the extractor: its probe is square, and this ViT takes one size.
    taps = Taps(backbone.model, {"CL1": "blocks.1"}, (2, 3, 32, 64), prefix_tokens=backbone.prefix_tokens)
    with torch.no_grad(), taps:
        backbone(images(2, 32, 64))
    torch.testing.assert_close(taps.codes["CL1"], expected)


def test_swin_summarises_space_and_not_channels():
    backbone = load_backbone("swin_t", "none")
    assert backbone.layout == "NHWC"
    maps = []
    handle = backbone.model.features[3].register_forward_hook(lambda *args: maps.append(args[2].clone()))
    extractor = CodeExtractor(backbone, ["features.3"], image_size=64)
    maps.clear()
    with torch.no_grad():
        code = extractor(images(2, 64, 96)).codes["features.3"]
    handle.remove()
    assert maps[0].shape == (2, 8, 12, 192)
    torch.testing.assert_close(code, summarise(maps[0].permute(0, 3, 1, 2))[0])


def test_a_forward_returns_codes_logits_and_dead_channels():
    backbone = load_backbone(TINY, "none")
    extractor = CodeExtractor(backbone, ["conv"], ("com", "max"), image_size=8)
    extraction = extractor(images(3, 5, 7))
    assert isinstance(extraction, Extraction)
    assert extractor.statistics == ("com", "max")
    assert extractor.dimensions == {"conv": 12}
    assert extraction.codes["conv"].shape == (3, 12)
    assert extraction.dead["conv"].shape == (3,)
    torch.testing.assert_close(extraction.logits, backbone(images(3, 5, 7)))


def test_a_backbone_without_a_classifier_gives_no_logits():
    extractor = CodeExtractor(load_backbone("tests.codes.factories:Features"), ["conv"], image_size=8)
    assert extractor(images(1, 6, 6)).logits is None


def test_works_in_inference_mode_and_under_autocast():
    extractor = CodeExtractor(load_backbone(TINY, "none"), ["conv"], image_size=8)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        code = extractor(images(1, 5, 7)).codes["conv"]
    assert code.dtype == torch.float32


def test_codes_do_not_depend_on_the_batch_they_are_in():
    extractor = CodeExtractor(load_backbone("resnet18", "none"), image_size=64).train()
    with torch.no_grad():
        together, alone = extractor(images(3)).codes, extractor(images(3)[1:2]).codes
    for depth in extractor.depths:
        torch.testing.assert_close(together[depth][1:2], alone[depth], atol=1e-4, rtol=1e-4)


def test_gradients_reach_pixels_and_parameters_take_none():
    extractor = CodeExtractor(load_backbone("resnet18", "none"), image_size=64)
    pixels = images(1).requires_grad_()
    sum(code.square().sum() for code in extractor(pixels).codes.values()).backward()
    assert pixels.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in extractor.parameters())


def test_no_hook_outside_of_forward():
    extractor = CodeExtractor(load_backbone(TINY, "none"), ["conv"], image_size=8)
    assert hooks(extractor) == 0
    extractor(images(1, 5, 7))
    assert hooks(extractor) == 0
    with pytest.raises(ValueError, match="images must be"):
        extractor(images(1, 5, 7)[0])
    extractor.backbone.model.fc = torch.nn.Linear(3, 3)
    with pytest.raises(RuntimeError):
        extractor(images(1, 5, 7))
    assert hooks(extractor) == 0


def test_without_taps_the_error_lists_layers_and_shapes():
    backbone = load_backbone(TINY, "none")
    with pytest.raises(
        ValueError, match=r"no default taps; .*\{'CL1': 'conv'\}.*conv \(1, 4, 8, 8\), norm \(1, 4, 8, 8\)"
    ):
        CodeExtractor(backbone, image_size=8)
    assert hooks(backbone) == 0


def test_the_probe_sees_what_a_single_image_hides():
    backbone = load_backbone("tests.codes.factories:sequence_first")
    with pytest.raises(ValueError, match=r"layer '1' of .* gives shape \(1, 2, 4\) for 2 images"):
        CodeExtractor(backbone, ["1"], image_size=1)  # (1, 1, 4) for one image


def test_an_unknown_layer_is_named():
    with pytest.raises(ValueError, match=rf"layer 'conf' is not a module of {TINY}; did you mean 'conv'"):
        CodeExtractor(load_backbone(TINY, "none"), ["conf"], image_size=8)
