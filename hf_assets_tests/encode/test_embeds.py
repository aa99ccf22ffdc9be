"""Captions through the worker: what is stored, what is said, what an edit of the model's settings costs."""

from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file, save_file

from hf_assets import schema
from hf_assets.config import loading
from hf_assets.encode import embeds, encoders
from hf_assets.encode.embed_stage import EmbedModel, EmbedStage
from hf_assets.encode.line import Batch
from hf_assets.engines.this_process import ThisProcess
from hf_assets.errors import ModelError
from hf_assets.models import families
from hf_assets.models.text import Outputs
from hf_assets.store.tensor_reader import TensorReader
from hf_assets_tests import tiny_pipelines

CAPTIONS = ["a cat", "a photo of a cat on a red sofa near the window", "portrait of a woman"]
ALL = 4  # with the empty one


@contextmanager
def hold_device(say: Any) -> Any:
    yield ThisProcess()


class Work:
    """One dataset whose model's settings change from run to run.

    Attributes:
        captions: of a row each.
        num_rows: of which a table has at most so many.
    """

    def __init__(self, folder: Path, family: str) -> None:
        self.folder, self.captions, self.num_rows = folder, CAPTIONS, 10
        tiny_pipelines.build(family, folder / "model")
        self.said: list[str] = []

    def run(self, **model: Any) -> tuple[int, dict[str, Any]]:
        """(captions computed, facts about them)."""
        source = {"pretrained_model_name_or_path": "model", "dtype": "float32", **model}
        dataset = {"id": "a", "type": "huggingface", "dataset_name": "user/a"}
        content = {"model": source, "datasets": [dataset]}
        self.recipe = loading.parse(content, self.folder / "datasets.json").recipes[0]
        whole = pa.table([range(len(self.captions)), [[one] for one in self.captions]], schema=schema.CAPTIONS)
        tables = [whole.slice(start, self.num_rows) for start in range(0, max(len(whole), 1), self.num_rows)]
        self.said = []
        outcome, facts, *_ = embeds.encode(self.recipe, lambda: iter(tables), None, hold_device, self.said.append)
        outcome.table.publish()
        self.table = pq.read_table(outcome.table.path)
        return outcome.computed, facts

    def read(self) -> list[dict[str, torch.Tensor]]:
        reader = TensorReader(self.recipe.folders.embeds, self.table["embed_key"])
        return [reader[index] for index in range(len(reader))]


def test_a_stored_type_costs_one_encoding_and_reports_its_error(tmp_path: Path) -> None:
    work = Work(tmp_path, "sd15")
    computed, facts = work.run()
    assert (computed, "relative_error" in facts) == (ALL, False)
    exact = work.read()
    assert work.run(embeds_dtype="float32")[0] == 0  # what it is anyway
    computed, facts = work.run(embeds_dtype="float8_e4m3fn")
    assert computed == ALL
    assert 0.01 < facts["relative_error"] < 0.04
    for read, whole in zip(work.read(), exact, strict=True):
        assert read["prompt_embeds"].dtype == torch.float32
        lost = (read["prompt_embeds"] - whole["prompt_embeds"]).norm() / whole["prompt_embeds"].norm()
        assert 0.01 < lost < 0.04
    computed, again = work.run(embeds_dtype="float8_e4m3fn")
    assert (computed, again["relative_error"]) == (0, facts["relative_error"])
    assert work.run()[0] == 0  # undone
    assert work.run(embeds_dtype="bfloat16")[0] == ALL
    assert {one["prompt_embeds"].dtype for one in work.read()} == {torch.bfloat16}


def test_the_empty_caption_has_one_embed_in_however_many_tables_rows_come(tmp_path: Path) -> None:
    work = Work(tmp_path, "sd15")
    work.num_rows = 1
    assert work.run()[0] == ALL
    assert work.table["caption"].to_pylist() == ["", *CAPTIONS]
    pieces, work.num_rows = work.table, 10
    assert work.run()[0] == 0
    assert work.table.equals(pieces)


def test_without_a_caption_there_is_no_empty_one(tmp_path: Path) -> None:
    work = Work(tmp_path, "sd15")
    work.captions = []
    assert work.run()[0] == 0
    assert len(work.table) == 0


def test_what_the_stored_type_cannot_hold_is_quarantined_and_never_stored(tmp_path: Path) -> None:
    work = Work(tmp_path, "sd15")
    file = tmp_path / "model" / "text_encoder" / "model.safetensors"
    weights = load_file(file)
    name = next(name for name in weights if name.endswith("final_layer_norm.weight"))
    save_file({**weights, name: weights[name] * 1e6}, file, {"format": "pt"})
    assert work.run(embeds_dtype="float16")[0] == 0
    assert len(work.table) == 0
    assert work.run(embeds_dtype="bfloat16")[0] == ALL
    assert all(one["prompt_embeds"].isfinite().all() for one in work.read())


def test_captions_of_different_lengths_share_a_shard_without_their_padding(tmp_path: Path) -> None:
    work = Work(tmp_path, "pixart")
    work.run()
    assert len(set(work.table["shard"].to_pylist())) == 1
    assert {tuple(one["prompt_embeds"].shape) for one in work.read()} == {(300, 32)}
    kept = sum(int(one["prompt_attention_mask"].sum()) for one in work.read())
    assert kept < 100
    shard = work.recipe.folders.embeds / f"{work.table['shard'][0].as_py()}.safetensors"
    assert kept * 32 * 4 < shard.stat().st_size < kept * 32 * 4 + 12_000  # of three times 300 rows: 115,200 bytes


def test_a_pipeline_without_a_row_says_so_once_and_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work = Work(tmp_path, "sd15")
    work.run()
    assert not any("table of families" in line for line in work.said)
    known = work.read()
    monkeypatch.delitem(families.FAMILIES, "StableDiffusionPipeline")
    assert work.run()[0] == ALL  # now its denoiser's configuration is part of the key
    assert len([line for line in work.said if "StableDiffusionPipeline is not in the table of families" in line]) == 1
    for read, expected in zip(work.read(), known, strict=True):
        torch.testing.assert_close(read["prompt_embeds"], expected["prompt_embeds"], rtol=0, atol=1e-6)
    work.run()
    assert work.said == []


class Small:
    """A text encoder on a device with room for so many captions."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.calls: list[int] = []

    def problem(self, caption: str) -> None:
        """It reads any caption."""

    def begin_tokenizing(self) -> None:
        """It has no tokenizer."""

    def compute(
        self, captions: list[str], *, lyrics: list[str] | None, durations_s: list[float] | None
    ) -> list[Outputs]:
        self.calls.append(len(captions))
        assert lyrics is None or [text.upper() for text in captions] == lyrics  # each caption keeps its own
        assert durations_s is None or [len(text) for text in captions] == durations_s
        if len(captions) > self.room:
            raise torch.OutOfMemoryError
        return [Outputs(len(captions), {"prompt_embeds": torch.tensor([float(len(caption)) for caption in captions])})]


def model(work: Work, encoder: Small) -> EmbedModel:
    work.run()
    stage = EmbedStage(work.recipe, encoders.text_of(work.recipe, embeds.VERSION), pa.table({}))
    return EmbedModel(stage, encoder)  # type: ignore[arg-type]


def batch(texts: list[dict[str, Any]]) -> Batch:
    return Batch([one["caption"] for one in texts], texts, 0)


@pytest.mark.parametrize(
    "beside", [{}, {"lyrics": ["A", "BB", "CCC", "DDDD", "EEEEE"]}, {"duration_s": [1.0, 2.0, 3.0, 4.0, 5.0]}]
)
def test_captions_that_need_too_much_memory_together_are_halved(beside: dict[str, list[Any]], tmp_path: Path) -> None:
    encoder = Small(room=2)
    texts = pa.table({"caption": ["a", "bb", "ccc", "dddd", "eeeee"], **beside}).to_pylist()
    found = model(Work(tmp_path, "sd15"), encoder).encode(batch(texts))
    lengths = [length for outputs in found.outputs for length in outputs.values["prompt_embeds"].tolist()]  # type: ignore[union-attr]
    assert lengths == [1, 2, 3, 4, 5]
    assert encoder.calls == [5, 2, 3, 1, 2]


def test_one_caption_that_needs_too_much_memory_says_what_to_set(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"set text_offload of the gpu resource .*text_quantization"):
        model(Work(tmp_path, "sd15"), Small(room=0)).encode(batch([{"caption": "a"}, {"caption": "b"}]))
