"""Text encoders of every class that diffusers' pipelines use, with two layers where the family reads no more."""

from typing import Any

import torch
import transformers

WIDTH = 32
# Of CLIP's second model, so that a mix-up of the two shows.
WIDTH_2 = 40
HEADS: dict[str, Any] = {"num_attention_heads": 4, "num_key_value_heads": 2}


def clip(
    tokenizer: Any, *, width: int = WIDTH, inner: int = 37, projection: int | None = None, positions: int = 77
) -> Any:
    """CLIP's text model, with a projection head where its size is given."""
    config = transformers.CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=inner,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=positions,
        projection_dim=projection or width,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    kind = transformers.CLIPTextModelWithProjection if projection else transformers.CLIPTextModel
    return kind(config).eval()


def t5(tokenizer: Any, *, width: int = WIDTH, inner: int = 37, multilingual: bool = False) -> Any:
    """T5's encoder, or UMT5's."""
    names = ("UMT5EncoderModel", "UMT5Config") if multilingual else ("T5EncoderModel", "T5Config")
    kind, config = (getattr(transformers, name) for name in names)
    settings = config(
        vocab_size=max(len(tokenizer), 384),  # ByT5's ids go beyond the length that its tokenizer gives
        d_model=width,
        d_kv=width // 4,
        d_ff=inner,
        num_layers=2,
        num_heads=4,
        feed_forward_proj="gated-gelu",
        is_encoder_decoder=False,
    )
    return kind(settings).eval()


def bert(tokenizer: Any) -> Any:
    config = transformers.BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=WIDTH,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=37,
    )
    return transformers.BertModel(config).eval()


def decoder(model: str, config: str, tokenizer: Any, *, layers: int = 2, **settings: Any) -> Any:
    """A language model that is read as an encoder: Qwen3, Llama, Gemma 2, GLM."""
    return getattr(transformers, model)(
        getattr(transformers, config)(**_language(tokenizer, layers), **settings)
    ).eval()


def qwen2_5_vl(tokenizer: Any, *, layers: int = 2) -> Any:
    """Qwen 2.5 VL whole, vision tower included."""
    text = {**_language(tokenizer, layers), "rope_parameters": _mrope(sections=[1, 1, 2])}
    return transformers.Qwen2_5_VLForConditionalGeneration(
        transformers.Qwen2_5_VLConfig(text_config=text, vision_config=_vision(), **_vision_tokens(tokenizer))
    ).eval()


def qwen2_5_vl_text(tokenizer: Any, *, layers: int = 2) -> Any:
    text = {**_language(tokenizer, layers), "rope_parameters": _mrope(sections=[1, 1, 2])}
    return transformers.Qwen2_5_VLTextModel(transformers.Qwen2_5_VLTextConfig(**text)).eval()


def qwen3_vl(tokenizer: Any, *, layers: int = 2) -> Any:
    rope = {**_mrope(sections=[2, 1, 1]), "mrope_interleaved": True}
    text = {**_language(tokenizer, layers), "head_dim": 8, "rope_parameters": rope}
    return transformers.Qwen3VLModel(
        transformers.Qwen3VLConfig(text_config=text, vision_config=_vision(), **_vision_tokens(tokenizer))
    ).eval()


def qwen3_vl_for_text(tokenizer: Any, *, layers: int) -> Any:
    """Qwen 3 VL with the head of a language model."""
    rope = {**_mrope(sections=[2, 1, 1]), "mrope_interleaved": True}
    text = {**_language(tokenizer, layers), "head_dim": 8, "rope_parameters": rope}
    return transformers.Qwen3VLForConditionalGeneration(
        transformers.Qwen3VLConfig(text_config=text, vision_config=_vision(), **_vision_tokens(tokenizer))
    ).eval()


def mistral3(tokenizer: Any, *, layers: int) -> Any:
    width = 16
    text = {**_language(tokenizer, layers), "model_type": "mistral", "hidden_size": width, "head_dim": 4}
    vision = {
        "model_type": "pixtral",
        "hidden_size": width,
        "num_hidden_layers": 1,
        "num_attention_heads": 4,
        "intermediate_size": 37,
        "image_size": 30,
        "patch_size": 6,
    }
    return transformers.Mistral3ForConditionalGeneration(
        transformers.Mistral3Config(
            text_config=text,
            vision_config=vision,
            image_token_index=tokenizer.convert_tokens_to_ids("[IMG]"),
        )
    ).eval()


def gemma3(tokenizer: Any) -> Any:
    vision = {
        "hidden_size": WIDTH,
        "intermediate_size": 37,
        "num_hidden_layers": 1,
        "num_attention_heads": 4,
        "image_size": 28,
        "patch_size": 14,
    }
    return transformers.Gemma3ForConditionalGeneration(
        transformers.Gemma3Config(
            text_config={**_language(tokenizer, 2), "head_dim": 8},
            vision_config=vision,
            image_token_index=5,
            boi_token_index=5,
            eoi_token_index=6,
        )
    ).eval()


def chatglm(tokenizer: Any) -> Any:
    from diffusers.pipelines.kolors import ChatGLMModel
    from diffusers.pipelines.kolors.text_encoder import ChatGLMConfig

    config = ChatGLMConfig(
        num_layers=2,
        padded_vocab_size=300,
        hidden_size=WIDTH,
        ffn_hidden_size=37,
        kv_channels=8,
        num_attention_heads=4,
        seq_length=256,
        rmsnorm=True,
        add_qkv_bias=True,
        multi_query_attention=True,
        multi_query_group_num=2,
        original_rope=True,
    )
    model = ChatGLMModel(config).eval()
    for name, parameter in model.named_parameters():  # which it leaves as the memory was
        torch.nn.init.ones_(parameter) if "norm" in name else torch.nn.init.normal_(parameter, std=0.1)
    return model


def _language(tokenizer: Any, layers: int) -> dict[str, Any]:
    return {
        "vocab_size": len(tokenizer),
        "hidden_size": WIDTH,
        "intermediate_size": 37,
        "num_hidden_layers": layers,
        "max_position_embeddings": 4096,
        **HEADS,
    }


def _vision() -> dict[str, Any]:
    return {"depth": 2, "hidden_size": WIDTH, "intermediate_size": 37, "num_heads": 4, "out_hidden_size": WIDTH}


def _vision_tokens(tokenizer: Any) -> dict[str, int]:
    tokens = {"vision_start": "vision_start", "vision_end": "vision_end", "image": "image_pad", "video": "video_pad"}
    return {f"{name}_token_id": tokenizer.convert_tokens_to_ids(f"<|{token}|>") for name, token in tokens.items()}


def _mrope(sections: list[int]) -> dict[str, Any]:
    return {"mrope_section": sections, "rope_type": "default", "rope_theta": 1e6}
