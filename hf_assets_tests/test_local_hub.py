"""The local Hub answers the real clients as the Hub does.

The clients read HF_ENDPOINT when they are imported, so each runs in a process of its own: a function below, named
`*_client`, whose result is JSON. One process serves many tests, since importing the clients takes seconds.
"""

import hashlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hf_assets_tests.local_hub import Fault, LocalHub, hub_environment

Json = dict[str, Any]

NUM_ROWS = 200
IMAGE_BYTES = 4096


def photos(num_rows: int = NUM_ROWS, image_bytes: int = IMAGE_BYTES) -> bytes:
    """A Parquet file with a small column and a big one, in four row groups."""
    images = [row.to_bytes(4, "big") * (image_bytes // 4) for row in range(num_rows)]
    table = pa.table({"caption": [f"photo {row}" for row in range(num_rows)], "image": pa.array(images, pa.binary())})
    buffer = BytesIO()
    pq.write_table(table, buffer, row_group_size=num_rows // 4, compression="none", use_dictionary=False)
    return buffer.getvalue()


PHOTOS = photos()
SHARD = "data/train-00000-of-00001.parquet"


def run_client(hub: LocalHub, home: Path, client: Callable[[], Json], **environment: str) -> Json:
    """Run one of the `*_client` functions in its own process, and return its result."""
    code = (
        f"import json, os; from {__name__} import watched, {client.__name__}; "
        f"print(json.dumps(watched({client.__name__})), flush=True); "
        "os._exit(0)"  # threads of libraries that read ahead may abort a plain exit
    )
    env = {**os.environ, **hub_environment(hub.endpoint, home), **environment}
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    result: Json = json.loads(done.stdout.splitlines()[-1])
    return result


def watched(client: Callable[[], Json]) -> Json:
    """The client's result, and under `outside` every host but 127.0.0.1 that it looked up or connected to."""
    outside: list[str] = []

    def note(event: str, arguments: tuple[Any, ...]) -> None:
        if event in ("socket.getaddrinfo", "socket.connect"):
            address = arguments[0] if event == "socket.getaddrinfo" else arguments[1]
            host = address[0] if isinstance(address, tuple) else address
            if host != "127.0.0.1":
                outside.append(f"{event} {host}")

    sys.addaudithook(note)
    return {**client(), "outside": outside}


def raised(call: Callable[[], object]) -> str:
    """The name of what `call` raises."""
    try:
        call()
    except Exception as error:
        return type(error).__name__
    return "nothing"


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalHub]:
    with LocalHub(tmp_path_factory.mktemp("hub"), page_size=10) as hub:
        hub.add_token("hf_good")
        yield hub


# huggingface_hub


@pytest.fixture(scope="module")
def seen(hub: LocalHub, tmp_path_factory: pytest.TempPathFactory) -> Json:
    first = hub.commit("user/photos", {SHARD: PHOTOS, "README.md": b"# Photos\n"}, message="first")
    hub.create_tag("user/photos", "v1")
    second = hub.commit("user/photos", {"README.md": b"# More photos\n", "big.txt": b"x" * 1024}, message="second")
    hub.create_branch("user/photos", "feature/x", at="v1")
    branch = hub.commit("user/photos", {"notes/a.txt": b"a", SHARD: None}, branch="feature/x")
    hub.commit("user/many", {f"folder {n % 3}/{n:02d}.txt": b"%d" % n for n in range(35)})
    hub.commit("user/model", {"config.json": b"{}", "vae/model.safetensors": b"weights"}, repo_type="model")
    for repo_id in ("user/private", "user/gated", "user/limited", "user/cut", "user/broken", "user/counted"):
        hub.commit(repo_id, {"a.txt": b"a" * 5000})
    hub.set_private("user/private")
    hub.set_gated("user/gated")
    hub.faults += [
        Fault("user/limited/resolve", status=429, retry_after_s=0, method="GET"),
        Fault("user/cut/resolve", cut_after_bytes=2000),
        Fault("/api/datasets/user/broken", status=503),
    ]
    hub.reset_counters()
    result = run_client(hub, tmp_path_factory.mktemp("home"), huggingface_hub_client)
    cut_bytes = hub.bytes_sent("user/cut")
    return {**result, "first": first, "second": second, "branch": branch, "cut bytes": cut_bytes}


def huggingface_hub_client() -> Json:
    import httpx2
    from huggingface_hub import HfApi, HfFileSystem, hf_hub_download, snapshot_download

    api, fs = HfApi(), HfFileSystem()

    def info(revision: str | None = None, **more: Any) -> Any:
        return api.dataset_info("user/photos", revision=revision, **more)

    def download(repo_id: str, path: str, **more: Any) -> str:
        return Path(hf_hub_download(repo_id, path, repo_type=more.pop("repo_type", "dataset"), **more)).read_text()

    def described(file: Any) -> Json:
        lfs = file.lfs and {"sha256": file.lfs.sha256, "size": file.lfs.size}
        return {"size": file.size, "blob_id": file.blob_id, "lfs": lfs}

    shas = {name: info(name).sha for name in (None, "main", "v1", "feature/x")}
    refs = api.list_repo_refs("user/photos", repo_type="dataset")
    commits = api.list_repo_commits("user/photos", repo_type="dataset")
    tree = list(api.list_repo_tree("user/photos", recursive=True, expand=True, repo_type="dataset"))
    paths = api.get_paths_info("user/photos", [SHARD, "data", "missing"], expand=True, repo_type="dataset")
    remote = f"datasets/user/photos/{SHARD}"
    with fs.open(remote, "rb", cache_type="none") as file:
        captions = pq.ParquetFile(file, pre_buffer=True).read(["caption"])["caption"].to_pylist()
    with fs.open(remote, "rb", cache_type="none") as file:
        file.seek(1000)
        middle = file.read(10).hex()
    return {
        "shas": {str(name): sha for name, sha in shas.items()},
        "by sha": sorted(sibling.rfilename for sibling in info(shas["v1"]).siblings),
        "files": {sibling.rfilename: described(sibling) for sibling in info(files_metadata=True).siblings},
        "expanded": info(expand=["sha"]).siblings,
        "model": api.model_info("user/model").id,
        "kinds": [type(api.repo_info("user/photos", repo_type="dataset")).__name__],
        "branches": {ref.name: ref.target_commit for ref in refs.branches},
        "tags": {ref.name: ref.target_commit for ref in refs.tags},
        "commits": [[commit.commit_id, commit.title] for commit in commits],
        "dates": [commit.created_at.isoformat() for commit in commits],
        "tree": {entry.path: entry.last_commit.title for entry in tree},
        "many": [entry.path for entry in api.list_repo_tree("user/many", recursive=True, repo_type="dataset")],
        "folder": [entry.path for entry in api.list_repo_tree("user/many", "folder 1", repo_type="dataset")],
        "paths": {entry.path: type(entry).__name__ for entry in paths},
        "exists": [api.file_exists("user/photos", name, repo_type="dataset") for name in ("README.md", "x.md")],
        "readme": [download("user/photos", "README.md", revision=name) for name in ("v1", "main")],
        "note": download("user/photos", "notes/a.txt", revision="feature/x"),
        "weights": download("user/model", "vae/model.safetensors", repo_type="model"),
        "snapshot": sorted(
            str(path.relative_to(folder))
            for folder in [Path(snapshot_download("user/photos", repo_type="dataset", revision="v1"))]
            for path in folder.rglob("*.*")
        ),
        "captions": captions,
        "middle": middle,
        "ls": fs.ls("datasets/user/photos", detail=False),
        "size": fs.info(remote)["size"],
        "glob": fs.glob("datasets/user/photos@feature%2Fx/**/*.txt"),
        "cat": fs.cat("datasets/user/photos/big.txt").decode(),
        "errors": {
            "no repository": raised(lambda: api.dataset_info("user/missing")),
            "wrong type": raised(lambda: api.model_info("user/photos")),
            "no revision": raised(lambda: info("v2")),
            "no commit": raised(lambda: info("0" * 40)),
            "no file": raised(lambda: download("user/photos", "missing.txt")),
            "no folder": raised(lambda: list(api.list_repo_tree("user/photos", "missing", repo_type="dataset"))),
            "private": raised(lambda: api.dataset_info("user/private")),
            "private download": raised(lambda: download("user/private", "a.txt")),
            "gated info": raised(lambda: api.dataset_info("user/gated")),
            "gated download": raised(lambda: download("user/gated", "a.txt")),
            "gated check": raised(lambda: api.auth_check("user/gated", repo_type="dataset")),
            "wrong token": raised(lambda: api.dataset_info("user/photos", token="hf_bad")),
            "token, no repository": raised(lambda: api.dataset_info("user/missing", token="hf_good")),
            "503": raised(lambda: api.dataset_info("user/broken")),
        },
        "gated": api.dataset_info("user/gated").gated,
        "with token": [download(f"user/{kind}", "a.txt", token="hf_good") for kind in ("private", "gated")],
        "after 429": download("user/limited", "a.txt"),
        "after cut": download("user/cut", "a.txt"),
        "proxied": httpx2.get("http://elsewhere.example/info").status_code,
        "no proxy for https": raised(lambda: httpx2.get("https://elsewhere.example/info")),
    }


def test_a_revision_is_a_branch_a_tag_or_a_sha(seen: Json) -> None:
    expected = {"None": seen["second"], "main": seen["second"], "v1": seen["first"], "feature/x": seen["branch"]}
    assert seen["shas"] == expected
    assert seen["by sha"] == ["README.md", SHARD]


def test_files_of_1024_bytes_and_parquet_are_lfs_with_their_sha256(seen: Json) -> None:
    assert seen["files"]["README.md"] == {"size": 14, "blob_id": seen["files"]["README.md"]["blob_id"], "lfs": None}
    assert seen["files"][SHARD]["lfs"] == {"sha256": hashlib.sha256(PHOTOS).hexdigest(), "size": len(PHOTOS)}
    assert seen["files"]["big.txt"]["lfs"]["size"] == 1024  # exactly at the threshold


def test_the_blob_id_of_a_small_file_is_git_s(seen: Json) -> None:
    assert seen["files"]["README.md"]["blob_id"] == hashlib.sha1(b"blob 14\0# More photos\n").hexdigest()


def test_expand_narrows_the_info(seen: Json) -> None:
    assert seen["expanded"] is None


def test_models_and_datasets_do_not_mix(seen: Json) -> None:
    assert (seen["model"], seen["kinds"]) == ("user/model", ["DatasetInfo"])
    assert seen["weights"] == "weights"


def test_refs_and_commits_give_the_history_newest_first(seen: Json) -> None:
    assert seen["branches"] == {"main": seen["second"], "feature/x": seen["branch"]}
    assert seen["tags"] == {"v1": seen["first"]}
    assert seen["commits"] == [[seen["second"], "second"], [seen["first"], "first"]]
    assert seen["dates"] == sorted(seen["dates"], reverse=True)


def test_a_tree_names_the_last_commit_of_each_entry(seen: Json) -> None:
    assert seen["tree"] == {"README.md": "second", "big.txt": "second", "data": "first", SHARD: "first"}


def test_a_listing_over_several_pages_is_complete(seen: Json) -> None:
    assert len(seen["many"]) == 35 + 3  # the files and their folders
    assert seen["folder"] == [f"folder 1/{n:02d}.txt" for n in range(1, 35, 3)]  # 12 entries: two pages of 10


def test_paths_info_leaves_out_what_is_missing(seen: Json) -> None:
    assert seen["paths"] == {SHARD: "RepoFile", "data": "RepoFolder"}


def test_downloads_give_the_file_of_the_revision(seen: Json) -> None:
    assert seen["readme"] == ["# Photos\n", "# More photos\n"]
    assert seen["note"] == "a"
    assert seen["snapshot"] == ["README.md", SHARD]
    assert seen["exists"] == [True, False]


def test_the_file_system_lists_and_reads(seen: Json) -> None:
    assert sorted(seen["ls"]) == [f"datasets/user/photos/{name}" for name in ("README.md", "big.txt", "data")]
    assert seen["size"] == len(PHOTOS)
    assert seen["glob"] == ["datasets/user/photos@feature%2Fx/notes/a.txt"]
    assert seen["cat"] == "x" * 1024
    assert bytes.fromhex(seen["middle"]) == PHOTOS[1000:1010]


@pytest.mark.parametrize(
    ("case", "error"),
    [
        ("no repository", "RepositoryNotFoundError"),
        ("wrong type", "RepositoryNotFoundError"),
        ("no revision", "RevisionNotFoundError"),
        ("no commit", "RevisionNotFoundError"),
        ("no file", "RemoteEntryNotFoundError"),
        ("no folder", "RemoteEntryNotFoundError"),
        ("private", "RepositoryNotFoundError"),
        ("private download", "RepositoryNotFoundError"),
        ("gated info", "nothing"),
        ("gated download", "GatedRepoError"),
        ("gated check", "GatedRepoError"),
        ("wrong token", "HfHubHTTPError"),
        ("token, no repository", "RepositoryNotFoundError"),
        ("503", "HfHubHTTPError"),  # dataset_info does not retry
    ],
)
def test_each_refusal_raises_the_hub_s_error(seen: Json, case: str, error: str) -> None:
    assert seen["errors"][case] == error


def test_a_token_opens_private_and_gated_repositories(seen: Json) -> None:
    assert seen["gated"] == "manual"
    assert seen["with token"] == ["a" * 5000] * 2


def test_a_download_survives_429_and_a_cut_body(seen: Json) -> None:
    assert (seen["after 429"], seen["after cut"]) == ("a" * 5000, "a" * 5000)
    assert seen["cut bytes"] == 2000 + 5000  # the client keeps whole chunks of 10 MB only, so it starts again


def test_other_hosts_are_refused_without_being_looked_up(seen: Json) -> None:
    assert seen["proxied"] == 404
    assert seen["no proxy for https"] == "ProxyError"
    assert seen["outside"] == []


# Ranged reads of Parquet


def parquet_client() -> Json:
    from huggingface_hub import HfFileSystem

    with HfFileSystem().open(f"datasets/user/ranged/{SHARD}", "rb", cache_type="none") as file:
        table = pq.ParquetFile(file, pre_buffer=True).read(["caption"])
    return {"captions": table["caption"].to_pylist()}


def test_a_column_costs_a_small_part_of_the_file(hub: LocalHub, tmp_path: Path) -> None:
    content = photos(num_rows=400, image_bytes=10_000)
    hub.commit("user/ranged", {SHARD: content, "README.md": b"# Ranged"})
    hub.reset_counters()
    read = run_client(hub, tmp_path, parquet_client)
    assert read["captions"] == [f"photo {row}" for row in range(400)]
    assert 0 < hub.bytes_sent("user/ranged", "data/") < 0.05 * len(content)
    assert hub.files_sent("user/ranged") == {SHARD}


# datasets


CARD = b"---\nconfigs:\n- config_name: big\n  data_files:\n  - split: test\n    path: shards/*.parquet\n---\n# Card\n"


@pytest.fixture(scope="module")
def loaded(hub: LocalHub, tmp_path_factory: pytest.TempPathFactory) -> Json:
    hub.commit("user/plain", {SHARD: PHOTOS})
    hub.create_tag("user/plain", "v1")
    hub.commit("user/plain", {SHARD: photos(num_rows=8)})
    hub.commit("user/card", {"README.md": CARD, "shards/0.parquet": PHOTOS, "other.parquet": b"no Parquet"})
    hub.commit("user/locked", {SHARD: PHOTOS})
    hub.set_gated("user/locked")
    return run_client(hub, tmp_path_factory.mktemp("home"), datasets_client)


def datasets_client() -> Json:
    from datasets import load_dataset, load_dataset_builder

    return {
        "plain": {name: len(split) for name, split in load_dataset("user/plain").items()},
        "v1": len(load_dataset("user/plain", split="train", revision="v1")),
        "card": {name: len(split) for name, split in load_dataset("user/card", "big").items()},
        "builder": list(load_dataset_builder("user/card").config.data_files or {}),
        "streamed": next(iter(load_dataset("user/plain", split="train", streaming=True)))["caption"],
        "missing": raised(lambda: load_dataset("user/missing")),
        "no revision": raised(lambda: load_dataset("user/plain", revision="v9")),
        "gated": raised(lambda: load_dataset("user/locked")),
    }


def test_load_dataset_finds_the_shards_without_a_card(loaded: Json) -> None:
    assert loaded["plain"] == {"train": 8}
    assert loaded["v1"] == NUM_ROWS
    assert loaded["streamed"] == "photo 0"


def test_load_dataset_follows_the_card_s_configs(loaded: Json) -> None:
    assert loaded["card"] == {"test": NUM_ROWS}
    assert loaded["builder"] == ["test"]


def test_load_dataset_cannot_load_what_is_missing_or_gated(loaded: Json) -> None:
    assert [loaded[case] for case in ("missing", "no revision", "gated")] == ["DatasetNotFoundError"] * 3


def test_load_dataset_asks_no_other_host(loaded: Json) -> None:
    assert loaded["outside"] == []


# diffusers and transformers


@pytest.fixture(scope="module")
def pretrained(hub: LocalHub, tmp_path_factory: pytest.TempPathFactory) -> Json:
    result = run_client(hub, tmp_path_factory.mktemp("home"), pretrained_client, HUB_ROOT=str(hub.root))
    return {**result, "sent": sorted(hub.files_sent("user/tiny"))}


def pretrained_client() -> Json:
    import torch
    from diffusers import AutoencoderKL, DDPMPipeline, DDPMScheduler, DiffusionPipeline, UNet2DModel
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from transformers import AutoTokenizer, CLIPTextConfig, CLIPTextModel, PreTrainedTokenizerFast

    folder = Path(os.environ["HF_HOME"]) / "made"
    blocks: Json = {"block_out_channels": (8,), "norm_num_groups": 4, "layers_per_block": 1}
    unet = UNet2DModel(8, down_block_types=("DownBlock2D",), up_block_types=("UpBlock2D",), **blocks)
    DDPMPipeline(unet, DDPMScheduler()).save_pretrained(folder)
    AutoencoderKL(**blocks).save_pretrained(folder / "vae")
    sizes: Json = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
    CLIPTextModel(CLIPTextConfig(vocab_size=9, **sizes)).save_pretrained(folder / "text_encoder", max_shard_size="1KB")
    words = Tokenizer(WordLevel({"a": 0, "cat": 1}, unk_token="a"))
    PreTrainedTokenizerFast(tokenizer_object=words, unk_token="a").save_pretrained(folder / "tokenizer")

    hub = LocalHub(Path(os.environ["HUB_ROOT"]))  # not served by this process: the folder is what counts
    files = {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}
    sha = hub.commit("user/tiny", files, repo_type="model")
    hub.create_tag("user/tiny", "v1", repo_type="model")
    hub.commit("user/tiny", {"vae/config.json": b"{}", "text_encoder/config.json": None}, repo_type="model")

    pipeline = DiffusionPipeline.from_pretrained("user/tiny", revision=sha, unet=None)
    vae = AutoencoderKL.from_pretrained("user/tiny", subfolder="vae", revision="v1")
    text_encoder = CLIPTextModel.from_pretrained("user/tiny", subfolder="text_encoder", revision=sha)
    tokenizer = AutoTokenizer.from_pretrained("user/tiny", subfolder="tokenizer", revision="v1")
    made = AutoencoderKL.from_pretrained(folder / "vae").state_dict()
    return {
        "pipeline": [type(pipeline).__name__, type(pipeline.scheduler).__name__],
        "vae is the one made": all(torch.equal(value, made[name]) for name, value in vae.state_dict().items()),
        "hidden_size": text_encoder.config.hidden_size,
        "tokens": [one("cat")["input_ids"] for one in (tokenizer, AutoTokenizer.from_pretrained(folder / "tokenizer"))],
        "no component": raised(lambda: AutoencoderKL.from_pretrained("user/tiny", subfolder="other")),
        "no revision": raised(lambda: AutoencoderKL.from_pretrained("user/tiny", subfolder="vae", revision="v9")),
    }


def test_from_pretrained_loads_components_of_a_revision(pretrained: Json) -> None:
    assert pretrained["pipeline"] == ["DDPMPipeline", "DDPMScheduler"]
    assert pretrained["vae is the one made"]
    assert pretrained["hidden_size"] == 8
    assert pretrained["tokens"][0] == pretrained["tokens"][1]
    assert (pretrained["no component"], pretrained["no revision"]) == ("OSError", "OSError")


def test_a_component_that_nobody_loads_is_not_sent(pretrained: Json) -> None:
    assert "vae/diffusion_pytorch_model.safetensors" in pretrained["sent"]
    assert not [path for path in pretrained["sent"] if path.startswith("unet/")]


def test_from_pretrained_asks_no_other_host(pretrained: Json) -> None:
    assert pretrained["outside"] == []


# HTTP


@pytest.fixture
def connection(hub: LocalHub) -> Iterator[http.client.HTTPConnection]:
    hub.commit("user/raw", {"ten.bin": b"0123456789", "empty.txt": b"", "a b/é.txt": b"named"})
    hub.faults.clear()
    hub.reset_counters()
    connection = http.client.HTTPConnection("127.0.0.1", hub.port, timeout=60)
    yield connection
    connection.close()


def ask(
    connection: http.client.HTTPConnection, path: str, method: str = "GET", **headers: str
) -> tuple[int, Any, bytes]:
    connection.request(method, path, headers=headers)
    response = connection.getresponse()
    return response.status, response.headers, response.read()


TEN = "/datasets/user/raw/resolve/main/ten.bin"


@pytest.mark.parametrize(
    ("asked", "status", "body", "content_range"),
    [
        ("bytes=0-3", 206, b"0123", "bytes 0-3/10"),
        ("bytes=9-9", 206, b"9", "bytes 9-9/10"),
        ("bytes=4-", 206, b"456789", "bytes 4-9/10"),
        ("bytes=-3", 206, b"789", "bytes 7-9/10"),
        ("bytes=-30", 206, b"0123456789", "bytes 0-9/10"),  # more than there is: all of it
        ("bytes=8-30", 206, b"89", "bytes 8-9/10"),
        ("bytes=0-9", 206, b"0123456789", "bytes 0-9/10"),
        ("bytes=10-", 416, None, "bytes */10"),  # just past the end
        ("bytes=5-4", 416, None, "bytes */10"),
        ("bytes=-0", 416, None, "bytes */10"),
        ("bytes=-", 200, b"0123456789", None),  # not a range
        ("bytes=0-1,4-5", 200, b"0123456789", None),  # several: allowed to be answered whole
    ],
)
def test_a_range_is_answered_exactly(
    connection: http.client.HTTPConnection, asked: str, status: int, body: bytes | None, content_range: str | None
) -> None:
    answer = ask(connection, TEN, Range=asked)
    assert (answer[0], answer[1]["Content-Range"]) == (status, content_range)
    assert body is None or answer[2] == body


def test_head_says_what_get_would_send(connection: http.client.HTTPConnection, hub: LocalHub) -> None:
    status, headers, body = ask(connection, TEN, "HEAD", Range="bytes=0-3")
    sha256 = hashlib.sha256(b"0123456789").hexdigest()
    assert (status, headers["Content-Length"], headers["ETag"], body) == (200, "10", f'"{sha256}"', b"")
    assert headers["X-Linked-Size"] == "10"
    assert hub.bytes_sent("user/raw") == 0
    assert hub.files_sent("user/raw") == set()


def test_one_connection_serves_many_requests(connection: http.client.HTTPConnection) -> None:
    paths = [TEN, "/nothing/here", "/api/datasets/user/raw", "/datasets/user/raw/resolve/main/empty.txt", TEN]
    assert [ask(connection, path)[0] for path in paths] == [200, 404, 200, 200, 200]
    local_port = connection.sock.getsockname()[1]
    assert ask(connection, "/api/datasets/user/raw/paths-info/main", "POST")[0] == 500  # no body: our only 500
    assert connection.sock.getsockname()[1] == local_port


def test_names_may_hold_spaces_and_other_letters(connection: http.client.HTTPConnection, hub: LocalHub) -> None:
    assert ask(connection, "/datasets/user/raw/resolve/main/a%20b/%C3%A9.txt")[2] == b"named"
    assert hub.files_sent("user/raw") == {"a b/é.txt"}


def test_bytes_are_counted_per_file(connection: http.client.HTTPConnection, hub: LocalHub) -> None:
    ask(connection, TEN)
    ask(connection, TEN, Range="bytes=0-3")
    ask(connection, "/api/datasets/user/raw")
    assert (hub.bytes_sent("user/raw"), hub.bytes_sent("user/raw", "ten"), hub.bytes_sent("user/raw", "a ")) == (
        14,
        14,
        0,
    )
    assert [(one.method, one.status, one.file, one.range) for one in hub.requests] == [
        ("GET", 200, "ten.bin", None),
        ("GET", 206, "ten.bin", "bytes=0-3"),
        ("GET", 200, None, None),
    ]
    hub.reset_counters()
    assert (hub.requests, hub.bytes_sent()) == ([], 0)


def test_a_fault_hits_the_next_requests_that_match(connection: http.client.HTTPConnection, hub: LocalHub) -> None:
    hub.faults.append(Fault("ten.bin", times=2, status=429, retry_after_s=7))
    assert ask(connection, "/datasets/user/raw/resolve/main/empty.txt")[0] == 200
    status, headers, _ = ask(connection, TEN)
    assert (status, headers["Retry-After"]) == (429, "7")
    assert [ask(connection, TEN)[0] for _ in range(2)] == [429, 200]


def test_a_cut_body_ends_early(connection: http.client.HTTPConnection, hub: LocalHub) -> None:
    hub.faults.append(Fault("ten.bin", cut_after_bytes=4))
    assert ask(connection, TEN, "HEAD")[0] == 200  # has no body to cut
    with pytest.raises(http.client.IncompleteRead) as error:
        ask(connection, TEN)
    assert error.value.partial == b"0123"


def test_a_fault_that_could_do_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="needs a status"):
        Fault("ten.bin", retry_after_s=1)


def test_a_refusal_may_name_any_letters(connection: http.client.HTTPConnection) -> None:
    status, headers, _ = ask(connection, "/api/datasets/user/raw/tree/main/%E6%97%A5")
    assert (status, headers["X-Error-Code"]) == (404, "EntryNotFound")


def test_a_delay_delays(connection: http.client.HTTPConnection, hub: LocalHub) -> None:
    hub.faults.append(Fault("ten.bin", delay_s=0.2))
    start = time.monotonic()
    assert ask(connection, TEN)[2] == b"0123456789"
    assert time.monotonic() - start >= 0.2


# The folder


def test_down_refuses_connections_and_up_serves_again_on_the_same_port(tmp_path: Path) -> None:
    with LocalHub(tmp_path) as hub:
        hub.commit("user/raw", {"ten.bin": b"0123456789"})
        port = hub.port
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        assert ask(connection, TEN)[0] == 200
        hub.down()
        with pytest.raises((http.client.RemoteDisconnected, ConnectionError)):
            ask(connection, TEN)  # an open connection is cut
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port))
        hub.up()
        assert hub.port == port
        assert ask(connection, TEN)[2] == b"0123456789"
        connection.close()


def test_the_same_folder_gives_the_same_hub_in_another_process(tmp_path: Path) -> None:
    sha = LocalHub(tmp_path).commit("user/raw", {"ten.bin": b"0123456789"})
    LocalHub(tmp_path).create_tag("user/raw", "v1")
    command = [sys.executable, "-m", "hf_assets_tests.local_hub", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stderr
        endpoint = process.stdout.readline().strip()
        connection = http.client.HTTPConnection(endpoint.removeprefix("http://"), timeout=60)
        status, headers, body = ask(connection, TEN.replace("main", "v1"))
        newer = LocalHub(tmp_path).commit("user/raw", {"ten.bin": b"new"})
        newer_body = ask(connection, TEN)[2]
        connection.close()
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0
        assert process.stderr.read() == ""
    assert (status, headers["X-Repo-Commit"], body) == (200, sha, b"0123456789")
    assert (newer != sha, newer_body) == (True, b"new")


def test_the_same_commits_give_the_same_shas(tmp_path: Path) -> None:
    def history(name: str) -> list[str]:
        hub = LocalHub(tmp_path / name)
        contents: list[bytes | None] = [b"1", b"2", b"1", None]
        return [hub.commit("user/raw", {"a.txt": content}) for content in contents]

    assert history("one") == history("two")
    assert len(set(history("three"))) == 4  # also where a content comes back


def test_commits_at_the_same_time_are_all_kept(tmp_path: Path) -> None:
    hub = LocalHub(tmp_path)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: hub.commit("user/raw", {f"{n}.txt": b"%d" % n}), range(40)))
    repository = hub.load("dataset", "user/raw")
    assert repository is not None
    assert set(repository.resolve("main").files) == {f"{n}.txt" for n in range(40)}


def test_a_deleted_repository_is_gone(connection: http.client.HTTPConnection, hub: LocalHub) -> None:
    hub.commit("user/gone", {"a.txt": b"a"})
    hub.delete_repo("user/gone")
    status, headers, _ = ask(connection, "/api/datasets/user/gone")
    assert (status, headers["X-Error-Code"]) == (401, "RepoNotFound")


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda hub: hub.commit("photos", {}), "write owner/name"),
        (lambda hub: hub.commit("user/raw", {"../a": b""}), "not a plain relative path"),
        (lambda hub: hub.commit("user/raw", {"b.txt": None}), "no file 'b.txt'"),
        (lambda hub: hub.commit("user/raw", {"b.txt": b""}, branch="x"), "call create_branch first"),
        (lambda hub: hub.create_tag("user/raw", "v1", at="x"), "no revision 'x'"),
        (lambda hub: hub.set_private("user/none"), "no dataset user/none"),
        (lambda hub: hub.endpoint, "call up"),
    ],
)
def test_a_mistake_of_the_test_is_named(tmp_path: Path, write: Callable[[LocalHub], object], message: str) -> None:
    hub = LocalHub(tmp_path)
    hub.commit("user/raw", {"a.txt": b"a"})
    with pytest.raises((LookupError, ValueError, RuntimeError), match=message):
        write(hub)
