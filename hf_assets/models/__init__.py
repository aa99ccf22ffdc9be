"""Diffusers pipelines as encoders: what they are pinned to, their fingerprints, and their two sides.

`resolve_pipeline` pins a pipeline to a commit without a download; `vae_fingerprint` and `text_fingerprint` hash what a
latent or an embed depends on; `load_vae` and `load_text` load one side each, and never the denoiser. `input_of` says
what a VAE reads (channels, strides, sample rate) without loading its weights.

No family has encode code of its own: `prompt` reads from a pipeline's code how its `encode_prompt` is called,
`normalisation` has one rule for all autoencoders, and `families` is the table of what neither of them can know.

Open `pipeline` first, then `families`.
"""

from hf_assets.models.components import text_fingerprint, vae_fingerprint
from hf_assets.models.inputs import VaeInput, input_of, spatial_multiple
from hf_assets.models.normalisation import LatentSettings
from hf_assets.models.pipeline import ComponentSource, Pipeline, PipelineSource, resolve_pipeline
from hf_assets.models.text import TextEncoder, load_text
from hf_assets.models.vae import Vae, load_vae

__all__ = [
    "ComponentSource",
    "LatentSettings",
    "Pipeline",
    "PipelineSource",
    "TextEncoder",
    "Vae",
    "VaeInput",
    "input_of",
    "load_text",
    "load_vae",
    "resolve_pipeline",
    "spatial_multiple",
    "text_fingerprint",
    "vae_fingerprint",
]
