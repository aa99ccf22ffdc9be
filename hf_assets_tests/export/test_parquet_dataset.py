"""A dataset of Parquet files: `datasets` reads it, our own reader does, and it goes to the Hub and back."""

import json
from pathlib import Path

import datasets
import pyarrow.parquet as pq
import pytest
import torch
from huggingface_hub import HfApi
from torch.utils.data import DataLoader

from hf_assets import files, folder
from hf_assets.errors import StoreError
from hf_assets.export import exporting
from hf_assets.store import memo
from hf_assets.store.memo import Memo
from hf_assets.store.table_file import MADE_FROM
from hf_assets.training import ExportedSet, Mixture, TrainingSet, collate
from hf_assets_tests.export.sets import Photo, TinySet, photos
from hf_assets_tests.local_hub import LocalHub

SAMPLES = [*photos("one", "two", "three"), Photo("wide", ("w", "x"), (4, 8, 16), (128, 64))]
TOKEN = "hf_pushes"
# huggingface_hub, about its own use of httpx
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=<...>' to upload:DeprecationWarning")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> TinySet:
    made = TinySet(tmp_path_factory.mktemp("sd15"), "sd15", dtype="bfloat16")
    made.write(SAMPLES)
    return made


@pytest.fixture
def token(hub: LocalHub, monkeypatch: pytest.MonkeyPatch) -> str:
    hub.add_token(TOKEN)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    return TOKEN


def test_datasets_reads_typed_columns(made: TinySet, tmp_path: Path) -> None:
    made.export("parquet", tmp_path)
    found = datasets.load_dataset(str(tmp_path / "photos"), split="train", cache_dir=str(tmp_path / "cache"))
    kinds = {name: str(feature) for name, feature in found.features.items()}
    assert kinds["caption"] == "Value('string')"
    assert kinds["latents_shape"] == "List(Value('int32'))"
    assert kinds["original_size"] == "List(Value('int32'))"
    assert "row" not in kinds
    row = next(row for row in found if row["caption"] == "w")
    latents = torch.frombuffer(bytearray(row["latents"]), dtype=getattr(torch, row["latents_dtype"]))
    sample = TrainingSet.open(made.recipe.folders.metadata)[3]
    assert torch.equal(latents.view(row["latents_shape"]), sample["latents"])
    assert row["target_size"] == [128, 64]


def test_datasets_reads_what_the_last_export_left_and_not_what_it_read_before(made: TinySet, tmp_path: Path) -> None:
    def captions() -> list[str]:
        folder, cache = str(tmp_path / "photos"), str(tmp_path / "cache")
        return sorted(datasets.load_dataset(folder, split="train", cache_dir=cache)["caption"])

    try:
        for samples in (SAMPLES, [*photos("zero"), *SAMPLES], SAMPLES[1:]):
            made.write(samples)
            made.export("parquet", tmp_path)
            assert captions() == sorted(caption for photo in samples for caption in photo.captions)
    finally:
        made.write(SAMPLES)


def test_our_reader_gives_what_the_training_set_does(made: TinySet, tmp_path: Path) -> None:
    made.export("parquet", tmp_path)
    exported, training = ExportedSet.open(tmp_path / "photos"), TrainingSet.open(made.recipe.folders.metadata)
    assert len(exported) == 5  # one has two captions
    by_caption = {sample["caption"]: sample for sample in (exported[index] for index in range(len(exported)))}
    for index in range(len(training)):
        sample = training[index]
        found = by_caption[sample["caption"]]
        for name, value in sample.items():
            if isinstance(value, torch.Tensor):
                assert torch.equal(found[name], value)
                assert found[name].dtype == value.dtype
            elif name not in ("file", "row", "source_path"):
                assert found[name] == value
    assert {shape: len(indices) for shape, indices in exported.buckets.items()} == {(4, 8, 8): 3, (4, 8, 16): 2}


def test_it_is_mixed_like_a_training_set(made: TinySet, tmp_path: Path) -> None:
    made.export("parquet", tmp_path)
    mixture = Mixture({"photos": ExportedSet.open(tmp_path / "photos")})
    batches = mixture.batches(batch_size=2)
    loader = DataLoader(mixture, batch_sampler=batches, collate_fn=collate, num_workers=1)
    assert sorted(batch["latents"].shape[0] for batch in loader) == [1, 2, 2]


def test_a_damaged_file_is_noticed(made: TinySet, tmp_path: Path) -> None:
    made.export("parquet", tmp_path)
    (file,) = (tmp_path / "photos/data").iterdir()
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    opened = ExportedSet.open(tmp_path / "photos")
    with pytest.raises(StoreError, match="is damaged"):
        [opened[index] for index in range(len(opened))]


def test_it_goes_to_the_hub_in_one_commit_and_is_read_back(
    made: TinySet, tmp_path: Path, hub: LocalHub, token: str
) -> None:
    done = made.export("parquet", tmp_path)
    (done.folder / "data/notes.txt").write_text("my own, beside them")
    pushed = exporting.push(done, "me/encoded")
    assert pushed.is_new
    files = HfApi().list_repo_files("me/encoded", repo_type="dataset")
    assert sorted(files) == [".gitattributes", "README.md", "data/train-00000-of-00001.parquet"]
    assert len(HfApi().list_repo_commits("me/encoded", repo_type="dataset")) == 2  # the first is the Hub's own
    assert HfApi().dataset_info("me/encoded").private
    card = Path(HfApi().hf_hub_download("me/encoded", "README.md", repo_type="dataset")).read_text()
    assert '"source": "me/photos"' in card
    assert str(tmp_path) not in card
    assert str(made.root) not in card
    assert len(ExportedSet.open("me/encoded")) == 5
    assert torch.equal(
        ExportedSet.open("me/encoded")[0]["latents"], ExportedSet.open(tmp_path / "photos")[0]["latents"]
    )
    found = datasets.load_dataset("me/encoded", split="train", cache_dir=str(tmp_path / "cache"))
    assert len(found) == 5
    again = exporting.push(done, "me/encoded")
    assert (again.is_new, again.commit) == (False, pushed.commit)


@pytest.mark.parametrize(("made_from", "revision"), [("v1", "abc123"), ("v0", "not known")])
def test_the_card_names_the_revision_that_the_training_set_was_made_from(
    made_from: str, revision: str, made: TinySet, tmp_path: Path
) -> None:
    root = made.recipe.folders.metadata
    facts = {"metadata": json.dumps({"revision": "abc123"})}
    memo.save(root, "raw_dataset", Memo("", {}, "v1", {}, (), facts))
    table = pq.read_table(folder.table(root, "training_set"))
    noted = {**(table.schema.metadata or {}), MADE_FROM: json.dumps({"raw_dataset": made_from})}
    files.write_table(folder.table(root, "training_set"), table.replace_schema_metadata(noted))
    try:
        card = (made.export("parquet", tmp_path).folder / "README.md").read_text()
    finally:
        made.write(SAMPLES)
    assert f'"source_revision": "{revision}"' in card


def test_a_push_sends_what_the_hub_lacks_and_removes_what_vanished(
    made: TinySet, tmp_path: Path, hub: LocalHub, token: str
) -> None:
    exporting.push(made.export("parquet", tmp_path), "me/growing")
    before = set(HfApi().list_repo_files("me/growing", repo_type="dataset"))
    hub.reset_counters()
    try:
        made.write([*photos("zero"), *SAMPLES])
        exporting.push(made.export("parquet", tmp_path), "me/growing")
    finally:
        made.write(SAMPLES)
    sent = [record for record in hub.requests if record.method == "PUT"]
    assert len(sent) == 1 + 1  # the new shard, and the card, which is larger than what goes with the commit
    after = set(HfApi().list_repo_files("me/growing", repo_type="dataset"))
    assert before - after == {"data/train-00000-of-00001.parquet"}
    assert len(ExportedSet.open("me/growing")) == 6


def test_a_repository_that_somebody_changed_meanwhile_is_left_as_it_is(
    made: TinySet, tmp_path: Path, hub: LocalHub, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = made.export("parquet", tmp_path)
    info = HfApi.dataset_info

    def look_and_lose(self: HfApi, name: str) -> object:
        found = info(self, name)
        hub.commit(name, {"README.md": b"somebody else was here"})
        return found

    monkeypatch.setattr(HfApi, "dataset_info", look_and_lose)
    with pytest.raises(StoreError, match="somebody else changed it meanwhile; do it again"):
        exporting.push(done, "me/raced")
    assert set(HfApi().list_repo_files("me/raced", repo_type="dataset")) == {".gitattributes", "README.md"}


def test_a_repository_with_other_files_is_refused(made: TinySet, tmp_path: Path, hub: LocalHub, token: str) -> None:
    hub.commit("me/precious", {"train.csv": b"text\none\n"})
    with pytest.raises(StoreError, match=r'holds other files, such as "train\.csv": push to one of its own'):
        exporting.push(made.export("parquet", tmp_path), "me/precious")


def test_without_a_token_the_way_out_is_said(made: TinySet, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="set HF_TOKEN"):
        exporting.push(made.export("parquet", tmp_path), "me/nobody")
