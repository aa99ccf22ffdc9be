"""What is small and unpacks to much takes little memory, and ends no process."""

import gzip
import io
import os
import resource
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from hf_assets.encode import media_files, probe
from hf_assets.encode.media_files import FileRows, Media, media_of
from hf_assets.encode.pipes import Budget
from hf_assets.encode.probe import Bunch, bunches_of
from hf_assets.errors import DatasetError, MediaError
from hf_assets.media import image, memory, pixels
from hf_assets.sources import rows, spec
from hf_assets.sources.formats import bounds, parquet
from hf_assets.sources.formats.parquet import WantedColumns
from hf_assets.sources.formats.parquet_pages import Watch, chunk_of
from hf_assets.sources.source import source_of
from hf_assets.sources.spec import DataFile, FolderRules, Snapshot, SourceSpec

# The peak of all attacks in one process; the data that it may have, of which not all is ever in memory.
PEAK_MIB, DATA_BYTES = 2000, 4 << 30

EXPECTED = {
    "a picture of 16,384 x 16,384 in one bit": "16,384 x 16,384 pixels of this kind take",
    "a picture of 12,000 x 12,000 with alpha": "read",
    "a caption of 5 MB in a thousand rows": "more than 200 times as many",
    "a list of it": "more than 200 times as many",
    "a page of 300 MB in a small column": "bytes, more than 20 times as many, which is not read",
    "media in such a page": "bytes, more than 20 times as many, which is not read",
    "two billion rows of nothing": "rows, more than the 33,554,432 that are read of one file",
    "the same media in many rows": "read",
    "a line of 300 MB, gzipped": "has a line of more than",
    "JSON 300,000 levels deep": "is nested more than 256 levels deep",
    "the same in lines": "is nested more than 256 levels deep",
    "a member of 300 MB": 'holds "a.png" of 314,572,800 bytes',
    "60,000 frames": "60,000 frames of 512 x 512 pixels are 47,185,920,000 bytes",
}


def test_attacks_are_lines_in_less_than_two_gigabytes(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "hf_assets_tests.hostile.attacks_of_memory", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=400,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (DATA_BYTES, DATA_BYTES)),
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = {
        name: (outcome, int(peak)) for name, outcome, peak in (line.split("\t") for line in done.stdout.splitlines())
    }
    assert found.keys() == EXPECTED.keys()
    for name, (outcome, peak) in found.items():
        assert EXPECTED[name] in outcome, (name, outcome)
        assert peak < PEAK_MIB, (name, peak)


def test_an_arrow_file_whose_buffers_unpack_to_more_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def written(num_bytes: int) -> Path:
        path = tmp_path / f"{num_bytes}.arrow"
        batch = pa.record_batch([pa.array([bytes(num_bytes)], pa.large_binary())], names=["caption"])
        with pa.ipc.new_file(path, batch.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as file:
            file.write_batch(batch)
        return path

    bounds.check(written(1000), "a.arrow", "arrow", {})
    monkeypatch.setattr(bounds, "ARROW_BYTES", 700 << 20)
    with pytest.raises(DatasetError, match="unpack to more than 4 times its size"):
        bounds.check(written(600 << 20), "a.arrow", "arrow", {})


def encoded(mode: str, orientation: int) -> bytes:
    values = np.random.default_rng(0).integers(0, 256, (61, 83, 4), np.uint8)
    floats = values[..., 0].astype(np.float32) / 255
    made = Image.fromarray(floats) if mode == "F" else Image.fromarray(values).convert(mode)
    exif = Image.Exif()
    exif[0x112] = orientation
    file = io.BytesIO()
    made.save(file, "TIFF" if mode in ("F", "CMYK") else "PNG", exif=exif)
    return file.getvalue()


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "F"])
def test_an_image_in_parts_is_the_same_image(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for orientation in range(1, 9):
        data = encoded(mode, orientation)
        monkeypatch.setattr(pixels, "BAND_PIXELS", 1 << 22)
        whole = np.asarray(image.decode(data))
        monkeypatch.setattr(pixels, "BAND_PIXELS", 83 * 7)
        assert np.array_equal(np.asarray(image.decode(data)), whole)


def test_the_limit_is_of_bytes_and_not_of_pixels_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image, "MAX_DECODED_BYTES", 83 * 61 * 7)
    image.probe(encoded("RGB", 1))
    monkeypatch.setattr(image, "MAX_DECODED_BYTES", 83 * 61 * 7 - 1)
    with pytest.raises(MediaError, match="while they are decoded, more than the limit") as caught:
        image.probe(encoded("RGB", 1))
    assert caught.value.reason == "too_large"


@pytest.mark.parametrize(("num_bytes", "at_once"), [(300, 3), (299, 2), (100, 1), (10, 1)])
def test_threads_share_the_memory_and_what_is_too_large_runs_alone(num_bytes: int, at_once: int) -> None:
    shared = memory.Memory(num_bytes)
    running, most, lock = [0], [0], threading.Lock()

    def decode() -> None:
        with shared.hold(100):
            with lock:
                running[0] += 1
                most[0] = max(most[0], running[0])
            time.sleep(0.02)
            with lock:
                running[0] -= 1

    threads = [threading.Thread(target=decode) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most[0] == at_once
    assert shared.taken == 0


def test_a_media_file_that_is_too_large_to_be_held_is_a_quarantined_row(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "a.png").write_bytes(encoded("RGB", 1))
    with (folder / "b.png").open("wb") as sparse:
        sparse.truncate(spec.MAX_MEDIA_BYTES + 1)
    rules = SourceSpec(dataset_name=str(folder), folder=FolderRules(media="image"))
    source = source_of(rules, tmp_path / "memory")
    snapshot = Snapshot(str(folder), "", True, ())
    source.hashes.of = lambda paths: dict.fromkeys(paths, "h")  # type: ignore[attr-defined]
    parts = [
        FileRows(DataFile(f"{name}.png", "h", 0), np.array([row]), np.array([-1])) for row, name in enumerate("ab")
    ]
    one, other = media_of(iter(parts), source, snapshot, "image")
    assert one.error is None
    assert other.data is None
    assert other.error is not None
    assert other.error.reason == "too_large"


def test_of_large_media_files_none_is_read_before_its_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(media_files, "FETCH_BYTES", 1000)
    names = [f"{number}.png" for number in range(6)]
    for name in names:
        (tmp_path / name).write_bytes(bytes(1000 if name == "0.png" else 1001))
    source = source_of(SourceSpec(dataset_name=str(tmp_path), folder=FolderRules(media="image")), tmp_path / "memory")
    source.hashes.of = lambda paths: dict.fromkeys(paths, "h")  # type: ignore[attr-defined]
    held: list[str] = []
    read = source.read

    def count(snapshot: Snapshot, file: DataFile, at_most: int) -> bytes | None:
        if (data := read(snapshot, file, at_most)) is not None:
            held.append(file.path)
        return data

    monkeypatch.setattr(source, "read", count)
    parts = [FileRows(DataFile(name, "h", 0), np.array([row]), np.array([-1])) for row, name in enumerate(names)]
    for number, media in enumerate(media_of(iter(parts), source, Snapshot(str(tmp_path), "", True, ()), "image")):
        assert held == names[: number + 1]
        assert len(media.data or b"") == (1001 if number else 1000)


def test_media_wait_to_be_looked_at_within_a_budget() -> None:
    budget = Budget(100)
    file = DataFile("a", "h", 0)
    media = [Media(file, row, -1, bytes(60), 60) for row in range(3)]
    waiting = bunches_of(iter(media), budget)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(probe, "BUNCH_BYTES", 50)
        first = next(waiting)
        others: list[Bunch] = []
        thread = threading.Thread(target=lambda: others.append(next(waiting)))
        thread.start()
        thread.join(0.2)
        assert not others
        budget.give_back(first.num_bytes)
        thread.join(10)
    assert [one.row for one in others[0].media] == [1]


def packed(name: str, num_bytes: int) -> bytes:
    """A gzipped tar with one member of nothing."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz", compresslevel=1) as tar:
        member = tarfile.TarInfo(name)
        member.size = num_bytes
        tar.addfile(member, io.BytesIO(bytes(num_bytes)))
    return file.getvalue()


@pytest.mark.parametrize(
    ("name", "kind", "made", "message"),
    [
        ("a.tar.gz", "webdataset", lambda: packed("a\x1b.png", 5000), r'"a.tar.gz" holds "a\\x1b.png" of 5,000 bytes'),
        ("a.csv", "csv", lambda: (b"a" * 200 + b"\n") * 100, "has 10,000 lines with more than 10,000 bytes"),
        ("a.txt.gz", "text", lambda: gzip.compress(b"a\n" * 50_000), "unpacks to more than 200 times its size"),
        (
            "a.json",
            "json",
            lambda: b"[" + b'{"a": 1},\n' * 500 + b"{}]",
            "is no json in lines, and has more than 4,000",
        ),
        ("a.txt", "text", lambda: b"a" * 4000, "has a line of more than 3,000 bytes"),
    ],
)
def test_each_way_to_be_large_has_a_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, kind: str, made: Callable[[], bytes], message: str
) -> None:
    (tmp_path / name).write_bytes(made())
    bounds.check(tmp_path / name, name, kind, {})
    limits = {"MAX_MEMBER_BYTES": 4000, "MAX_LINE_BYTES": 3000, "MAX_WHOLE_BYTES": 4000, "MAX_CSV_BYTES": 10_000}
    for limit, value in {**limits, "MIN_RATIO_BYTES": 50_000}.items():
        monkeypatch.setattr(bounds, limit, value)
    with pytest.raises(DatasetError, match=message):
        bounds.check(tmp_path / name, name, kind, {})


def test_brackets_in_texts_are_no_levels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "BLOCK_BYTES", 7)  # texts and escapes are cut anywhere
    path = tmp_path / "a.jsonl"
    path.write_text('{"caption": "[[[\\\\\\" [[ {{", "n": [[1]]}\n' * 300)
    bounds.check(path, path.name, "json", {})
    path.write_text('{"caption": "\\\\", "n": ' + "[" * 300 + "]" * 300 + "}\n")
    with pytest.raises(DatasetError, match="is nested more than 256 levels deep"):
        bounds.check(path, path.name, "json", {})


@pytest.mark.parametrize(
    "options", [{}, {"data_page_version": "2.0"}, {"data_page_size": 1000}, {"compression": "zstd"}]
)
@pytest.mark.parametrize("step", [7, 4096, 1 << 20])
def test_every_page_of_a_parquet_file_is_looked_at(options: dict[str, Any], step: int) -> None:
    file = io.BytesIO()
    columns = {
        "a": [f"text {n % 100}" * 20 for n in range(900)],
        "b": [{"bytes": b"q" * 100, "path": None}] * 900,
        "c": [[n, 2] for n in range(900)],
    }
    pq.write_table(pa.table(columns), file, row_group_size=400, write_page_checksum=True, **options)
    facts = pq.ParquetFile(file).metadata
    chunks = [chunk_of(facts.row_group(g).column(c)) for g in range(facts.num_row_groups) for c in range(4)]
    watch = Watch(chunks, "a.parquet")
    for start in range(0, len(file.getvalue()), step):
        watch.see(start, file.getvalue()[start : start + step])
    assert watch.next == {chunk: chunk.stop for chunk in chunks}


def test_a_footer_without_an_end_and_columns_of_many_files_have_limits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    for name in "abc":
        columns = {f"column {n}": ["x"] for n in range(1000)}
        pq.write_table(pa.table({"image": [b"a"], "caption": ["x" * 1000], **columns}), folder / f"{name}.parquet")

    def read() -> None:
        source = source_of(SourceSpec(dataset_name=str(folder)), tmp_path / "memory")
        wanted = WantedColumns("image", ("caption",))
        rows.read(source, source.resolve(), wanted, tmp_path / "columns", lambda line: None)

    monkeypatch.setattr(parquet, "MAX_FOOTER_BYTES", 70_000)
    with pytest.raises(DatasetError, match="the footer of a Parquet file has"):
        read()
    monkeypatch.setattr(parquet, "MAX_FOOTER_BYTES", 1 << 20)
    monkeypatch.setattr(rows, "MAX_RATIO", 0)
    monkeypatch.setattr(rows, "MIN_RATIO_BYTES", 2500)
    with pytest.raises(DatasetError, match="more than 0 times as many, which is not read: name columns"):
        read()
    monkeypatch.setattr(rows, "MIN_RATIO_BYTES", 3500)
    read()
