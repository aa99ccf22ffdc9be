"""The weights of a tiny pipeline in one file, named as Stable Diffusion's own training code names them."""

import re
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

Tensors = dict[str, torch.Tensor]


def write(folder: Path, file: Path, *, leave_out: str = "-") -> Path:
    """Write the VAE and the text encoders of a pipeline, Stable Diffusion 1.5 or XL, and return the file.

    Args:
        leave_out: how the names begin of tensors that it lacks.
    """
    is_xl = (folder / "text_encoder_2").exists()
    vae = load_file(folder / "vae" / "diffusion_pytorch_model.safetensors")
    tensors = {f"first_stage_model.{_vae_name(name)}": _as_convolution(name, value) for name, value in vae.items()}
    prefix = "conditioner.embedders.0.transformer." if is_xl else "cond_stage_model.transformer."
    clip = load_file(folder / "text_encoder" / "model.safetensors")
    tensors |= {f"{prefix}text_model.{name.removeprefix('text_model.')}": value for name, value in clip.items()}
    if is_xl:
        own = open_clip(load_file(folder / "text_encoder_2" / "model.safetensors"))
        tensors |= {f"conditioner.embedders.1.model.{name}": value for name, value in own.items()}
    tensors |= {"model.diffusion_model.input_blocks.0.0.weight": torch.zeros(8, 4, 3, 3)}  # of the denoiser
    kept = {name: value.contiguous() for name, value in tensors.items() if not name.startswith(leave_out)}
    save_file(kept, file)
    return file


def _vae_name(name: str) -> str:
    name = re.sub(r"down_blocks\.(\d)\.resnets", r"down.\1.block", name)
    name = re.sub(r"up_blocks\.(\d)\.resnets", lambda found: f"up.{3 - int(found[1])}.block", name)
    name = re.sub(r"down_blocks\.(\d)\.downsamplers\.0", r"down.\1.downsample", name)
    name = re.sub(r"up_blocks\.(\d)\.upsamplers\.0", lambda found: f"up.{3 - int(found[1])}.upsample", name)
    name = re.sub(r"mid_block\.resnets\.(\d)", lambda found: f"mid.block_{int(found[1]) + 1}", name)
    for theirs, own in (
        ("mid_block.attentions.0.", "mid.attn_1."),
        ("attn_1.group_norm", "attn_1.norm"),
        ("to_out.0", "proj_out"),
        ("to_q", "q"),
        ("to_k", "k"),
        ("to_v", "v"),
        ("conv_norm_out", "norm_out"),
        ("conv_shortcut", "nin_shortcut"),
    ):
        name = name.replace(theirs, own)
    return name


def _as_convolution(name: str, value: torch.Tensor) -> torch.Tensor:
    return value[:, :, None, None] if "attentions" in name and value.ndim == 2 else value


def open_clip(theirs: Tensors) -> Tensors:
    """CLIP's weights as OpenCLIP names them: the three projections of attention are one."""
    own: Tensors = {}
    for name, value in theirs.items():
        name = name.removeprefix("text_model.")
        if name == "text_projection.weight":
            own["text_projection"] = value.T
        elif name == "embeddings.position_embedding.weight":
            own["positional_embedding"] = value
        elif name == "embeddings.token_embedding.weight":
            own["token_embedding.weight"] = value
        elif name.startswith("final_layer_norm"):
            own[name.replace("final_layer_norm", "ln_final")] = value
        elif (found := re.fullmatch(r"encoder\.layers\.(\d+)\.(.+)", name)) and "_proj" not in found[2]:
            rest = found[2].replace("layer_norm1", "ln_1").replace("layer_norm2", "ln_2")
            rest = rest.replace("fc1", "c_fc").replace("fc2", "c_proj")
            own[f"transformer.resblocks.{found[1]}.{rest}"] = value
        elif found and ".out_proj." in name:
            own[f"transformer.resblocks.{found[1]}.{found[2].replace('self_attn', 'attn')}"] = value
    for name in [name for name in theirs if name.endswith(("q_proj.weight", "q_proj.bias"))]:
        parts = torch.cat([theirs[name.replace("q_proj", each)] for each in ("q_proj", "k_proj", "v_proj")])
        layer = re.search(r"layers\.(\d+)\.", name)
        assert layer
        own[f"transformer.resblocks.{layer[1]}.attn.in_proj_{name.rpartition('.')[2]}"] = parts
    return own
