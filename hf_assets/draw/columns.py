"""What the columns of our tables hold, for people who look at them in the page."""

from typing import Any

import pyarrow as pa

from hf_assets import inert

MEANING = {
    "row": "Position in the split, from 0.",
    "columns": "The dataset's own columns that the config names.",
    "file_path": "The file that holds the row, within the repository or folder.",
    "file_hash": "Hash of that file's content.",
    "file_row": "Position within that file.",
    "dropped_for": "The first rule that the row breaks.",
    "captions": "All captions of the row, stripped.",
    "media_hash": "Hash of the media's bytes.",
    "original_size": "Width and height as displayed, in pixels.",
    "resized_size": "Width and height before the crop, in pixels.",
    "intermediary_size": "Width and height as trainers are given them, in pixels.",
    "target_size": "Width and height of what is encoded, in pixels.",
    "crop_top_left": "Top and left of the crop in the resized image, in pixels.",
    "aspect_ratio": "Width over height, rounded.",
    "bucket": "Shape of what is encoded: samples of one bucket fit into one batch.",
    "cell": "Left, top, width and height of the image's part that is taken, in pixels.",
    "decoding": "What was done to the media beyond plain decoding, such as a colour profile converted; null: nothing.",
    "latent_key": "Name of the latent: the hash of all that it depends on.",
    "latent_shape": "Shape of the latent, without the batch axis.",
    "shard": "The file in the store that holds the tensors.",
    "num_bytes": "Of the sample's tensors, as they are stored.",
    "caption": "The text that is embedded.",
    "embed_key": "Name of the embed: the hash of all that it depends on.",
    "embed_keys": "Names of the embeds of the row's captions, in their order.",
    "empty_caption_key": "Name of the empty caption's embed, which takes the place of captions that are left out.",
    "file": "Name under which trainers know the row.",
    "source_path": "The file that is the row's media, within the folder, repository or archive; null: it has none.",
    "lyrics": "The text that is sung, where the model reads it apart from the caption.",
    "original_num_frames": "Frames of the whole clip.",
    "fps": "Frames per second of the clip.",
    "rotation": "Degrees by which frames were turned counterclockwise to stand upright.",
    "first_frame": "The first frame that is encoded, from 0.",
    "num_frames": "Frames that are encoded.",
    "original_sample_rate_hz": "Samples per second as stored.",
    "original_num_channels": "Channels as stored.",
    "original_num_samples": "Samples of each channel as stored.",
    "sample_rate_hz": "Samples per second of what is encoded.",
    "num_channels": "Channels of what is encoded.",
    "mixed_to": "Channels to which the clip is mixed; one is given to both channels of a stereo encoder.",
    "first_sample": "The first sample that is encoded, from 0, at that rate.",
    "num_samples": "Samples of each channel that are encoded.",
}


def kind(arrow: pa.DataType) -> str:
    """An Arrow type in few words: `int32[2]` for two numbers, `string[]` for any number of texts."""
    if pa.types.is_dictionary(arrow):
        return kind(arrow.value_type)
    if pa.types.is_fixed_size_list(arrow):
        return f"{kind(arrow.value_type)}[{arrow.list_size}]"
    if pa.types.is_list(arrow) or pa.types.is_large_list(arrow):
        return f"{kind(arrow.value_type)}[]"
    if pa.types.is_struct(arrow):
        return f"{{{', '.join(f'{inert.text(field.name)}: {kind(field.type)}' for field in arrow)}}}"
    return str(arrow).removeprefix("large_")


def short(value: Any) -> Any:
    """A number with as many digits as a person reads: four of a fraction."""
    return float(f"{value:.4g}") if isinstance(value, float) else value
