"""Where the table says that a denoiser ignores what a mask excludes: a tiny one of the family is asked."""

from collections.abc import Callable
from typing import Any

import diffusers
import pytest
import torch

from hf_assets.models import families, model_loading

TOKENS, WIDTH = 24, 32
Inputs = dict[str, Any]
SMALL = {"num_attention_heads": 2, "num_layers": 1}


def cross_attention() -> Inputs:
    return {
        "hidden_states": torch.randn(1, 4, 8, 8),
        "encoder_hidden_states": "prompt_embeds",
        "encoder_attention_mask": "mask",
    }


def sana() -> tuple[Any, Inputs]:
    model = diffusers.SanaTransformer2DModel(
        in_channels=4, out_channels=4, attention_head_dim=8, num_cross_attention_heads=2, cross_attention_head_dim=8,
        cross_attention_dim=16, caption_channels=WIDTH, sample_size=8, **SMALL,
    )  # fmt: skip
    return model, cross_attention()


def pixart() -> tuple[Any, Inputs]:
    model = diffusers.PixArtTransformer2DModel(
        attention_head_dim=8, in_channels=4, out_channels=8, cross_attention_dim=16, sample_size=8,
        caption_channels=WIDTH, use_additional_conditions=False, norm_num_groups=2, **SMALL,
    )  # fmt: skip
    return model, {**cross_attention(), "added_cond_kwargs": {"resolution": None, "aspect_ratio": None}}


def lumina2() -> tuple[Any, Inputs]:
    model = diffusers.Lumina2Transformer2DModel(
        sample_size=8, in_channels=4, hidden_size=24, num_refiner_layers=1, num_kv_heads=1, multiple_of=8,
        axes_dim_rope=(4, 4, 4), axes_lens=(64, 64, 64), cap_feat_dim=WIDTH, **SMALL,
    )  # fmt: skip
    return model, cross_attention()


def ltx() -> tuple[Any, Inputs]:
    model = diffusers.LTXVideoTransformer3DModel(
        in_channels=8, out_channels=8, attention_head_dim=8, cross_attention_dim=16, caption_channels=WIDTH, **SMALL
    )
    sizes = {"num_frames": 2, "height": 2, "width": 2}
    return model, {**cross_attention(), "hidden_states": torch.randn(1, 8, 8), **sizes}


def mochi() -> tuple[Any, Inputs]:
    model = diffusers.MochiTransformer3DModel(
        attention_head_dim=8, pooled_projection_dim=16, in_channels=4, text_embed_dim=WIDTH, time_embed_dim=4,
        num_attention_heads=2, num_layers=2,  # the last layer reads less
    )  # fmt: skip
    return model, {**cross_attention(), "hidden_states": torch.randn(1, 4, 2, 8, 8)}


def hunyuanvideo() -> tuple[Any, Inputs]:
    model = diffusers.HunyuanVideoTransformer3DModel(
        in_channels=4, out_channels=4, attention_head_dim=10, num_single_layers=1, num_refiner_layers=1,
        text_embed_dim=WIDTH, pooled_projection_dim=WIDTH, rope_axes_dim=(2, 4, 4), **SMALL,
    )  # fmt: skip
    video = torch.randn(1, 4, 2, 8, 8)
    pooled = {"pooled_projections": torch.randn(1, WIDTH), "guidance": torch.tensor([6000.0])}
    return model, {**cross_attention(), "hidden_states": video, **pooled}


TWO_ENCODERS = {"encoder_hidden_states_2": "prompt_embeds_2", "encoder_attention_mask_2": "mask_2"}


def hunyuanvideo15() -> tuple[Any, Inputs]:
    model = diffusers.HunyuanVideo15Transformer3DModel(
        in_channels=4, out_channels=4, attention_head_dim=8, num_refiner_layers=1, text_embed_dim=WIDTH,
        text_embed_2_dim=WIDTH, image_embed_dim=12, rope_axes_dim=(2, 2, 4), target_size=16, task_type="t2v", **SMALL,
    )  # fmt: skip
    media = {"hidden_states": torch.randn(1, 4, 2, 4, 4), "image_embeds": torch.zeros(1, 3, 12)}
    return model, {**cross_attention(), **TWO_ENCODERS, **media}


def hunyuanimage() -> tuple[Any, Inputs]:
    model = diffusers.HunyuanImageTransformer2DModel(
        in_channels=4, out_channels=4, attention_head_dim=8, num_single_layers=1, num_refiner_layers=1,
        text_embed_dim=WIDTH, text_embed_2_dim=WIDTH, rope_axes_dim=(4, 4), **SMALL,
    )  # fmt: skip
    return model, {**cross_attention(), **TWO_ENCODERS}


def hunyuandit() -> tuple[Any, Inputs]:
    model = diffusers.HunyuanDiT2DModel(
        attention_head_dim=8, in_channels=4, patch_size=2, sample_size=8, hidden_size=16, cross_attention_dim=WIDTH,
        cross_attention_dim_t5=WIDTH, pooled_projection_dim=16, text_len=TOKENS, text_len_t5=TOKENS,
        use_style_cond_and_image_meta_size=False, num_attention_heads=2, num_layers=2,
    )  # fmt: skip
    return model, {
        "hidden_states": torch.randn(1, 4, 8, 8),
        "encoder_hidden_states": "prompt_embeds",
        "text_embedding_mask": "mask",
        "encoder_hidden_states_t5": torch.randn(1, TOKENS, WIDTH),  # of these it reads all
        "text_embedding_mask_t5": torch.ones(1, TOKENS, dtype=torch.int64),
    }


def krea2() -> tuple[Any, Inputs]:
    model = diffusers.Krea2Transformer2DModel(
        in_channels=4, attention_head_dim=16, num_key_value_heads=1, intermediate_size=16, timestep_embed_dim=8,
        text_hidden_dim=WIDTH, num_text_layers=3, text_num_attention_heads=2, text_num_key_value_heads=2,
        text_intermediate_size=16, num_layerwise_text_blocks=1, num_refiner_text_blocks=1, axes_dims_rope=(4, 4, 8),
        **SMALL,
    )  # fmt: skip
    positions = torch.zeros(TOKENS + 16, 3)
    return model, {**cross_attention(), "hidden_states": torch.randn(1, 16, 4), "position_ids": positions}


DENOISERS: dict[str, Callable[[], tuple[Any, Inputs]]] = {
    "HunyuanDiTPipeline": hunyuandit,
    "HunyuanImagePipeline": hunyuanimage,
    "HunyuanVideo15Pipeline": hunyuanvideo15,
    "HunyuanVideoPipeline": hunyuanvideo,
    "Krea2Pipeline": krea2,
    "LTXPipeline": ltx,
    "Lumina2Pipeline": lumina2,
    "MochiPipeline": mochi,
    "PixArtSigmaPipeline": pixart,
    "SanaPipeline": sana,
}


def test_every_family_that_is_said_to_ignore_padding_is_asked():
    assert DENOISERS.keys() == {name for name, family in families.FAMILIES.items() if family.text.ignored}


@pytest.mark.filterwarnings("ignore:In CPU autocast")
@pytest.mark.parametrize("pipeline", DENOISERS)
def test_what_the_mask_excludes_does_not_reach_the_denoiser(pipeline):
    with torch.random.fork_rng(), model_loading.quiet():
        torch.manual_seed(0)
        model, inputs = DENOISERS[pipeline]()
        for parameter in model.eval().parameters():
            torch.nn.init.normal_(parameter, std=0.3)
        shape = (1, TOKENS, 3, WIDTH) if pipeline == "Krea2Pipeline" else (1, TOKENS, WIDTH)
        names = [name for name in inputs.values() if isinstance(name, str) and name.startswith("prompt_embeds")]
        embeds = {name: torch.randn(shape) for name in names}
        # Krea 2 pads in the middle, the others on the right.
        is_kept = torch.arange(TOKENS) < 9
        if pipeline == "Krea2Pipeline":
            is_kept[-3:] = True
        masks = {"mask": is_kept[None].to(torch.int64), "mask_2": is_kept[None].to(torch.int64)}
        if pipeline in ("Krea2Pipeline", "LTXPipeline", "MochiPipeline"):
            masks = {name: mask.bool() for name, mask in masks.items()}

        def denoised(embeds: dict[str, torch.Tensor]) -> torch.Tensor:
            given = {
                key: {**embeds, **masks}[value] if isinstance(value, str) else value for key, value in inputs.items()
            }
            with torch.inference_mode():
                return model(timestep=torch.tensor([500.0]), **given, return_dict=False)[0]

        whole = denoised(embeds)
        cells = is_kept.view(1, -1, *[1] * (len(shape) - 2))
        for name, tensor in embeds.items():
            without = denoised({**embeds, name: torch.where(cells, tensor, 0.0)})
            torch.testing.assert_close(without, whole, rtol=0, atol=1e-6)
            other = denoised({**embeds, name: torch.where(cells, torch.randn(shape), tensor)})
            assert (other - whole).abs().max() > 1e-3
