"""Diffusers pipelines as encoders: what they are pinned to, their fingerprints, and their two sides."""

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
