"""SimpleTuner's keys that are not ours: those that only a trainer reads, and those that can't be kept.

The values of keys that only a trainer reads are kept for the reader, and no key of ours depends on them.
"""

from collections.abc import Mapping

# Keys of a dataset's entry that are honoured.
OF_DATASETS = (
    "audio",
    "audio_caption_fields",
    "audio_column",
    "cache_dir",
    "cache_dir_vae",
    "caption_column",
    "caption_filter_list",
    "caption_shuffle",
    "caption_strategy",
    "composite_image_config",
    "crop",
    "crop_aspect",
    "crop_aspect_buckets",
    "crop_style",
    "data_files",
    "dataset_config",
    "dataset_name",
    "dataset_type",
    "description_column",
    "disable_multiline_split",
    "disabled",
    "fallback_caption_column",
    "filter_func",
    "fps_column",
    "height_column",
    "id",
    "image_column",
    "image_embeds",
    "instance_data_dir",
    "instance_prompt",
    "lyrics_column",
    "max_num_samples",
    "max_upscale_threshold",
    "maximum_aspect_ratio",
    "maximum_image_size",
    "metadata_backend",
    "minimum_aspect_ratio",
    "minimum_image_size",
    "num_frames_column",
    "only_instance_prompt",
    "parquet",
    "prepend_instance_prompt",
    "quality_column",
    "resolution",
    "resolution_type",
    "revision",
    "split",
    "streaming",
    "target_downsample_size",
    "text_embeds",
    "type",
    "video",
    "video_column",
    "width_column",
)

# Keys of an entry that only a trainer reads.
TRAINER_ONLY = frozenset(
    [
        "auto_load",
        "bbox_column",
        "cache_dir_conditioning_image_embeds",
        "cache_file_suffix",
        "caption_dropout_probability",
        "compress_cache",
        "conditioning",
        "conditioning_data",
        "conditioning_image_embed_batch_size",
        "conditioning_image_embeds",
        "conditioning_type",
        "delete_nsfw_images",
        "delete_problematic_images",
        "delete_unwanted_images",
        "disable_validation",
        "end_epoch",
        "end_step",
        "file_extension",
        "grounding",
        "hash_filenames",
        "ignore_epochs",
        "image_processing_batch_size",
        "is_regularisation_data",
        "max_workers",
        "metadata_update_interval",
        "num_proc",
        "preserve_data_backend_cache",
        "probability",
        "read_batch_size",
        "repeats",
        "s2v_datasets",
        "scan_for_errors",
        "skip_file_discovery",
        "slider_strength",
        "source_dataset_id",
        "start_epoch",
        "start_step",
        "text_cache_disable",
        "text_cache_ondemand",
        "text_encoder_batch_size",
        "timestep_sampling_offset",
        "train_batch_size",
        "vae_batch_size",
        "vae_cache_clear_each_epoch",
        "vae_cache_disable",
        "vae_cache_ondemand",
        "vae_cache_scan_behaviour",
        "write_batch_size",
    ]
)

# Block -> keys in it of that kind.
IN_BLOCKS: Mapping[str, frozenset[str]] = {
    "audio": frozenset(
        [
            "allow_zero_audio",
            "audio_only",
            "auto_split",
            "cache_dir",
            "sample_rate",  # what the VAE reads decides it
            "source_from_video",
            "target_resolution",
        ]
    ),
    "parquet": frozenset(["bbox_column"]),
    "csv": frozenset(["bbox_column"]),
}

# Credentials, which are never read from a file.
SECRETS = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")
# How keys begin that say how a trainer reaches a cache.
OF_BACKENDS = ("aws_", "memory_filesystem_")

# Another spelling -> the usual one.
SPELLINGS = {"disable": "disabled", "is_regularization_data": "is_regularisation_data"}

# Kinds of entries that nothing is made of here -> why.
ELSEWHERE: Mapping[str, str] = {
    "caption": "it holds captions for a trainer that draws them by itself",
    "conditioning": "pairs of media with what conditions them are not made here",
    "conditioning_image_embeds": "it keeps a trainer's own caches",
    "distillation_cache": "it keeps a trainer's own caches",
    "grounding": "places of things in images are not read here",
}

# What an entry says that is left out, although a trainer reads more than settings from it -> what that is.
LEFT_OUT = {
    "conditioning": "pairs of media with what conditions them are not made here",
    "conditioning_data": "pairs of media with what conditions them are not made here",
    "grounding": "places of things in images are not read here",
}

# Images that a trainer evaluates with.
EVALUATION = "eval"

# Types of datasets that can't be read -> what to do.
UNREADABLE = {
    "csv": 'use "huggingface" or "local", since media at the addresses of a table are not fetched: download them first',
    "webshart": 'use "huggingface", which reads shards of the WebDataset format, or "local"',
}

# Keys of SimpleTuner that would change the result here, and don't yet: an error, never ignored.
NOT_YET = frozenset(["path", "path_exclude", "path_include", "path_match"])


def is_trainers(key: str, block: str = "") -> bool:
    """Whether a key of an entry, or of a block in it, is a trainer's alone."""
    return key in (IN_BLOCKS.get(block, ()) if block else TRAINER_ONLY)


# --- config.json

# key -> what is done with it.
HONOURED: Mapping[str, str] = {
    "aspect_bucket_alignment": "default of the datasets' key; an error where the family allows another only",
    "aspect_bucket_rounding": "default of the datasets' key",
    "cache_dir": "the folder of all caches that no entry names",
    "caption_dropout_probability": "default of the key that the reader gets: so often a sample has the empty caption",
    "caption_strategy": "default of the key of datasets whose type has that strategy",
    "crop": "default of the datasets' key",
    "crop_aspect": "default of the datasets' key",
    "crop_aspect_buckets": "default of the datasets' key",
    "crop_style": "default of the datasets' key",
    "data_backend_config": "the file of the datasets",
    "framerate": "5 seconds of it are the default of `video.num_frames`",
    "instance_prompt": "default of the datasets' key",
    "max_upscale_threshold": "default of the datasets' key",
    "maximum_image_size": "default of the datasets' key",
    "minimum_image_size": "default of the datasets' key",
    "model_family": "names the repository with `model_flavour`, and the family's defaults",
    "model_flavour": "see `model_family`; without it, the family's default flavour",
    "only_instance_prompt": "default of the datasets' key",
    "output_dir": "stands for `{output_dir}` in paths",
    "plugins": "Python modules whose functions filters may name",
    "prepend_instance_prompt": "default of the datasets' key",
    "pretrained_model_name_or_path": "the repository; wins over the family's",
    "pretrained_t5_model_name_or_path": "the T5 text encoder in place of the pipeline's own (`model.t5`)",
    "pretrained_vae_model_name_or_path": "the VAE in place of the pipeline's own: a repository, a folder, or one "
    "`.safetensors` file",
    "resolution": "default of the datasets' key",
    "resolution_type": "default of the datasets' key",
    "revision": "of the repository",
    "seed": "default of `caption_shuffle.seed`",
    "target_downsample_size": "default of the datasets' key",
    "tokenizer_max_length": "the most tokens of a caption; an error where the pipeline takes no such number",
    "train_batch_size": "default of the key that the reader gets",
    "vae_dtype": "the type in which is computed and stored",
    "vae_enable_tiling": "`model.vae_tiling`: it changes latents",
    "vae_path": "as `pretrained_vae_model_name_or_path`",
    "variant": "of the repository's weights",
}

# key -> why a value that would change tensors is refused.
REFUSED: Mapping[str, str] = {
    "ideogram_prompt_upsample": "a language model would rewrite captions before they are encoded, which is not done "
    "here; set it to false, or rewrite the dataset's captions",
    "t5_padding": 'the padding of captions stays as the pipeline makes it; set it to "unmodified"',
}
OTHER_ENCODERS = (
    "another text encoder than the pipeline's own can't be put in; name a pipeline that has it in "
    "pretrained_model_name_or_path"
)

# Keys that only a trainer reads, or that change how much memory and time encoding takes and not what is encoded.
OF_THE_TRAINER = frozenset(
    [
        "base_model_precision",
        "compress_disk_cache",
        "context_parallel_comm_strategy",
        "context_parallel_size",
        "hub_model_id",
        "ideogram_prompt_enhancer_head_id",
        "ltx2_first_frame_conditioning_probability",
        "ltx2_prefix_conditioning_frames",
        "minimax_music_lm_max_frames",
        "mixed_precision",
        "model_type",
        "quantize_activations",
        "quantize_via",
        "ramtorch_text_encoder",
        "sdnq_use_quantized_matmul",
        "text_cache_disable",
        "text_cache_ondemand",
        "text_encoder_1_precision",
        "text_encoder_2_precision",
        "text_encoder_3_precision",
        "text_encoder_4_precision",
        "text_encoder_batch_size",
        "user_prompt_library",
        "vae_batch_size",
        "vae_cache_disable",
        "vae_cache_ondemand",
        "vae_enable_patch_conv",
        "vae_enable_slicing",
        "vae_enable_temporal_roll",
        "validation_negative_prompt",
        "validation_num_video_frames",
        "validation_prompt",
        "validation_prompt_library",
        "validation_resolution",
        "validation_seed",
    ]
)
