"""The edits of a dataset, of its config and of its model, and what each may cost."""

from collections.abc import Callable
from typing import NamedTuple

from hf_assets_tests.contract.conftest import ALL_EMBEDS, ALL_LATENTS, Models
from hf_assets_tests.contract.image_rows import Row, files_of
from hf_assets_tests.contract.world import World

COLUMNS = {"quality_assessment": {"clip": 1.0}, "other": 0, "alternative": "new"}
NEW_LATENTS, NEW_EMBEDS = 2, 1  # the second one's caption is known


def new(world: World) -> list[Row]:
    """Rows that a revision adds."""
    another = world.medium.another
    return [Row(another(101), "new 0", COLUMNS), Row(another(102), "picture 2", COLUMNS)]


class Edit(NamedTuple):
    """An edit and what it may cost (docs/exactness.md); `latents` is None where the medium's geometry decides."""

    number: str
    name: str
    apply: Callable[[World, Models], object]
    latents: int | None
    embeds: int
    reads_media: bool = True
    kinds: tuple[str, ...] = ("image", "video", "audio")

    def cost(self, world: World) -> tuple[int, int]:
        """(latents, embeds) computed."""
        return (world.medium.latents[self.number] if self.latents is None else self.latents), (
            self.embeds if self.embeds != ALL_EMBEDS else ALL_EMBEDS - 1 + world.num_empty
        )


def nothing(world: World, models: Models) -> None: ...


def readme_only(world: World, models: Models) -> None:
    world.commit(
        {"README.md": b"second", "data/test-00000-of-00001.parquet": files_of(new(world), split="test").popitem()[1]}
    )


def append_file(world: World, models: Models) -> None:
    world.push(world.rows[:5], world.rows[5:], new(world))


def append_in_file(world: World, models: Models) -> None:
    world.push(world.rows[:5], world.rows[5:] + new(world))


def reorder(world: World, models: Models) -> None:
    world.push(world.rows[::-1][:5], world.rows[::-1][5:])


def reshard(world: World, models: Models) -> None:
    world.push(world.rows[:2], world.rows[2:7], world.rows[7:])


def insert_in_front(world: World, models: Models) -> None:
    world.push(new(world) + world.rows[:5], world.rows[5:])


def delete_rows(world: World, models: Models) -> None:
    world.push(world.rows[1:5], world.rows[6:])


def change_media(world: World, models: Models) -> None:
    changed = [row.but(image=world.medium.another(200 + n)) if n in (2, 3) else row for n, row in enumerate(world.rows)]
    world.push(changed[:5], changed[5:])


def change_captions(world: World, models: Models) -> None:
    """Three edits: two to one new text, one to a text that is known."""
    texts = {0: "edited", 1: "edited", 2: "picture 9"}
    changed = [row.but(caption=texts.get(n, row.caption)) for n, row in enumerate(world.rows)]
    world.push(changed[:5], changed[5:])


def rename_files(world: World, models: Models) -> None:
    old = dict.fromkeys(files_of(world.rows[:5], world.rows[5:]))
    new = list(files_of(world.rows[:5], world.rows[5:]).values())
    world.commit({**old, "data/train-a.parquet": new[0], "data/train-b.parquet": new[1]})  # type: ignore[dict-item]


def change_unnamed_column(world: World, models: Models) -> None:
    changed = [row.with_columns(other=n + 100, added="new") for n, row in enumerate(world.rows)]
    world.push(changed[:5], changed[5:])


def tighten_filter(world: World, models: Models) -> None:
    world.entry["filter_func"] = {"quality_thresholds": {"clip": 0.35}}


def loosen_filter(world: World, models: Models) -> None:
    world.entry["filter_func"] = {"quality_thresholds": {"clip": 0.35}}
    world.name_folders("cache/other", "cache/other_text")
    world.materialize()
    world.entry["filter_func"] = {"quality_thresholds": {"clip": 0.15}}


def change_caption_column(world: World, models: Models) -> None:
    world.entry["caption_column"] = "alternative"
    world.rows = [row.but(caption=row.columns["alternative"]) for row in world.rows]


def change_resolution(world: World, models: Models) -> None:
    world.entry["resolution"] = 96


def change_alignment(world: World, models: Models) -> None:
    world.entry["aspect_bucket_alignment"] = 16


def fewer_frames(world: World, models: Models) -> None:
    """Only clips that are as long as the longest length lose some of their frames."""
    world.entry["video"] = {"num_frames": 9, "min_frames": 9}


def longer_clips(world: World, models: Models) -> None:
    """Clips that are too short, or too long, are dropped; the others keep their frames."""
    world.entry["video"] = {"num_frames": 17, "min_frames": 12, "max_frames": 20}


def change_lyrics(world: World, models: Models) -> None:
    """Of two rows: one loses them, the other has others."""
    words = {5: None, 8: "three four"}
    changed = [row.with_columns(lyrics=words[n]) if n in words else row for n, row in enumerate(world.rows)]
    world.push(changed[:5], changed[5:])


def shorter_intervals(world: World, models: Models) -> None:
    world.entry["audio"] = {"duration_interval": 0.2}


def end_of_clips(world: World, models: Models) -> None:
    """Only clips that are longer than what is taken of them have another end."""
    world.entry["audio"] = {"duration_interval": 0.4, "truncation_mode": "end"}


def limits_of_durations(world: World, models: Models) -> None:
    world.entry["audio"] = {"duration_interval": 0.4, "min_duration_seconds": 0.4, "max_duration_seconds": 0.9}


def change_crop_style(world: World, models: Models) -> None:
    """Only images that are larger than their target on some axis have a place to move the crop to."""
    world.entry["crop_style"] = "corner"


def crop_to_square(world: World, models: Models) -> None:
    """Square images keep their geometry."""
    world.entry["crop"] = True


def other_vae_repository(world: World, models: Models) -> None:
    world.model["vae"] = {"pretrained_model_name_or_path": f"{models.owner}/two", "subfolder": "vae"}
    world.vae_folder = str(models.folder / "two" / "vae")


def new_vae_weights(world: World, models: Models) -> None:
    folder = models.mixed("one-with-vae-of-two", "one", vae="two")
    name = world.dataset.replace("contract", models.owner)
    models.push(name, models.folder / "one")
    world.model["pretrained_model_name_or_path"] = name
    assert world.materialize().encoded == (0, 0)  # the same files under another name
    models.push(name, folder)
    world.vae_folder = str(folder / "vae")


def new_text_encoder_weights(world: World, models: Models) -> None:
    folder = models.mixed("one-with-text-of-two", "one", text_encoder="two")
    name = world.dataset.replace("contract", models.owner)
    models.push(name, folder)
    world.model["pretrained_model_name_or_path"] = name
    world.pipeline_folder = str(folder)


def change_dtype(world: World, models: Models) -> None:
    world.model["dtype"] = "bfloat16"


def model_readme(world: World, models: Models) -> None:
    models.hub.commit(f"{models.owner}/one", {"README.md": world.dataset.encode()}, repo_type="model")


def move_cache(world: World, models: Models) -> None:
    world.move_cache("elsewhere")


def trainer_keys(world: World, models: Models) -> None:
    world.entry.update(num_proc=3, vae_batch_size=7, max_workers=2, probability=0.5, repeats=2)


# Audio has no size.
WITH_SIZES = ("image", "video")

EDITS = [
    Edit("1", "none", nothing, 0, 0, reads_media=False),
    Edit("2", "commit that touches only README and another split", readme_only, 0, 0, reads_media=False),
    Edit("3", "rows appended in a new file", append_file, NEW_LATENTS, NEW_EMBEDS),
    Edit("4", "rows appended by rewriting a file", append_in_file, NEW_LATENTS, NEW_EMBEDS),
    Edit("5a", "rows reordered", reorder, 0, 0),
    Edit("5b", "files re-sharded", reshard, 0, 0),
    Edit("6", "rows inserted in front", insert_in_front, NEW_LATENTS, NEW_EMBEDS),
    Edit("7", "rows deleted", delete_rows, 0, 0),
    Edit("8", "media of two rows changed", change_media, 2, 0),
    Edit("9", "captions of three rows edited", change_captions, 0, 1),
    Edit("9b", "lyrics of two rows edited", change_lyrics, 0, 2, kinds=("audio",)),
    Edit("10", "files renamed", rename_files, 0, 0, reads_media=False),
    Edit("11", "a column that the config does not name changed, another added", change_unnamed_column, 0, 0),
    Edit("12", "filter tightened", tighten_filter, 0, 0, reads_media=False),
    Edit("13", "filter loosened by two rows", loosen_filter, 2, 2),
    Edit("14", "caption column changed", change_caption_column, 0, 10, reads_media=False),
    Edit("15a", "resolution changed", change_resolution, None, 0, kinds=WITH_SIZES),
    Edit("15b", "alignment changed", change_alignment, None, 0, kinds=("image",)),
    Edit("15c", "fewer frames of each clip", fewer_frames, None, 0, kinds=("video",)),
    Edit("15d", "limits of clips' lengths changed", longer_clips, None, 0, reads_media=False, kinds=("video",)),
    Edit(
        "15e", "shorter intervals of durations", shorter_intervals, None, 6, kinds=("audio",)
    ),  # prompts name them, the empty one, too
    Edit("15f", "the end of each clip instead of its beginning", end_of_clips, None, 0, kinds=("audio",)),
    Edit("15g", "limits of durations", limits_of_durations, None, 0, reads_media=False, kinds=("audio",)),
    Edit("16a", "crop moved to the corner", change_crop_style, None, 0, kinds=WITH_SIZES),
    Edit("16b", "crop to a square", crop_to_square, None, 0, kinds=WITH_SIZES),
    Edit("17a", "VAE of another repository", other_vae_repository, ALL_LATENTS, 0),
    Edit("17b", "VAE weights changed upstream", new_vae_weights, ALL_LATENTS, 0),
    Edit("18", "text encoder changed", new_text_encoder_weights, 0, ALL_EMBEDS),
    Edit("19", "dtype changed", change_dtype, ALL_LATENTS, ALL_EMBEDS),
    Edit("-", "README of the model changed", model_readme, 0, 0, reads_media=False),
    Edit("20a", "cache folders moved", move_cache, 0, 0, reads_media=False),
    Edit("20b", "keys that only a trainer uses", trainer_keys, 0, 0, reads_media=False),
]
