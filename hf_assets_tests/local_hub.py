"""A Hugging Face Hub on 127.0.0.1, for the tests and the demo.

It speaks what `huggingface_hub`, `datasets`, `diffusers` and `transformers` read with: info, tree, refs, commits,
paths-info and ranged downloads of datasets and models, by branch, tag and commit; and it takes what they write: new
repositories, LFS uploads and commits. It counts what it sends, and can fail on demand.

    with LocalHub(folder) as hub:
        hub.commit("user/photos", {"data/train-00000-of-00001.parquet": Path("photos.parquet")})
        subprocess.run([...], env={**os.environ, **hub_environment(hub.endpoint, home)})

The folder is the whole state: every request reads it, so a restart, and commits from another process, are seen at once.
One process at a time may write. Where we differ from the Hub: no redirect to a CDN, no Xet, no `cardData`, repository
ids are always `owner/name`, and every accepted token opens every private and gated repository.
"""

import argparse
import base64
import json
import re
import signal
import socketserver
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path, PurePosixPath
from socket import SHUT_RDWR, socket
from types import TracebackType
from typing import Any, Self, cast
from urllib.parse import parse_qs, unquote, urlencode, urlsplit

from hf_assets_tests.local_hub_folder import (
    CHUNK_BYTES,
    FIRST_DATE,
    LFS_SUFFIXES,
    REPO_ID,
    Commit,
    File,
    HubFolder,
    Repository,
    RepoType,
    git_sha1,
    opened,
)

_API = re.compile(
    rf"/api/(dataset|model)s/({REPO_ID})(?:/(refs|auth-check)|/(revision|commits|tree|paths-info)/([^/]+)(?:/(.+))?)?"
)
_PREUPLOAD = re.compile(rf"/api/(dataset|model)s/({REPO_ID})/(preupload|commit)/([^/]+)")
_LFS_BATCH = re.compile(rf"/(datasets/)?({REPO_ID})\.git/info/lfs/objects/batch")
_LFS_UPLOAD = re.compile(r"/lfs-upload/([0-9a-f]{64})")
_RESOLVE = re.compile(rf"/(datasets/)?({REPO_ID})/(?:resolve|raw)/([^/]+)/(.+)")


@dataclass
class RequestRecord:
    """One request that was answered. `file` is set for downloads; `bytes_sent` counts the body only."""

    method: str
    path: str
    status: int
    bytes_sent: int = 0
    repo_id: str | None = None
    file: str | None = None
    range: str | None = None


@dataclass
class Fault:
    """What to do to the next `times` requests whose path contains `path` (append it to `LocalHub.faults`).

    Args:
        path: a part of the decoded URL path, such as `"photos/resolve/"` or `"/api/datasets/user/photos"`.
        status: answer with this status (429, 503, …) in place of the real answer.
        retry_after_s: send it as `Retry-After`; needs `status`.
        delay_s: wait so long first.
        cut_after_bytes: close the connection after so many bytes of the body; leaves HEAD requests alone.
        method: only requests with this method; null for any.
    """

    path: str
    times: int = 1
    status: int | None = None
    retry_after_s: int | None = None
    delay_s: float = 0.0
    cut_after_bytes: int | None = None
    method: str | None = None

    def __post_init__(self) -> None:
        if self.retry_after_s is not None and self.status is None:
            raise ValueError("a Fault with retry_after_s needs a status to send it with, such as 429")

    def hits(self, method: str, path: str) -> bool:
        """Whether this fault is not spent and concerns the request."""
        if self.cut_after_bytes is not None and method == "HEAD":
            return False
        return self.times > 0 and self.path in path and self.method in (None, method)


@dataclass
class _Request:
    method: str
    path: str  # still percent-encoded: a branch may hold an encoded slash
    query: dict[str, list[str]]
    token: str | None
    range: str | None
    body: bytes
    form: bool

    def flag(self, name: str) -> bool:
        return self.query.get(name, ["false"])[0].lower() in ("true", "1")


@dataclass
class _Answer:
    status: int
    headers: dict[str, str]
    body: bytes | Path = b""
    start: int = 0
    length: int = 0
    repo_id: str | None = None
    file: str | None = None


class _Refusal(Exception):
    """An error answer, with the headers by which `huggingface_hub` picks the exception to raise."""

    def __init__(self, status: int, message: str, code: str | None = None, **headers: str) -> None:
        super().__init__(message)
        named = {"X-Error-Message": message.encode("ascii", "backslashreplace").decode()}
        if code is not None:
            named["X-Error-Code"] = code
        more = {name.replace("_", "-"): value for name, value in headers.items()}
        self.answer = _json_answer({"error": message}, status, {**named, **more})


class LocalHub(HubFolder):
    """A folder of repositories, served between `up()` and `down()`, or inside `with`; writing needs no server.

    Args:
        port: 0 takes a free one at the first `up()`, and keeps it.
        lfs_threshold: see `HubFolder`.
        page_size: entries per page of tree and commit listings.
    """

    def __init__(self, root: Path, *, port: int = 0, lfs_threshold: int = 1024, page_size: int = 1000) -> None:
        super().__init__(root, lfs_threshold=lfs_threshold)
        self.port = port
        self.page_size = page_size
        self.requests: list[RequestRecord] = []
        self.faults: list[Fault] = []
        self._tokens: set[str] = set()
        self._lock = threading.Lock()
        self._server: _Server | None = None

    # Serving

    @property
    def endpoint(self) -> str:
        if not self.port:
            raise RuntimeError("LocalHub has no port yet: call up() first, or construct it with port=")
        return f"http://127.0.0.1:{self.port}"

    def up(self) -> Self:
        """Serve, on the same port as before."""
        if self._server is None:
            self._server = _Server(self)
            self.port = self._server.server_address[1]
            threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def down(self) -> None:
        """Refuse connections, and cut the open ones."""
        if self._server is not None:
            self._server.stop()
            self._server = None

    def __enter__(self) -> Self:
        return self.up()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.down()

    def add_token(self, token: str) -> None:
        """Accept `token` for every repository, until this object goes: tokens are not written down."""
        self._tokens.add(token)

    # Counting

    def bytes_sent(self, repo_id: str | None = None, path_prefix: str | None = None) -> int:
        """Bytes of file contents sent, of one repository and of files whose path starts with `path_prefix`."""
        sent = self._downloads(repo_id)
        return sum(record.bytes_sent for record in sent if str(record.file).startswith(path_prefix or ""))

    def files_sent(self, repo_id: str | None = None) -> set[str]:
        """The files of which at least one byte was sent."""
        return {record.file for record in self._downloads(repo_id) if record.file and record.bytes_sent}

    def reset_counters(self) -> None:
        """Forget the requests so far."""
        self.requests.clear()

    def _downloads(self, repo_id: str | None) -> list[RequestRecord]:
        return [one for one in list(self.requests) if one.file and one.status < 300 and repo_id in (None, one.repo_id)]

    def _take_fault(self, method: str, path: str) -> Fault | None:
        with self._lock:
            fault = next((fault for fault in self.faults if fault.hits(method, path)), None)
            if fault is not None:
                fault.times -= 1
            return fault

    # Answering

    def _answer(self, request: _Request) -> _Answer:
        if (written := self._written(request)) is not None:
            return written
        if download := _RESOLVE.fullmatch(request.path):
            kind, repo_id, revision, path = download.groups()
            return self._download(request, "dataset" if kind else "model", repo_id, unquote(revision), unquote(path))
        if api := _API.fullmatch(request.path):
            repo_type, repo_id, plain, verb, revision, path = api.groups()
            repository = self._visible(request, repo_type, repo_id)
            if plain == "refs":
                return _json_answer(_refs(repository))
            if plain == "auth-check":
                self._refuse_gated(request, repository, repo_id)
                return _json_answer({})
            commit = _resolved(repository, unquote(revision or "main"))
            if verb == "tree":
                return self._page(request, _tree(repository, commit, unquote(path or ""), request))
            if verb == "commits":
                return self._page(request, _history(repository, commit))
            if verb == "paths-info":
                return _json_answer(_paths_info(repository, commit, request))
            return _json_answer(_info(repository, commit, repo_id, request))
        raise _Refusal(404, f"Sorry, this Hub has no {request.path}")

    # Uploads, which need an accepted token

    def _written(self, request: _Request) -> _Answer | None:
        """The answer to a request that writes; None to one that doesn't."""
        if request.method == "PUT" and (upload := _LFS_UPLOAD.fullmatch(request.path)):
            file = self._add_blob(upload[1], request.body)
            if file.sha256 != upload[1]:
                raise _Refusal(400, "These bytes have another hash")
            return _json_answer({})
        if request.method != "POST":
            return None
        if request.path == "/api/repos/create":
            return self._create(request)
        if request.path == "/api/validate-yaml":  # of a card
            return _json_answer({"errors": [], "warnings": []})
        if batch := _LFS_BATCH.fullmatch(request.path):
            self._writable(request, "dataset" if batch[1] else "model", batch[2])
            wanted = json.loads(request.body)["objects"]
            return _json_answer({"transfer": "basic", "objects": [self._lfs_object(one) for one in wanted]})
        if not (write := _PREUPLOAD.fullmatch(request.path)):
            return None
        repo_type, repo_id, verb, revision = write.groups()
        repository = self._writable(request, repo_type, repo_id)
        if verb == "preupload":
            head = repository.resolve(unquote(revision)).files
            return _json_answer({"files": [self._upload_mode(head, one) for one in json.loads(request.body)["files"]]})
        return self._commit(repository, repo_type, repo_id, unquote(revision), request)

    def _writable(self, request: _Request, repo_type: str, repo_id: str) -> Repository:
        repository = self._visible(request, repo_type, repo_id)
        if request.token is None:
            raise _Refusal(401, "Invalid username or password.")
        return repository

    def _create(self, request: _Request) -> _Answer:
        asked = json.loads(request.body)
        repo_type, repo_id = asked.get("type", "model"), f"{asked['organization']}/{asked['name']}"
        if request.token not in self._tokens:
            raise _Refusal(401, "Invalid username or password.")
        if self.load(repo_type, repo_id) is not None:
            url = f"{self.endpoint}/{repo_type}s/{repo_id}"
            return _json_answer({"error": "You already created this repo", "url": url}, 409)
        self.commit(repo_id, {".gitattributes": b"*.parquet filter=lfs"}, repo_type=repo_type, message="initial commit")
        self.set_private(repo_id, asked.get("visibility") == "private", repo_type=repo_type)
        return _json_answer({"url": f"{self.endpoint}/{repo_type}s/{repo_id}", "name": repo_id})

    def _upload_mode(self, head: Mapping[str, File], asked: Mapping[str, Any]) -> dict[str, object]:
        is_lfs = asked["size"] >= self.lfs_threshold or asked["path"].endswith(LFS_SUFFIXES)
        mode = {"path": asked["path"], "uploadMode": "lfs" if is_lfs else "regular", "shouldIgnore": False}
        known = head.get(asked["path"])
        return mode if known is None else {**mode, "oid": known.sha256 if is_lfs else known.blob_id}

    def _lfs_object(self, asked: Mapping[str, Any]) -> dict[str, object]:
        found = {"oid": asked["oid"], "size": asked["size"]}
        if (self.root / "blobs" / asked["oid"]).exists():
            return found
        return {**found, "actions": {"upload": {"href": f"{self.endpoint}/lfs-upload/{asked['oid']}"}}}

    def _commit(
        self, repository: Repository, repo_type: str, repo_id: str, revision: str, request: _Request
    ) -> _Answer:
        lines = [json.loads(line) for line in request.body.splitlines() if line.strip()]
        header = next(line["value"] for line in lines if line["key"] == "header")
        if header.get("parentCommit") not in (None, repository.resolve(revision).sha):
            raise _Refusal(412, "A commit has happened since. Please refresh and try again.")
        files: dict[str, bytes | Path | None] = {}
        for line in lines:
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.root / "blobs" / value["oid"]
            elif line["key"] == "deletedFile":
                files[value["path"]] = None
        sha = self.commit(repo_id, files, repo_type=cast(RepoType, repo_type), message=header["summary"])
        url = f"{self.endpoint}/{repo_type}s/{repo_id}/commit/{sha}"
        return _json_answer({"success": True, "commitOid": sha, "commitUrl": url, "hookOutput": ""})

    def _visible(self, request: _Request, repo_type: str, repo_id: str) -> Repository:
        if request.token is not None and request.token not in self._tokens:
            raise _Refusal(401, "Invalid credentials in Authorization header")
        repository = self.load(repo_type, repo_id)
        if repository is not None and (request.token or not repository.private):
            return repository
        # The Hub sends its 401 without the code, which huggingface_hub then infers, but for https:// addresses only.
        if request.token is None:
            raise _Refusal(401, "Invalid username or password.", "RepoNotFound")
        raise _Refusal(404, "Repository not found", "RepoNotFound")

    def _refuse_gated(self, request: _Request, repository: Repository, repo_id: str) -> None:
        if repository.gated and request.token is None:
            raise _Refusal(403, f"Access to {repo_id} is restricted: you are not in the authorized list", "GatedRepo")

    def _download(self, request: _Request, repo_type: str, repo_id: str, revision: str, path: str) -> _Answer:
        repository = self._visible(request, repo_type, repo_id)
        self._refuse_gated(request, repository, repo_id)
        commit = _resolved(repository, revision)
        file = commit.files.get(path)
        if file is None:
            raise _Refusal(404, "Entry not found", "EntryNotFound", X_Repo_Commit=commit.sha)
        headers = {"X-Repo-Commit": commit.sha, "ETag": f'"{file.etag}"', "Accept-Ranges": "bytes"}
        headers["Content-Type"] = "application/octet-stream"
        if file.pointer_size is not None:
            headers |= {"X-Linked-Etag": f'"{file.etag}"', "X-Linked-Size": str(file.size)}
        answer = _Answer(200, headers, self.root / "blobs" / file.sha256, 0, file.size, repo_id, path)
        asked = re.fullmatch(r"bytes=(\d*)-(\d*)", request.range or "")
        if request.method == "GET" and asked and any(asked.groups()):
            first, last = _range(*asked.groups(), size=file.size)
            if first >= file.size or first > last:
                raise _Refusal(416, "Range Not Satisfiable", Content_Range=f"bytes */{file.size}")
            answer.status, answer.start, answer.length = 206, first, last - first + 1
            headers["Content-Range"] = f"bytes {first}-{last}/{file.size}"
        return answer

    def _page(self, request: _Request, entries: Sequence[object]) -> _Answer:
        """One page of `entries`, with the next one's address in the Link header."""
        start = int(request.query.get("cursor", ["0"])[0])
        end = start + min(self.page_size, int(request.query.get("limit", [str(self.page_size)])[0]))
        headers = {}
        if end < len(entries):
            query = urlencode({**request.query, "cursor": [str(end)]}, doseq=True)
            headers["Link"] = f'<{self.endpoint}{request.path}?{query}>; rel="next"'
        return _json_answer(entries[start:end], headers=headers)


def _resolved(repository: Repository, revision: str) -> Commit:
    try:
        return repository.resolve(revision)
    except LookupError:
        raise _Refusal(404, f"Invalid rev id: {revision}", "RevisionNotFound") from None


def _info(repository: Repository, commit: Commit, repo_id: str, request: _Request) -> dict[str, object]:
    siblings: list[dict[str, object]] = [{"rfilename": path} for path in commit.files]
    if request.flag("blobs"):
        for sibling, file in zip(siblings, commit.files.values(), strict=True):
            sibling |= {"size": file.size, "blobId": file.blob_id, **file.lfs("sha256")}
    info = {
        "id": repo_id,
        "author": repo_id.split("/")[0],
        "sha": commit.sha,
        "lastModified": commit.date,
        "createdAt": FIRST_DATE,
        "private": repository.private,
        "gated": "manual" if repository.gated else False,
        "disabled": False,
        "downloads": 0,
        "likes": 0,
        "tags": [],
        "siblings": siblings,
    }
    wanted = {"id", *request.query["expand"]} if "expand" in request.query else set(info)
    return {key: value for key, value in info.items() if key in wanted}


def _refs(repository: Repository) -> dict[str, object]:
    def listed(kind: str, named: Mapping[str, str]) -> list[dict[str, str]]:
        return [{"name": name, "ref": f"refs/{kind}/{name}", "targetCommit": sha} for name, sha in named.items()]

    branches, tags = listed("heads", repository.branches), listed("tags", repository.tags)
    return {"branches": branches, "tags": tags, "converts": [], "pullRequests": []}


def _history(repository: Repository, commit: Commit) -> list[dict[str, object]]:
    """The commit and its ancestors, newest first."""
    history = [commit]
    while history[-1].parent is not None:
        history.append(repository.commit(history[-1].parent))
    return [
        {"id": one.sha, "title": one.title, "message": "", "date": one.date, "authors": [{"user": "local"}]}
        for one in history
    ]


def _tree(repository: Repository, commit: Commit, folder: str, request: _Request) -> list[dict[str, object]]:
    """What lies in `folder`, or everything below it, folders included, sorted by path."""
    inside = {PurePosixPath(path) for path in commit.files if not folder or path.startswith(f"{folder}/")}
    if folder and not inside:
        raise _Refusal(404, f"{folder} does not exist", "EntryNotFound", X_Repo_Commit=commit.sha)
    top = PurePosixPath(folder)
    paths = inside | {parent for path in inside for parent in path.parents if top in parent.parents}
    listed = sorted(str(path) for path in paths if request.flag("recursive") or path.parent == top)
    return [_entry(repository, commit, path, request.flag("expand")) for path in listed]


def _paths_info(repository: Repository, commit: Commit, request: _Request) -> list[dict[str, object]]:
    """The entries of those paths in the request's body that exist."""
    if request.form:
        asked = parse_qs(request.body.decode())
        paths, expand = asked.get("paths", []), asked.get("expand", ["false"])[0].lower() == "true"
    else:
        payload: dict[str, Any] = json.loads(request.body)
        paths, expand = payload["paths"], payload.get("expand", False)
    known = [path for path in paths if any(f"{file}/".startswith(f"{path}/") for file in commit.files)]
    return [_entry(repository, commit, path, expand) for path in known]


def _entry(repository: Repository, commit: Commit, path: str, expand: bool) -> dict[str, object]:
    """A file or a folder as tree and paths-info describe it; `expand` adds the commit that touched it last."""
    file = commit.files.get(path)
    inside = [file] if file else [one for name, one in commit.files.items() if name.startswith(f"{path}/")]
    entry: dict[str, object]
    if file is None:
        entry = {"type": "directory", "oid": git_sha1("".join(one.blob_id for one in inside).encode()), "size": 0}
    else:
        entry = {"type": "file", "oid": file.blob_id, "size": file.size, **file.lfs("oid")}
    if expand:
        last = max((repository.commit(one.last_commit) for one in inside), key=lambda one: one.date)
        entry["lastCommit"] = {"id": last.sha, "title": last.title, "date": last.date}
    return {**entry, "path": path}


def _range(first: str, last: str, *, size: int) -> tuple[int, int]:
    """First and last byte of `first-last`, `first-` or `-count`, not checked against an empty or missed range."""
    if not first:
        return max(0, size - int(last)), size - 1
    return int(first), min(int(last), size - 1) if last else size - 1


def _json_answer(content: object, status: int = 200, headers: Mapping[str, str] | None = None) -> _Answer:
    body = json.dumps(content).encode()
    return _Answer(status, {"Content-Type": "application/json", **(headers or {})}, body, length=len(body))


class _Server(ThreadingHTTPServer):
    request_queue_size = 128

    def __init__(self, hub: LocalHub) -> None:
        self.hub = hub
        self.connections: set[socket] = set()
        super().__init__(("127.0.0.1", hub.port), _Handler)

    def server_bind(self) -> None:
        # Not HTTPServer's: it asks the name service for our name, which takes seconds on some machines.
        socketserver.TCPServer.server_bind(self)

    def process_request(self, request: Any, client_address: Any) -> None:
        self.connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self.connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: a client that hangs up is none of our errors, and our own are answered with a 500."""

    def stop(self) -> None:
        self.shutdown()
        self.server_close()
        for connection in tuple(self.connections):
            with suppress(OSError):
                connection.shutdown(SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else an answer takes 40 ms
    server: _Server

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: tests read `LocalHub.requests`."""

    def _serve(self) -> None:
        hub, url = self.server.hub, urlsplit(self.path)
        kind, _, token = self.headers.get("Authorization", "").partition(" ")
        request = _Request(
            method=self.command,
            path=self.path if url.netloc else url.path,  # as a proxy (see hub_environment) we are asked for whole URLs
            query=parse_qs(url.query),
            token=token if kind == "Bearer" else None,
            range=self.headers.get("Range"),
            body=self.rfile.read(int(self.headers.get("Content-Length", 0))),
            form=self.headers.get_content_type() == "application/x-www-form-urlencoded",
        )
        fault = hub._take_fault(request.method, unquote(request.path))
        time.sleep(fault.delay_s if fault else 0)
        try:
            if fault and fault.status:
                wait = {} if fault.retry_after_s is None else {"Retry_After": str(fault.retry_after_s)}
                raise _Refusal(fault.status, "A fault that the test asked for", **wait)
            answer = hub._answer(request)
        except _Refusal as refusal:
            answer = refusal.answer
        except Exception:
            answer = _json_answer({"error": traceback.format_exc()}, 500)
        self._send(answer, request, fault.cut_after_bytes if fault else None)

    do_GET = do_HEAD = do_POST = do_PUT = do_CONNECT = _serve

    def _send(self, answer: _Answer, request: _Request, cut_after_bytes: int | None) -> None:
        record = RequestRecord(request.method, unquote(self.path), answer.status, 0)
        record.repo_id, record.file, record.range = answer.repo_id, answer.file, request.range
        self.server.hub.requests.append(record)  # before the answer: who has the answer finds the record
        self.send_response_only(answer.status)
        for name, value in {**answer.headers, "Content-Length": str(answer.length)}.items():
            self.send_header(name, value)
        self.end_headers()
        if request.method == "HEAD":
            return
        left = answer.length if cut_after_bytes is None else min(cut_after_bytes, answer.length)
        with opened(answer.body) as source:
            source.seek(answer.start)
            while left and (chunk := source.read(min(left, CHUNK_BYTES))):
                record.bytes_sent += len(chunk)
                self.wfile.write(chunk)
                left -= len(chunk)
        self.close_connection = self.close_connection or cut_after_bytes is not None


def hub_environment(endpoint: str, home: Path) -> dict[str, str]:
    """The environment, over `os.environ`, of a process that must use this Hub, keep its files in `home`, and be quiet.

    Whatever else it asks for over HTTP goes to the Hub as to a proxy, and is refused there: `datasets` looks up
    `datasets-server.127.0.0.1`, which would be a question to the machine's name service.
    """
    proxies = {**dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), endpoint), "NO_PROXY": "127.0.0.1,localhost"}
    disabled = ("XET", "TELEMETRY", "PROGRESS_BARS", "UPDATE_CHECK")
    return {
        "HF_ENDPOINT": endpoint,
        "HF_HOME": str(home),
        "HF_HUB_CACHE": str(home / "hub"),
        "HF_DATASETS_CACHE": str(home / "datasets"),
        "HF_MODULES_CACHE": str(home / "modules"),
        "HF_ASSETS_CACHE": str(home / "assets"),
        "HF_XET_CACHE": str(home / "xet"),
        "HF_TOKEN_PATH": str(home / "token"),
        "HF_TOKEN": "",
        "HUGGING_FACE_HUB_TOKEN": "",
        "HF_HUB_OFFLINE": "0",
        "HF_DATASETS_OFFLINE": "0",
        "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
        "HF_UPDATE_DOWNLOAD_COUNTS": "0",  # else each load_dataset calls a counter outside the Hub
        "DISABLE_SAFETENSORS_CONVERSION": "1",  # else transformers asks for a conversion of .bin weights
        "TQDM_DISABLE": "1",
        **{f"HF_HUB_DISABLE_{what}": "1" for what in disabled},
        **proxies,
        **{name.lower(): value for name, value in proxies.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Serve a local Hugging Face Hub until SIGTERM.")
    parser.add_argument("root", type=Path, help="the folder that holds the repositories")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    arguments = parser.parse_args()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with LocalHub(arguments.root, port=arguments.port) as hub:
        print(hub.endpoint, flush=True)
        stop.wait()


if __name__ == "__main__":
    main()
