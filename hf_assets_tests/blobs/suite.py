"""What every place of blobs promises; one class, run over each."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from hf_assets.blobs import Blobs
from hf_assets.errors import StoreError


class BlobsSuite:
    """Subclass it with a fixture `blobs`, an empty folder, and one `again`, which opens the same folder anew."""

    def test_what_was_put_is_read_back(self, blobs: Blobs) -> None:
        blob = blobs.put("index/a", b"0123456789")
        assert (blob.name, blob.num_bytes) == ("index/a", 10)
        assert blobs.get("index/a") == b"0123456789"
        assert blobs.stat("index/a") == blob
        assert blobs.within("index").get("a") == b"0123456789"

    def test_a_blob_of_no_bytes_is_one(self, blobs: Blobs) -> None:
        blobs.put("a", b"")
        assert blobs.get("a") == b""
        assert blobs.get_range("a", 0, 4) == b""
        assert [blob.num_bytes for blob in blobs.list()] == [0]

    @pytest.mark.parametrize(
        ("start", "stop", "expected"),
        [(0, 3, b"012"), (8, 10, b"89"), (8, 12, b"89"), (4, 4, b""), (10, 12, b""), (20, 30, b"")],
    )
    def test_a_range_ends_where_the_blob_ends(self, blobs: Blobs, start: int, stop: int, expected: bytes) -> None:
        blobs.put("a", b"0123456789")
        assert blobs.get_range("a", start, stop) == expected

    def test_what_is_not_there_is_missing_and_no_error_of_the_place(self, blobs: Blobs) -> None:
        with pytest.raises(FileNotFoundError):
            blobs.get("a")
        with pytest.raises(FileNotFoundError):
            blobs.get_range("a", 0, 1)
        assert blobs.get_versioned("a") == (None, None)
        assert blobs.stat("a") is None
        assert list(blobs.list()) == list(blobs.list("nowhere", recursive=True)) == []
        assert blobs.delete("a") == 0
        blobs.touch("a")

    def test_a_file_is_put_as_its_bytes_are(self, blobs: Blobs, tmp_path: Path) -> None:
        (tmp_path / "made elsewhere").write_bytes(b"0123456789")
        blob = blobs.put_file("folder/a", tmp_path / "made elsewhere")
        assert blobs.get("folder/a") == b"0123456789"
        assert (blob, blob.num_bytes) == (blobs.stat("folder/a"), 10)

    def test_put_replaces_and_the_time_shows_it(self, blobs: Blobs) -> None:
        before = blobs.put("a", b"old")
        after = blobs.put("a", b"new")
        assert blobs.get("a") == b"new"
        assert after.modified_ns != before.modified_ns

    def test_put_if_absent_leaves_what_is_there(self, blobs: Blobs) -> None:
        assert blobs.put_if_absent("folder/a", b"first")
        assert not blobs.put_if_absent("folder/a", b"second")
        assert blobs.get("folder/a") == b"first"

    def test_put_if_unchanged_writes_over_what_was_read_only(self, blobs: Blobs) -> None:
        assert not blobs.put_if_unchanged("a", b"1", "a version of nothing")
        assert blobs.put_if_unchanged("a", b"1", None)
        assert not blobs.put_if_unchanged("a", b"2", None)
        data, version = blobs.get_versioned("a")
        assert data == b"1"
        assert blobs.put_if_unchanged("a", b"2", version)
        assert not blobs.put_if_unchanged("a", b"3", version)
        assert blobs.get("a") == b"2"

    def test_of_many_that_put_if_absent_one_wins(self, blobs: Blobs) -> None:
        with ThreadPoolExecutor(8) as pool:
            won = list(pool.map(lambda number: blobs.put_if_absent("a", str(number).encode()), range(8)))
        assert won.count(True) == 1
        assert blobs.get("a") == str(won.index(True)).encode()

    def test_no_update_is_lost(self, blobs: Blobs) -> None:
        def add_one(number: int) -> None:
            blobs.update("counted", lambda data: (data or b"") + bytes([number]))

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(add_one, range(12)))
        assert sorted(blobs.get("counted")) == list(range(12))

    def test_a_folder_is_listed_in_order_with_sizes_and_without_what_is_hidden(self, blobs: Blobs) -> None:
        for name in ("b", "a", ".tmp-x", "folder/c", "folder/.tmp-y", "folder/deep/d"):
            blobs.put(name, name.encode())
        assert [blob.name for blob in blobs.list()] == ["a", "b"]
        assert [blob.name for blob in blobs.list("folder")] == ["folder/c"]
        assert [blob.name for blob in blobs.within("folder").list()] == ["c"]
        everything = list(blobs.list(recursive=True))
        assert {blob.name for blob in everything} == {"a", "b", "folder/c", "folder/deep/d"}
        assert all(blob == blobs.stat(blob.name) for blob in everything)
        assert [blob.name for blob in blobs.list(hidden=True)] == [".tmp-x"]
        assert {blob.name for blob in blobs.list(recursive=True, hidden=True)} == {".tmp-x", "folder/.tmp-y"}

    def test_a_folder_is_empty_until_something_lies_in_it_at_any_depth(self, blobs: Blobs) -> None:
        assert blobs.is_empty()
        blobs.put("folder/.hidden", b"")
        assert not blobs.is_empty()
        assert blobs.within("other").is_empty()

    def test_a_folder_whose_name_another_one_begins_with_is_not_listed(self, blobs: Blobs) -> None:
        blobs.put("index/a", b"")
        blobs.put("indexed/b", b"")
        assert [blob.name for blob in blobs.list("index", recursive=True)] == ["index/a"]

    def test_what_is_set_aside_is_no_data(self, blobs: Blobs) -> None:
        blobs.put("folder/a", b"damaged")
        assert blobs.set_aside("folder/a") == "folder/.damaged-a"
        assert list(blobs.list("folder")) == []
        assert [blob.name for blob in blobs.list("folder", hidden=True)] == ["folder/.damaged-a"]
        assert blobs.get("folder/.damaged-a") == b"damaged"

    def test_delete_says_what_it_freed(self, blobs: Blobs) -> None:
        blobs.put("a", b"0123")
        assert blobs.delete("a") == 4
        assert blobs.stat("a") is None

    def test_times_are_of_the_clock_that_the_place_has(self, blobs: Blobs) -> None:
        blob = blobs.put("a", b"")
        assert abs(blobs.now().timestamp() - blob.modified_ns / 1e9) < 5

    def test_runs_share_a_folder(self, blobs: Blobs, again: Blobs) -> None:
        with blobs.in_use(), again.in_use():
            pass

    def test_garbage_collection_is_refused_while_a_run_is_at_work(self, blobs: Blobs, again: Blobs) -> None:
        with blobs.in_use(), pytest.raises(StoreError, match=r"a run is using .*: try again when it is done"):
            again.alone().__enter__()
        with again.alone():
            pass

    def test_a_run_waits_for_garbage_collection(self, blobs: Blobs, again: Blobs) -> None:
        order = []

        def run() -> None:
            with again.in_use():
                order.append("run")

        with blobs.alone():
            thread = threading.Thread(target=run)
            thread.start()
            thread.join(0.3)
            order.append("gc")
        thread.join(30)
        assert order == ["gc", "run"]

    def test_the_address_says_where_it_is(self, blobs: Blobs) -> None:
        assert blobs.within("folder").address == f"{blobs.address}/folder"
