"""Datasets of every kind: their rows are those that `datasets` gives, and only what is new is read."""

import json
import os
from itertools import count
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hf_assets import schema
from hf_assets.encode.media_files import by_file, media_of
from hf_assets.errors import DatasetError
from hf_assets.hub import api
from hf_assets.sources.formats import conversion
from hf_assets.sources.formats.parquet import WantedColumns
from hf_assets.sources.source import source_of
from hf_assets.sources.spec import SourceSpec
from hf_assets.stages import captions
from hf_assets_tests.contract.image_rows import Row, image_bytes
from hf_assets_tests.local_hub import LocalHub
from hf_assets_tests.sources.kinds import KINDS, csv_beside, imagefolder, parquet_of_paths, webdataset
from hf_assets_tests.sources.parquet_files import noise, parquet
from hf_assets_tests.sources.reading import as_datasets_reads, read, samples

NUMBERS = count()
ROWS = [Row(image_bytes(n, 16, 16), f"picture {n}") for n in range(4)]


@pytest.fixture
def name() -> str:
    return f"formats/d{next(NUMBERS)}"


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "WAITS_S", (0.0, 0.0, 0.0, 0.0))


EXPECTED = [(row.caption, row.image) for row in ROWS]


@pytest.mark.parametrize("kind", [name for name, kind in KINDS.items() if kind.entry["type"] == "huggingface"])
def test_rows_come_with_their_own_media_and_captions(kind: str, hub: LocalHub, name: str, tmp_path: Path) -> None:
    entry = KINDS[kind].entry
    wanted = WantedColumns(entry.get("image_column", "image"), (entry.get("caption_column", "caption"),))
    hub.commit(name, dict(KINDS[kind].files([ROWS[:2], ROWS[2:]], "")))
    assert samples(name, tmp_path, wanted, streaming=entry.get("streaming", False)) == EXPECTED
    if kind in ("imagefolder", "webdataset", "arrow"):  # in the others, `datasets` doesn't find the media
        assert as_datasets_reads(name, wanted) == EXPECTED


METADATA = {
    "csv": b"caption,file_name\npicture 0,b/0.png\n,1.png\n",
    "jsonl": b'{"file_name": "b/0.png", "caption": "picture 0"}\n{"file_name": "1.png", "caption": null}',
    "parquet": parquet({"caption": ["picture 0", None], "file_name": ["b/0.png", "1.png"]}),
}


@pytest.mark.parametrize("kind", METADATA)
def test_metadata_of_a_folder_may_be_of_any_kind(kind: str, hub: LocalHub, name: str, tmp_path: Path) -> None:
    media = {"train/b/0.png": ROWS[0].image or b"", "train/1.png": ROWS[1].image or b""}
    hub.commit(name, {f"train/metadata.{kind}": METADATA[kind], **media})
    assert samples(name, tmp_path) == [("picture 0", ROWS[0].image), (None, ROWS[1].image)]


LABELLED = {
    "train/cat/0.png": ROWS[0].image or b"",
    "train/dog/1.png": ROWS[1].image or b"",
    "test/bee/2.png": ROWS[2].image or b"",
}


def test_folders_without_metadata_have_the_labels_of_their_folders(hub: LocalHub, name: str, tmp_path: Path) -> None:
    hub.commit(name, dict(LABELLED))
    wanted = WantedColumns("image", ("label",))
    found = samples(name, tmp_path, wanted)
    assert found == as_datasets_reads(name, wanted) == [(1, ROWS[0].image), (2, ROWS[1].image)]
    readme = b"---\nconfigs:\n- config_name: default\n  data_files: train/**\n  drop_labels: true\n---\n"
    hub.commit(name, {"README.md": readme})
    with pytest.raises(DatasetError, match='column "label" is not in the dataset'):
        read(name, tmp_path, wanted)


def test_a_table_of_a_folder_costs_no_byte_of_media(hub: LocalHub, name: str, tmp_path: Path) -> None:
    files = imagefolder([ROWS], "")
    hub.commit(name, dict(files))
    hub.reset_counters()
    found, *_ = read(name, tmp_path)
    assert hub.files_sent(name) == {"train/metadata.jsonl"}
    assert found.bytes_read == len(files["train/metadata.jsonl"])
    hub.reset_counters()
    again, *_ = read(name, tmp_path)
    assert (again.bytes_read, again.computed, len(hub.requests), again.version) == (0, 0, 1, found.version)


def test_a_new_archive_is_the_only_one_that_is_turned(hub: LocalHub, name: str, tmp_path: Path) -> None:
    wanted = WantedColumns("png", ("txt", "__url__"))
    hub.commit(name, dict(webdataset([ROWS[:2]], "")))
    assert read(name, tmp_path, wanted)[0].computed == 2
    hub.commit(name, dict(webdataset([ROWS[2:]], "later")))
    hub.reset_counters()
    grown, *_ = read(name, tmp_path, wanted)
    assert (grown.computed, hub.files_sent(name)) == (2, {"data/train-later0000.tar"})
    assert (
        schema.column(grown.table, "__url__").to_pylist()
        == ["data/train-0000.tar"] * 2 + ["data/train-later0000.tar"] * 2
    )
    kept = sorted((tmp_path / "converted").iterdir())
    assert len(kept) == 2
    kept[0].unlink()  # what is remembered of it stays
    assert samples(name, tmp_path, wanted) == EXPECTED


def test_texts_beside_media_are_said_to_be_no_table(hub: LocalHub, name: str, tmp_path: Path) -> None:
    hub.commit(name, {"0.png": ROWS[0].image or b"", "0.txt": b"a cat", "1.png": ROWS[0].image or b"", "1.txt": b"x"})
    with pytest.raises(
        DatasetError, match=r'its files for lines of text .*"caption_strategy": "textfile".* as "a cat", "x"'
    ):
        read(name, tmp_path)


def test_settings_of_the_readme_change_rows_and_so_their_identity(hub: LocalHub, name: str, tmp_path: Path) -> None:
    hub.commit(name, {"data/train.csv": b"image^caption\na.png^x\n", "data/a.png": ROWS[0].image or b""})
    with pytest.raises(DatasetError, match='column "image" is not in the dataset'):
        read(name, tmp_path)
    before = source_of(SourceSpec(dataset_name=name), tmp_path).resolve()
    readme = b'---\nconfigs:\n- config_name: default\n  data_files: data/train.csv\n  sep: "^"\n---\n'
    hub.commit(name, {"README.md": readme})
    assert samples(name, tmp_path) == [("x", ROWS[0].image)]
    after = source_of(SourceSpec(dataset_name=name), tmp_path).resolve()
    assert before.files[0].content == after.files[0].content
    assert before.fingerprint != after.fingerprint


NUMBERED = {
    "data/train.csv": (b"image,caption\na.png,007\n", "007"),
    "data/train.jsonl": (b'{"image": "a.png", "caption": 7}', "7"),
    "data/train.parquet": (parquet({"image": ["a.png"], "caption": [7]}), None),  # which says itself what it holds
}


@pytest.mark.parametrize("path", NUMBERED)
def test_numbers_are_captions_where_the_readme_says_that_they_are_text(
    path: str, hub: LocalHub, name: str, tmp_path: Path
) -> None:
    data, text = NUMBERED[path]
    hub.commit(name, {path: data, "data/a.png": b"x"})
    found, *_ = read(name, tmp_path)
    with pytest.raises(DatasetError, match=r'"caption" holds int64, not text: .+dtype: string'):
        captions.extract(found.table, captions.CaptionRules())
    columns = "".join(f"  - name: {column}\n    dtype: string\n" for column in ("image", "caption"))
    hub.commit(name, {"README.md": f"---\ndataset_info:\n  features:\n{columns}---\n".encode()})
    found, *_ = read(name, tmp_path)
    if text is None:
        with pytest.raises(DatasetError, match='"caption" holds int64'):
            captions.extract(found.table, captions.CaptionRules())
    else:
        assert captions.extract(found.table, captions.CaptionRules())[0]["captions"].to_pylist() == [[text]]


def test_types_of_columns_may_change_within_a_file(hub: LocalHub, name: str, tmp_path: Path) -> None:
    """Ten thousand lines are read at a time, each with types of its own."""
    lines = [f"a.png,x,{n}" for n in range(10_000)] + ["a.png,x,0.5", "a.png,x,"]
    hub.commit(name, {"train.csv": "\n".join(["image,caption,score", *lines]).encode(), "a.png": b"x"})
    found, *_ = read(name, tmp_path, WantedColumns("image", ("caption", "score")))
    assert schema.column(found.table, "score").to_pylist()[9_998:] == [9998.0, 9999.0, 0.5, None]


def test_groups_of_a_large_file_are_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversion, "GROUP_BYTES", 2000)
    source = tmp_path / "train.tar"
    many = [Row(noise(500, n), str(n)) for n in range(200)]
    source.write_bytes(webdataset([many], "")["data/train-0000.tar"])
    conversion.convert(source, "train.tar", conversion.Format("webdataset", {}, None), tmp_path / "out.parquet")
    made = pq.ParquetFile(tmp_path / "out.parquet")
    assert made.metadata.num_rows == 200
    assert max(made.metadata.row_group(n).num_rows for n in range(made.num_row_groups)) <= conversion.BATCH_ROWS[True]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"train.jsonl": b'{"image": "a.png", "caption": [}'}, r'"train.jsonl" can\'t be read as JSON Lines .+; mend'),
        ({"train.tar": noise(600)}, r'"train.tar" can\'t be read as webdataset \(.+\): mend the file'),
        ({"train.arrow": b"x"}, r'"train.arrow" can\'t be read as arrow \(.+\): mend the file'),
        ({"train/metadata.jsonl": b'{"a": 1}', "train/a.png": b"x"}, r"`file_name`.* must be present"),
        (
            {"train.csv": b"image,caption\nhttps://example.org/a.png,x\n"},
            r'column "image" of dataset .* holds an address \(https://example.org/a.png\)',
        ),
    ],
)
def test_what_cannot_be_read_is_said_in_a_line(
    files: dict[str, bytes], message: str, hub: LocalHub, name: str, tmp_path: Path
) -> None:
    hub.commit(name, dict(files))
    with pytest.raises(DatasetError, match=message) as caught:
        read(name, tmp_path)
    assert "\n" not in str(caught.value)
    assert not list((tmp_path / "converted").glob(".*"))


# Media named by path


def test_paths_lead_from_the_rows_file_or_from_the_repository(hub: LocalHub, name: str, tmp_path: Path) -> None:
    near, far = ROWS[0].image or b"", ROWS[1].image or b""
    texts = ["a.png", "./a.png", "b/c.png", "sub/../a.png", f"hf://datasets/{name}/b/c.png", "../../x.png", "none.png"]
    hub.commit(
        name,
        {
            "data/train.jsonl": "\n".join(json.dumps({"image": text, "caption": text}) for text in texts).encode(),
            "data/a.png": near,
            "a.png": far,
            "b/c.png": far,
        },
    )
    assert [media for _, media in samples(name, tmp_path)] == [near, near, far, near, far, None, None]


def test_bytes_in_a_row_come_before_a_path(hub: LocalHub, name: str, tmp_path: Path) -> None:
    values = [
        {"bytes": b"own", "path": "a.png"},
        {"bytes": None, "path": "a.png"},
        {"bytes": None, "path": None},
        None,
    ]
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    data = parquet({"image": pa.array(values, kind), "caption": list("abcd")})
    hub.commit(name, {"data/train.parquet": data, "a.png": b"file"})
    assert samples(name, tmp_path) == [("a", b"own"), ("b", b"file"), ("c", None), ("d", None)]


def test_rows_without_media_do_not_make_the_others_be_read(hub: LocalHub, name: str, tmp_path: Path) -> None:
    """Paths that come with the bytes name no files of the repository: so they are all that is looked at."""
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    values = [{"bytes": noise(500_000, n), "path": f"{n}.png"} for n in range(9)]
    data = parquet({"image": pa.array([*values, None], kind), "caption": ["x"] * 10})
    hub.commit(name, {"data/train.parquet": data, "logo.png": b"x"})
    hub.reset_counters()
    read(name, tmp_path)
    assert hub.bytes_sent(name, "data/") < 100_000  # the footer, with a little more


def test_a_changed_media_file_changes_what_the_revision_is(hub: LocalHub, name: str, tmp_path: Path) -> None:
    files = parquet_of_paths([ROWS], "")
    hub.commit(name, dict(files))
    before, _, first = read(name, tmp_path)
    media = next(path for path in files if path.endswith(".png"))
    hub.commit(name, {"README.md": b"about", "notes.txt": b"x"})
    same, _, second = read(name, tmp_path)
    assert (same.version, second.fingerprint) == (before.version, first.fingerprint)
    hub.commit(name, {media: b"another"})
    after, _, third = read(name, tmp_path)
    assert after.computed == 0
    assert after.version != before.version
    assert third.fingerprint != first.fingerprint
    hub.commit(name, {"more.png": b"another"})  # that no row names
    later, _, fourth = read(name, tmp_path)
    assert (later.version, fourth.fingerprint != third.fingerprint) == (after.version, True)


def test_a_damaged_copy_is_fetched_again(hub: LocalHub, name: str, tmp_path: Path) -> None:
    hub.commit(name, dict(csv_beside([ROWS[:1]], "")))
    found, source, snapshot = read(name, tmp_path)
    [part] = by_file(found.table, snapshot)
    assert source.read(snapshot, part.file) == ROWS[0].image
    source.fetch(snapshot, part.file).resolve().write_bytes(b"damaged")
    assert source.read(snapshot, part.file) == ROWS[0].image


# Which files


def test_data_files_choose_files_as_datasets_does(hub: LocalHub, name: str, tmp_path: Path) -> None:
    import datasets

    hub.commit(name, {f"{n}/x.csv": f"image,caption\na.png,{n}\n".encode() for n in "abc"} | {"a.png": b"x"})
    for data_files in ("a/*.csv", ["c/x.csv", "a/x.csv"], {"train": "b/*", "test": ["a/*"]}):
        captions = [caption for caption, _ in samples(name, tmp_path, data_files=data_files)]
        assert captions == datasets.load_dataset(name, data_files=data_files, split="train")["caption"][:]
    with pytest.raises(DatasetError, match="data_files match no file that is read: correct the pattern"):
        read(name, tmp_path, data_files="no/*.csv")


SLICES = ["train", "train[:50%]", "train[1:]", "train[-1:]", "train[:34%]", "train[25%:-25%]", "train[5:9]+test"]
SLICES += ["test+train", "train[3:1]", "train[:1_0]", "test[:1]+train[2:3]+test[1:]", "train[:67%](closest)"]


@pytest.mark.parametrize("split", SLICES)
def test_slices_take_what_datasets_takes(split: str, hub: LocalHub, tmp_path: Path) -> None:
    import datasets

    name = "formats/slices"
    if hub.load("dataset", name) is None:
        numbers = {"train-0": range(4), "train-1": range(4, 7), "test-0": range(10, 13)}
        hub.commit(
            name,
            {
                f"data/{part}.parquet": parquet({"image": [b"x"] * len(n), "caption": [str(i) for i in n]})
                for part, n in numbers.items()
            },
        )
    found, *_ = read(name, tmp_path, split=split)
    whole = {"train": [str(n) for n in range(7)], "test": [str(n) for n in range(10, 13)]}
    taken = datasets.ReadInstruction.from_spec(split).to_absolute({key: len(of) for key, of in whole.items()})
    expected = [caption for part in taken for caption in whole[part.splitname][part.from_ : part.to]]
    assert schema.column(found.table, "caption").to_pylist() == expected
    assert found.table["row"].to_pylist() == list(range(len(expected)))
    other, *_ = read(name, tmp_path, split="train[2:4]")
    assert other.version != found.version


@pytest.mark.parametrize("revision", ["side", "v1", "refs/pr/3", "refs/convert/parquet", None])
def test_every_kind_of_revision_is_read(revision: str | None, hub: LocalHub, name: str, tmp_path: Path) -> None:
    old = hub.commit(name, {"train.csv": b"image,caption\na.png,old\n", "a.png": b"x"})
    if revision == "v1":
        hub.create_tag(name, revision)
    elif revision is not None:
        hub.create_branch(name, revision)
    hub.commit(name, {"train.csv": b"image,caption\na.png,new\n"})
    assert samples(name, tmp_path, revision=revision or old) == [("old", b"x")]
    assert samples(name, tmp_path) == [("new", b"x")]


# Streaming


def test_streaming_reads_row_groups_with_wanted_rows_and_keeps_no_copy(
    hub: LocalHub, name: str, tmp_path: Path
) -> None:
    media = [noise(100_000, n) for n in range(8)]
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    values = pa.array([{"bytes": data, "path": None} for data in media], kind)
    data = parquet({"image": values, "caption": list("abcdefgh")}, row_group_size=2)
    hub.commit(name, {"data/train.parquet": data})
    found, source, snapshot = read(name, tmp_path, streaming=True)
    wanted = found.table.filter(pa.array([n in (2, 5) for n in range(8)]))
    hub.reset_counters()
    streamed = list(media_of(by_file(wanted, snapshot), source, snapshot, "image"))
    assert [one.data for one in streamed] == [media[2], media[5]]
    sent = hub.bytes_sent(name, "data/")
    assert 400_000 < sent < 480_000  # and the footer
    assert sum(one.num_bytes for one in streamed) <= sent
    assert sum(one.num_bytes for one in streamed) >= 400_000
    cache = Path(os.environ["HF_HUB_CACHE"]) / f"datasets--{name.replace('/', '--')}"
    assert not [path for path in cache.rglob("*") if path.is_file() and path.stat().st_size > 1000]
    assert read(name, tmp_path)[0].table.equals(found.table)


@pytest.mark.parametrize("kind", ["webdataset", "arrow", "lance", "zip"])
def test_media_in_archives_are_not_streamed(kind: str, hub: LocalHub, name: str, tmp_path: Path) -> None:
    hub.commit(name, dict(KINDS[kind].files([ROWS], "")))
    for _ in range(2):  # also where the listing is remembered
        with pytest.raises(DatasetError, match="which are copied before they are read: remove streaming"):
            read(name, tmp_path, streaming=True)
        source_of(SourceSpec(dataset_name=name), tmp_path).resolve()


def test_kinds_that_hold_pickled_data_are_refused(hub: LocalHub, name: str, tmp_path: Path) -> None:
    hub.commit(name, {"README.md": b"---\nconfigs:\n- config_name: a\n  data_files: x.pkl\n---\n", "x.pkl": b"x"})
    with pytest.raises(DatasetError):
        read(name, tmp_path)
    assert "pandas" not in (*conversion.CONVERTED, *conversion.FOLDERS)


@pytest.mark.parametrize(("ending", "column"), [("mp4", "video"), ("flac", "audio")])
def test_folders_of_other_media_are_read_without_what_decodes_them(
    ending: str, column: str, hub: LocalHub, name: str, tmp_path: Path
) -> None:
    line = json.dumps({"file_name": f"clips/1.{ending}", "caption": "x"}).encode()
    hub.commit(name, {"train/metadata.jsonl": line, f"train/clips/1.{ending}": b"clip"})
    wanted = WantedColumns(column, ("caption",))
    assert samples(name, tmp_path, wanted) == [("x", b"clip")]
