"""Random histories of upstream commits and config edits.

After each, exactly what is new was computed, and all is right. Tables are made in pieces of a few rows, and are in the
end those that a build from scratch makes as a whole.

The model is simple: a latent is its image and its geometry and its VAE and dtype, an embed is its text and its
encoder and dtype. What has been computed stays computed, whatever happens in between.
"""

import copy
import tempfile
from pathlib import Path
from typing import Any, ClassVar

import hypothesis
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from hf_assets import fingerprint
from hf_assets.stages.geometry import geometry_of
from hf_assets.stages.geometry_rules import GeometryRules
from hf_assets_tests.contract.conftest import Models
from hf_assets_tests.contract.image_rows import Row, files_of, image_bytes
from hf_assets_tests.contract.pieces import make_small, tables_of
from hf_assets_tests.contract.world import World
from hf_assets_tests.local_hub import LocalHub

# Few images and texts, so that histories come back to what they had.
IMAGES = [
    image_bytes(number, *size)
    for number, size in enumerate([(64, 64), (96, 64), (64, 96), (80, 64), (64, 72), (48, 64)])
]
SIZES = dict(zip(IMAGES, [(64, 64), (96, 64), (64, 96), (80, 64), (64, 72), (48, 64)], strict=True))
BROKEN = b"not a picture"
TEXTS = ["a cat", "a dog", "a house", " a cat ", "", None]
ROWS = st.tuples(st.integers(0, len(IMAGES)), st.sampled_from(TEXTS), st.sampled_from([0.1, 0.5, 0.9]))


def row_of(drawn: tuple[int, str | None, float]) -> Row:
    """A row from what hypothesis draws, which it can print: number of the image, caption, quality."""
    number, text, clip = drawn
    columns = {"quality_assessment": {"clip": clip}, "second": f"the second {text}", "other": 0}
    return Row([*IMAGES, BROKEN][number], text, columns)


class History(RuleBasedStateMachine):
    """One user's dataset over time."""

    hub: ClassVar[LocalHub]
    models: ClassVar[Models]
    number: ClassVar[int] = 0

    def __init__(self) -> None:
        super().__init__()
        type(self).number += 1
        self.folder = tempfile.TemporaryDirectory()
        self.latents: set[Any] = set()
        self.embeds: set[Any] = set()
        self.pending = True
        self.patch = pytest.MonkeyPatch()

    @initialize(rows=st.lists(ROWS, min_size=1, max_size=6), piece_rows=st.integers(1, 3))
    def start(self, rows: list[Any], piece_rows: int) -> None:
        make_small(self.patch, piece_rows)
        self.patch.setattr(fingerprint, "HASHED_ROWS", piece_rows)
        rows = [row_of(row) for row in rows]
        dataset = f"histories/number{self.number}"
        entry = {
            "id": "photos",
            "type": "huggingface",
            "dataset_name": dataset,
            "resolution": 64,
            "resolution_type": "pixel_area",
            "aspect_bucket_alignment": 8,
            "crop_style": "center",
            "error_budget": 1,
        }
        config = {"model": {"pretrained_model_name_or_path": "models/one", "dtype": "float32"}, "datasets": [entry]}
        self.world = World(Path(self.folder.name) / "world", self.hub, dataset, config, rows)
        self.world.pipeline_folder = str(self.models.folder / "one")
        self.world.vae_folder = str(self.models.folder / "one" / "vae")
        self.hub.commit(dataset, files_of(rows))
        self.before = copy.deepcopy(config)

    def push(self, rows: list[Row], cut: int | None = None) -> None:
        parts = [rows] if cut is None else [rows[:cut], rows[cut:]]
        self.world.push(*parts)

    # Upstream.

    @rule(new=st.lists(ROWS, min_size=1, max_size=3), at=st.integers(0, 10))
    def insert(self, new: list[Any], at: int) -> None:
        rows = self.world.rows
        self.push([*rows[:at], *map(row_of, new), *rows[at:]])

    @precondition(lambda self: len(self.world.rows) > 1)
    @rule(at=st.integers(0, 20))
    def delete(self, at: int) -> None:
        rows = list(self.world.rows)
        rows.pop(at % len(rows))
        self.push(rows)

    @rule(order=st.randoms(use_true_random=False), cut=st.integers(0, 5))
    def reorder_and_reshard(self, order: Any, cut: int) -> None:
        rows = list(self.world.rows)
        order.shuffle(rows)
        self.push(rows, cut)

    @rule(at=st.integers(0, 20), number=st.integers(0, len(IMAGES)))
    def edit_media(self, at: int, number: int) -> None:
        rows = list(self.world.rows)
        rows[at % len(rows)] = rows[at % len(rows)].but(image=[*IMAGES, BROKEN][number])
        self.push(rows)

    @rule(at=st.integers(0, 20), text=st.sampled_from(TEXTS))
    def edit_caption(self, at: int, text: str | None) -> None:
        rows = list(self.world.rows)
        rows[at % len(rows)] = rows[at % len(rows)].but(caption=text)
        self.push(rows)

    @rule(at=st.integers(0, 20))
    def duplicate(self, at: int) -> None:
        self.push([*self.world.rows, self.world.rows[at % len(self.world.rows)]])

    @rule()
    def add_a_column_and_rename(self) -> None:
        rows = [row.with_columns(other=number) for number, row in enumerate(self.world.rows)]
        old = dict.fromkeys(self.world.data_files())
        self.world.rows = rows
        (content,) = files_of(rows).values()
        self.world.commit({**old, f"data/train-renamed-{len(rows)}.parquet": content})

    # Config.

    @rule(threshold=st.sampled_from([None, 0.3, 0.7]))
    def filter(self, threshold: float | None) -> None:
        self.world.entry["filter_func"] = {} if threshold is None else {"quality_thresholds": {"clip": threshold}}

    @rule(column=st.sampled_from(["caption", "second"]))
    def caption_column(self, column: str) -> None:
        self.world.entry["caption_column"] = column

    @rule(
        resolution=st.sampled_from([64, 72]), crop=st.booleans(), style=st.sampled_from(["center", "corner", "random"])
    )
    def geometry(self, resolution: int, crop: bool, style: str) -> None:
        self.world.entry.update(resolution=resolution, crop=crop, crop_style=style)

    @rule(other=st.booleans())
    def vae(self, other: bool) -> None:
        self.world.model.pop("vae", None)
        self.world.vae_folder = str(self.models.folder / ("two" if other else "one") / "vae")
        if other:
            self.world.model["vae"] = {"pretrained_model_name_or_path": "models/two", "subfolder": "vae"}

    @rule(name=st.sampled_from(["one", "one-with-text-of-two"]))
    def encoder(self, name: str) -> None:
        self.world.model["pretrained_model_name_or_path"] = f"models/{name}"
        self.world.pipeline_folder = str(self.models.folder / name)

    @rule(dtype=st.sampled_from(["float32", "bfloat16"]))
    def dtype(self, dtype: str) -> None:
        self.world.model["dtype"] = dtype

    @rule()
    def undo(self) -> None:
        self.world.config = copy.deepcopy(self.before)
        self.world.pipeline_folder = str(self.models.folder / "one")
        self.world.vae_folder = str(self.models.folder / "one" / "vae")

    # After each.

    @invariant()
    def exactly_what_is_new_is_computed(self) -> None:
        if not hasattr(self, "world"):
            return
        counts = self.world.materialize()
        wanted = [(number, row) for number, row in enumerate(self.world.rows) if self.is_wanted(row)]
        latents = {key for number, row in wanted if (key := self.latent_of(number, row))}
        assert counts.computed["vae_latents"] == len(latents - self.latents)
        self.latents |= latents
        texts = {self.text_of(row) for _, row in wanted} | ({""} if wanted else set())
        embeds = {(text, self.world.pipeline_folder, self.world.model["dtype"]) for text in texts}
        assert counts.computed["text_embeds"] == len(embeds - self.embeds)
        self.embeds |= embeds
        assert self.world.table("training_set")["row"].to_pylist() == [
            number for number, row in enumerate(self.world.rows) if self.is_wanted(row) and row.image != BROKEN
        ]
        original = self.world.rows
        self.world.rows = [row.but(caption=self.text_of(row)) for row in original]
        self.world.check()
        self.world.rows = original

    def is_wanted(self, row: Row) -> bool:
        threshold = self.world.entry.get("filter_func", {}).get("quality_thresholds", {}).get("clip", 0)
        return row.columns["quality_assessment"]["clip"] >= threshold and bool(self.text_of(row))

    def text_of(self, row: Row) -> str:
        column = self.world.entry.get("caption_column", "caption")
        return (
            (row.caption if column == "caption" else row.columns["second"] or "").strip()
            if (row.caption or column != "caption")
            else ""
        )

    def latent_of(self, number: int, row: Row) -> Any:
        if row.image == BROKEN or row.image is None:
            return None
        entry = self.world.entry
        rules = GeometryRules(
            resolution=entry["resolution"],
            resolution_type="pixel_area",
            aspect_bucket_alignment=8,
            crop=entry.get("crop", False),
            crop_style="center",
        )
        geometry = geometry_of(*SIZES[row.image], rules)
        slack = (geometry.resized_size[0] - geometry.target_size[0], geometry.resized_size[1] - geometry.target_size[1])
        if entry["crop_style"] == "random":  # drawn from the image's hash: as the table says, which `check` holds to it
            rows = self.world.table("buckets").to_pylist()
            crop = tuple(next(bucket["crop_top_left"] for bucket in rows if bucket["row"] == number))
        else:
            crop = (0, 0) if entry["crop_style"] == "corner" else (slack[1] // 2, slack[0] // 2)
        return (
            row.image,
            geometry.resized_size,
            geometry.target_size,
            crop,
            self.world.vae_folder,
            self.world.model["dtype"],
        )

    def teardown(self) -> None:
        self.patch.undo()  # a build from scratch makes its tables as a whole
        if hasattr(self, "world"):
            fresh = self.world.from_scratch(Path(self.folder.name) / "scratch")
            assert self.world.contents() == fresh.contents()
            assert tables_of(self.world) == tables_of(fresh)
        self.folder.cleanup()


@pytest.mark.parametrize("_", [None], ids=["histories"])
def test_random(hub: LocalHub, models: Models, _: None) -> None:
    History.hub, History.models = hub, models
    models.mixed("one-with-text-of-two", "one", text_encoder="two")
    models.push("models/one-with-text-of-two", models.folder / "one-with-text-of-two")
    settings = hypothesis.settings(
        max_examples=4,
        stateful_step_count=8,
        phases=[hypothesis.Phase.generate],
        deadline=None,
        derandomize=True,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    run_state_machine_as_test(History, settings=settings)
