"""Tiny random pipelines in the Hub's layout, made offline in about a second, denoiser included.

    folder = tiny_pipelines.build("sdxl", tmp_path / "sdxl", seed=1)

The classes, file names and tokenizers are those of the real families; only the sizes are small. Each VAE has the real
spatial factor of 8. The same seed gives the same weights, another seed others.
"""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from tokenizers import pre_tokenizers

WIDTH = 32  # of text encoders; the second CLIP is wider, so that a mix-up of the two shows
WIDTH_2 = 40
WORDS = sorted(
    set(
        "a photo of a cat sitting on a red sofa near the window portrait of a woman, oil painting, soft light "  # noqa: SIM905
        "um gato preto dorme na janela the quick brown fox jumps over the lazy dog 0123456789".split()
    )
)


def build(family: str, folder: Path, *, seed: int = 0) -> Path:
    """Save the family's tiny pipeline into a folder, and return the folder.

    Args:
        family: a key of `FAMILIES`.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        pipeline = FAMILIES[family]()
    _quietly(pipeline.save_pretrained, folder)
    return folder


def sd15() -> Any:
    tokenizer = clip_tokenizer()
    return diffusers.StableDiffusionPipeline(
        vae=kl_vae(channels=4, scaling_factor=0.18215),
        text_encoder=clip_text_model(tokenizer),
        tokenizer=tokenizer,
        unet=unet(cross_attention_dim=WIDTH),
        scheduler=diffusers.EulerDiscreteScheduler(steps_offset=1),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def sdxl() -> Any:
    tokenizer = clip_tokenizer()
    return diffusers.StableDiffusionXLPipeline(
        vae=kl_vae(channels=4, scaling_factor=0.13025),
        text_encoder=clip_text_model(tokenizer),
        text_encoder_2=clip_text_model(tokenizer, width=WIDTH_2, projection=WIDTH_2),
        tokenizer=tokenizer,
        tokenizer_2=tokenizer,
        unet=unet(
            cross_attention_dim=WIDTH + WIDTH_2,
            addition_embed_type="text_time",
            addition_time_embed_dim=8,
            projection_class_embeddings_input_dim=6 * 8 + WIDTH_2,  # six sizes and coordinates, and the pooled text
        ),
        scheduler=diffusers.EulerDiscreteScheduler(steps_offset=1),
    )


def sd3() -> Any:
    clip, t5 = clip_tokenizer(), t5_tokenizer()
    return diffusers.StableDiffusion3Pipeline(
        vae=kl_vae(channels=16, scaling_factor=1.5305, shift_factor=0.0609, quant_conv=False),
        text_encoder=clip_text_model(clip, projection=WIDTH),
        text_encoder_2=clip_text_model(clip, width=WIDTH_2, projection=WIDTH_2),
        text_encoder_3=t5_encoder(t5, width=96),  # at least as wide as both CLIPs: they are padded to it
        tokenizer=clip,
        tokenizer_2=clip,
        tokenizer_3=t5,
        transformer=diffusers.SD3Transformer2DModel(
            sample_size=8,
            patch_size=2,
            in_channels=16,
            out_channels=16,
            num_layers=1,
            num_attention_heads=4,
            attention_head_dim=8,
            caption_projection_dim=32,
            joint_attention_dim=96,
            pooled_projection_dim=WIDTH + WIDTH_2,
            pos_embed_max_size=8,
        ),
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(),
    )


def flux() -> Any:
    clip, t5 = clip_tokenizer(), t5_tokenizer()
    return diffusers.FluxPipeline(
        vae=kl_vae(channels=16, scaling_factor=0.3611, shift_factor=0.1159, quant_conv=False),
        text_encoder=clip_text_model(clip),
        text_encoder_2=t5_encoder(t5),
        tokenizer=clip,
        tokenizer_2=t5,
        transformer=diffusers.FluxTransformer2DModel(
            patch_size=1,
            in_channels=64,  # 16 latent channels, packed 2 x 2
            num_layers=1,
            num_single_layers=1,
            num_attention_heads=2,
            attention_head_dim=16,
            joint_attention_dim=WIDTH,
            pooled_projection_dim=WIDTH,
            axes_dims_rope=(4, 4, 8),
        ),
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(),
    )


FAMILIES: dict[str, Callable[[], Any]] = {"flux": flux, "sd15": sd15, "sd3": sd3, "sdxl": sdxl}


def kl_vae(*, channels: int, scaling_factor: float, shift_factor: float | None = None, quant_conv: bool = True) -> Any:
    """Four blocks, so that 8 x 8 pixels become one latent cell."""
    return diffusers.AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(8,) * 4,
        layers_per_block=1,
        norm_num_groups=4,
        sample_size=64,
        latent_channels=channels,
        scaling_factor=scaling_factor,
        shift_factor=shift_factor,
        use_quant_conv=quant_conv,
        use_post_quant_conv=quant_conv,
    ).eval()


def unet(**settings: Any) -> Any:
    return diffusers.UNet2DConditionModel(
        sample_size=8,
        in_channels=4,
        out_channels=4,
        block_out_channels=(8, 16),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        layers_per_block=1,
        norm_num_groups=4,
        attention_head_dim=8,
        **settings,
    ).eval()


def clip_text_model(tokenizer: Any, *, width: int = WIDTH, projection: int | None = None) -> Any:
    """CLIP's text model, with a projection head where its size is given."""
    config = transformers.CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=37,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=77,
        projection_dim=projection or width,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    kind = transformers.CLIPTextModelWithProjection if projection else transformers.CLIPTextModel
    return kind(config).eval()


def t5_encoder(tokenizer: Any, *, width: int = WIDTH) -> Any:
    config = transformers.T5Config(
        vocab_size=len(tokenizer),
        d_model=width,
        d_kv=8,
        d_ff=37,
        num_layers=2,
        num_heads=4,
        feed_forward_proj="gated-gelu",
        is_encoder_decoder=False,
    )
    return transformers.T5EncoderModel(config).eval()


@functools.cache
def clip_tokenizer() -> Any:
    """A byte-pair tokenizer in CLIP's layout: bytes, bytes that end a word, merges, then the two special tokens.

    The merges spell each known word from left to right. `BpeTrainer` gives other merges in each process.
    """
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges: dict[tuple[str, str], None] = {}
    for word in WORDS:
        *letters, last = word.lower()
        token, *rest = [*letters, f"{last}</w>"]
        for letter in rest:
            merges[token, letter] = None
            token += letter
    merged = [left + right for left, right in merges]
    tokens = dict.fromkeys(
        [*alphabet, *(letter + "</w>" for letter in alphabet), *merged, "<|startoftext|>", "<|endoftext|>"]
    )
    vocabulary = {token: number for number, token in enumerate(tokens)}
    return transformers.CLIPTokenizer(vocab=vocabulary, merges=list(merges), model_max_length=77)


@functools.cache
def t5_tokenizer() -> Any:
    """A unigram tokenizer in T5's layout: known words, and single characters for the rest.

    `UnigramTrainer` gives another vocabulary in each process, so it is not trained.
    """
    letters = sorted({letter for word in WORDS for letter in f"▁{word}"})
    pieces = {"<pad>": 0.0, "</s>": 0.0, "<unk>": 0.0}
    pieces |= dict.fromkeys(letters, -10.0) | {f"▁{word}": -5.0 for word in WORDS}
    return transformers.T5Tokenizer(vocab=list(pieces.items()), extra_ids=0, model_max_length=512)


def _quietly(save: Callable[[Path], None], folder: Path) -> None:
    transformers.utils.logging.disable_progress_bar()
    diffusers.utils.logging.disable_progress_bar()
    save(folder)
