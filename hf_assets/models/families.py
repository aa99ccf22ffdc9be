"""What neither a pipeline's configuration nor its code tells: one readable row for each exception."""

from typing import NamedTuple

# Pipelines in which one forward over several captions gives each caption what it gets alone, to 1e-5 (tested).
# All others are encoded one caption at a time: some pad to the longest caption of the batch.
BATCHED_TEXT = frozenset(
    {
        "FluxPipeline",
        "StableDiffusion3Pipeline",
        "StableDiffusionPipeline",
        "StableDiffusionXLPipeline",
    }
)

# Components outside the library diffusers that no `encode_prompt` uses: their weights are neither fetched nor loaded.
NOT_TEXT = frozenset(
    {
        "feature_extractor",
        "image_encoder",
        "image_normalizer",
        "image_processor",
        "safety_checker",
        "scheduler",
        "vae",
        "vocoder",
    }
)


class Shell(NamedTuple):
    """A component of which the text side reads the configuration, so that it can't be None there.

    Attributes:
        unless: the component that makes this one unnecessary, where there is one.
    """

    component: str
    unless: str | None = None


# pipeline class -> the components to stand in for without their weights.
SHELLS = {
    "HunyuanVideo15Pipeline": Shell("vae"),
    "StableAudioPipeline": Shell("transformer"),
    # Without T5 the pipeline makes zeros as wide as the transformer reads.
    "StableDiffusion3Pipeline": Shell("transformer", unless="text_encoder_3"),
}

# Pipelines whose text side isn't one call of `encode_prompt`, and why.
UNSUPPORTED_TEXT = {
    "AceStepPipeline": "it encodes lyrics beside the caption",
    "HunyuanDiTPipeline": "it calls encode_prompt once for each of its two text encoders",
    "HunyuanImagePipeline": "its encode_prompt fails on two captions, which find the batch axis (diffusers 0.42)",
}

# Pipelines whose latents follow another rule than the VAE's own configuration, and why.
UNSUPPORTED_LATENTS = {
    "Cosmos2TextToImagePipeline": "it scales latents by its scheduler's sigma_data",
    "Cosmos2VideoToWorldPipeline": "it scales latents by its scheduler's sigma_data",
    "CosmosTextToWorldPipeline": "it scales latents by its scheduler's sigma_data",
    "CosmosVideoToWorldPipeline": "it scales latents by its scheduler's sigma_data",
    "SanaSprintPipeline": "it scales latents by its scheduler's sigma_data",
}

# Pipelines that ignore the shift_factor of their VAE's configuration.
IGNORES_SHIFT = frozenset(
    {
        "Kandinsky5I2IPipeline",
        "Kandinsky5I2VPipeline",
        "Kandinsky5T2IPipeline",
        "Kandinsky5T2VPipeline",
    }
)

# Autoencoders that fail on a batch of more than one (a mask is broadcast wrongly, diffusers 0.42).
ONE_AT_A_TIME = frozenset({"AutoencoderKLHunyuanVideo15"})
