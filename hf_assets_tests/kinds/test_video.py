"""Datasets of clips through the whole graph, with tiny pipelines of several families."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from hf_assets import fingerprint, schema
from hf_assets.config import loading
from hf_assets.config.recipe import Recipe
from hf_assets.config.settings import VideoSettings
from hf_assets.definitions import build_definitions
from hf_assets.draw import sheets
from hf_assets.kinds.video import VideoMedium
from hf_assets.media import video
from hf_assets.models import autoencoders, load_vae
from hf_assets.models.inputs import input_of
from hf_assets.models.pipeline import PipelineSource, resolve_pipeline
from hf_assets.show import views
from hf_assets.stages import keys
from hf_assets.stages.frames import FrameRules
from hf_assets.training import TrainingSet
from hf_assets_tests import tiny_pipelines
from hf_assets_tests.video_files import clip

BYTES_AND_PATH = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


@pytest.fixture(scope="session")
def pipelines(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The folder of a family's tiny pipeline, made when it is first asked for."""
    folder, made = tmp_path_factory.mktemp("clips"), {}

    def of(family: str) -> Path:
        if family not in made:
            made[family] = tiny_pipelines.build(family, folder / family)
        return made[family]

    return of


class Made:
    """A dataset's folder after a run."""

    def __init__(self, folder: Path, model: Path, rows: pa.Table, entry: Mapping[str, Any], **files: bytes) -> None:
        data = folder / "data"
        data.mkdir(parents=True)
        pq.write_table(rows, data / "train-00000-of-00001.parquet")
        for name, content in files.items():
            (data / name).write_bytes(content)
        usual = {"resolution": 32, "resolution_type": "pixel", "aspect_bucket_alignment": 32, "crop_style": "center"}
        config = {
            "model": {"pretrained_model_name_or_path": str(model), "dtype": "float32"},
            "datasets": [
                {
                    "id": "clips",
                    "type": "huggingface",
                    "dataset_type": "video",
                    "dataset_name": str(data),
                    **usual,
                    **entry,
                }
            ],
        }
        file = folder / "datasets.json"
        file.write_text(json.dumps(config))
        definitions = build_definitions(loading.load(file))
        with dg.DagsterInstance.ephemeral() as instance:
            done = dg.materialize(
                list(definitions.assets or ()), instance=instance, resources=definitions.resources, raise_on_error=True
            )
        assert done.success
        self.folder = folder / "cache/clips/huggingface_metadata/clips"

    def rows(self, table: str) -> list[dict[str, Any]]:
        path = self.folder / f"{table}.parquet"
        return pq.read_table(path).to_pylist() if path.exists() else []

    def training_set(self) -> TrainingSet:
        return TrainingSet.open(self.folder)


def table(*clips: bytes | str | None, **columns: list[Any]) -> pa.Table:
    """Rows with clips as bytes, or as paths of files in the repository."""
    made = [{"bytes": one, "path": None} if isinstance(one, bytes) else {"bytes": None, "path": one} for one in clips]
    return pa.table(
        {
            "video": pa.array(made, BYTES_AND_PATH),
            "caption": [f"clip {n}" for n in range(len(clips))],
            **{name: pa.array(values) for name, values in columns.items()},
        }
    )


def pixels_of(data: bytes, bucket: dict[str, Any]) -> torch.Tensor:
    """(F, 3, H, W), as a row of `buckets` says."""
    names = ("resized_size", "crop_top_left", "target_size", "first_frame", "num_frames")
    return video.to_pixels(data, **{name: bucket[name] for name in names})


FRAMES = {"num_frames": 17, "min_frames": 9}


@pytest.mark.parametrize(("family", "cut"), [("wan", 13), ("ltx", 9), ("hunyuanvideo15", 13)])
def test_each_clip_keeps_its_own_frames_and_its_own_latent(
    family: str, cut: int, pipelines: Any, tmp_path: Path
) -> None:
    data = [clip(1, 30), clip(2, 16), clip(3, 17, 48, 64), clip(4, 8)]
    made = Made(tmp_path, pipelines(family), table(*data), {"video": FRAMES})
    samples = made.rows("training_set")
    assert [(one["row"], one["file"], one["num_frames"], one["original_num_frames"]) for one in samples] == [
        (0, "0.mp4", 17, 30),
        (1, "1.mp4", cut, 16),
        (2, "2.mp4", 17, 17),
    ]
    assert [one["dropped_for"] for one in made.rows("buckets_dropped")] == ["too_few_frames"]
    training = made.training_set()
    pipeline = resolve_pipeline(PipelineSource(repository=str(pipelines(family))))
    with load_vae(pipeline, torch.device("cpu"), torch.float32) as vae:
        for index, bucket in enumerate(made.rows("buckets")):
            fresh = vae.encode(pixels_of(data[bucket["row"]], bucket).transpose(0, 1)[None])[0]
            assert bucket["bucket"].endswith(f"@{bucket['num_frames']}")
            assert torch.allclose(training[index]["latents"], fresh, atol=1e-4)


def test_for_image_to_video_the_first_frame_is_stored_by_itself(pipelines: Any, tmp_path: Path) -> None:
    data = clip(1, 20)
    made = Made(tmp_path, pipelines("ltx"), table(data), {"video": {**FRAMES, "is_i2v": True}})
    sample = made.training_set()[0]
    whole = pixels_of(data, made.rows("buckets")[0])
    pipeline = resolve_pipeline(PipelineSource(repository=str(pipelines("ltx"))))
    with load_vae(pipeline, torch.device("cpu"), torch.float32) as vae:
        alone = vae.encode(whole[:1].transpose(0, 1)[None])[0]
    assert torch.equal(sample["first_frame_pixels"], whole[0])
    assert torch.allclose(sample["first_frame_latents"], alone, atol=1e-4)
    assert list(made.training_set().buckets) == [tuple(sample["latents"].shape)]


def test_columns_filter_before_any_clip_is_read_and_a_column_that_lies_changes_no_clip(
    pipelines: Any, tmp_path: Path
) -> None:
    rows = table(clip(1, 20), clip(2, 12), b"never read", frames=[20, 99, 3], rate=[12.5, None, 1.0])
    entry = {"video": FRAMES, "num_frames_column": "frames", "fps_column": "rate"}
    made = Made(tmp_path, pipelines("ltx"), rows, entry)
    assert [(one["row"], one["dropped_for"]) for one in made.rows("filtered_dropped")] == [(2, "too_few_frames")]
    facts = [(one["original_num_frames"], one["num_frames"], one["fps"]) for one in made.rows("training_set")]
    assert facts == [(20, 17, 12.5), (12, 9, 24.0)]


def test_rows_may_name_files_of_the_repository(pipelines: Any, tmp_path: Path) -> None:
    one, other = clip(1, 9), clip(2, 9)
    rows = table("a.mp4", other, "gone.mp4")
    made = Made(tmp_path, pipelines("ltx"), rows, {"video": {"num_frames": 9}}, **{"a.mp4": one})
    hashes = [one["media_hash"] for one in made.rows("training_set")]
    assert hashes == [fingerprint.of_bytes(one), fingerprint.of_bytes(other)]
    assert [one["reason"] for one in made.rows("buckets_quarantined")] == ["missing"]


def test_clips_that_cannot_be_used_are_quarantined_with_their_reason(pipelines: Any, tmp_path: Path) -> None:
    whole = clip(1, 12)
    garbled = bytearray(whole)
    at = whole.index(b"mdat") + 1500
    garbled[at : at + 900] = bytes(900)
    rows = table(whole, whole[:-300], b"no clip", bytes(garbled))
    made = Made(tmp_path, pipelines("ltx"), rows, {"video": {"num_frames": 9}, "error_budget": 1})
    assert [one["row"] for one in made.rows("training_set")] == [0]
    found = [*made.rows("buckets_quarantined"), *made.rows("vae_latents_quarantined")]
    assert [(one["row"], one["reason"]) for one in found] == [(1, "truncated"), (2, "undecodable"), (3, "undecodable")]


def test_a_pipeline_that_makes_pictures_is_refused(pipelines: Any, tmp_path: Path) -> None:
    with pytest.raises(Exception, match="makes no videos: choose a pipeline that does, or another dataset_type"):
        Made(tmp_path, pipelines("sd15"), table(clip(1, 9)), {"video": {"num_frames": 9}})


SAMPLE = {
    "row": 0,
    "media_hash": "0" * 32,
    "original_size": [64, 48],
    "original_num_frames": 30,
    "fps": 24.0,
    "rotation": 0,
    "resized_size": [43, 32],
    "intermediary_size": [43, 32],
    "target_size": [32, 32],
    "crop_top_left": [0, 5],
    "aspect_ratio": 1.0,
    "bucket": "32x32@17",
    "first_frame": 0,
    "num_frames": 17,
}


def key_of(**changes: Any) -> str:
    buckets = pa.Table.from_pylist([{**SAMPLE, **changes}], schema=schema.VIDEO_BUCKETS)
    (key,) = keys.latent_keys(buckets, VideoMedium.keyed, "e" * 32).to_pylist()
    return str(key)


def test_a_clips_key_holds_which_frames_are_taken_and_nothing_that_changes_no_latent() -> None:
    assert key_of() == "101c3cf9c84083f2a882fc5ffccc2cd6"
    changes = {"media_hash": "1" * 32, "resized_size": [44, 32], "target_size": [32, 64], "crop_top_left": [0, 6]}
    changes |= {"first_frame": 1, "num_frames": 9}
    assert len({key_of(), *(key_of(**{name: value}) for name, value in changes.items())}) == 7
    assert key_of(row=7, original_size=[1, 1], original_num_frames=31, fps=None, rotation=90, bucket="b") == key_of()


def test_for_image_to_video_everything_is_encoded_anew() -> None:
    recipes = [Recipe.model_construct(settings=VideoSettings(frames=FrameRules(is_i2v=flag))) for flag in (False, True)]
    assert len({VideoMedium(recipe).plain for recipe in recipes}) == 2


@pytest.mark.parametrize("family", ["cogvideox", "hunyuanvideo", "hunyuanvideo15", "ltx", "ltx2", "mochi", "wan"])
def test_the_stride_in_time_of_a_configuration_is_the_one_that_is_measured(family: str, pipelines: Any) -> None:
    pipeline = resolve_pipeline(PipelineSource(repository=str(pipelines(family))))
    config = json.loads((pipelines(family) / "vae/config.json").read_text())
    assert autoencoders.frame_stride(config) in (None, input_of(pipeline).temporal_stride)


@pytest.mark.parametrize(
    ("size", "num_frames", "sheet", "parts"),
    [
        ((64, 48), 17, (64, 144), (1, 3)),
        ((48, 64), 17, (144, 64), (3, 1)),
        ((64, 64), 17, (192, 64), (3, 1)),
        ((64, 48), 1, (64, 48), (1, 1)),
    ],
)
def test_a_thumbnail_shows_three_frames_of_what_is_taken_and_the_crop_in_each(
    size: tuple[int, int], num_frames: int, sheet: tuple[int, int], parts: tuple[int, int]
) -> None:
    drawn = video.sheet(video.thumbnails(clip(1, 30, *size), num_frames=num_frames))
    assert drawn.size == sheet
    small = sheets.thumbnail(drawn)
    half = [size[0] // 2, size[1]]
    sample = {
        "original_size": list(size),
        "resized_size": list(size),
        "target_size": half,
        "crop_top_left": [0, size[0] // 4],
    }
    crops = views.crops_of(sample, small.size)
    assert len(crops) == parts[0] * parts[1]
    framed = np.asarray(sheets.with_crops_framed(small, crops)).astype(int)
    is_frame = (np.abs(framed - np.array([228, 87, 46])).sum(axis=2) == 0).any(axis=0)
    across, width = parts[0], framed.shape[1]
    assert [bool(is_frame[round(width * (at + 0.25) / across)]) for at in range(across)] == [True] * across
