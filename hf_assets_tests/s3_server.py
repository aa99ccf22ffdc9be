"""A server that speaks the S3 protocol (moto), on this machine, one request at a time; it can be told to fail.

`python -m hf_assets_tests.s3_server` prints its port.
"""

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

CONTROL = "/__faults__"


class S3Server(NamedTuple):
    """Where a server is reached."""

    endpoint: str

    def fail(self, **fault: Any) -> None:
        """Let requests fail.

        Args:
            fault: `status` and `code`, or `cut`; `count` of requests (default: all); `methods`; `key`: part of a path.
                None of these: no more faults.
        """
        self._send("PUT", CONTROL, json.dumps(fault).encode())

    @property
    def requests(self) -> list[str]:
        """The requests since the last change of faults, as `METHOD path`."""
        found: list[str] = json.loads(self._send("GET", CONTROL))
        return found

    def make_bucket(self, name: str) -> None:
        """Make a bucket."""
        self._send("PUT", f"/{name}")

    def _send(self, method: str, path: str, data: bytes | None = None) -> bytes:
        request = urllib.request.Request(self.endpoint + path, data, method=method)
        with urllib.request.urlopen(request, timeout=10) as answer:
            body: bytes = answer.read()
        return body


@contextmanager
def running() -> Iterator[S3Server]:
    """A server for as long as it is wanted."""
    process = subprocess.Popen(
        [sys.executable, "-m", "hf_assets_tests.s3_server"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    try:
        yield S3Server(f"http://127.0.0.1:{int(process.stdout.readline())}")
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def environment(server: S3Server) -> dict[str, str]:
    """What a user sets."""
    return {
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": server.endpoint,
    }


def main() -> None:
    os.environ.update(AWS_ACCESS_KEY_ID="key", AWS_SECRET_ACCESS_KEY="secret")
    from moto.server import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    moto = DomainDispatcherApplication(create_backend_app)
    fault: dict[str, Any] = {}
    seen: list[str] = []

    def application(environ: dict[str, Any], start_response: Any) -> Any:
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        if path == CONTROL:
            body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            if method == "PUT":
                fault.clear()
                fault.update(json.loads(body))
                seen.clear()
            start_response("200 OK", [("Content-Type", "application/json")])
            return [json.dumps(seen).encode()]
        seen.append(f"{method} {path}")
        if (
            ("status" in fault or "cut" in fault)
            and method in fault.get("methods", [method])
            and fault.get("key", "") in path
            and fault.get("count", 1) > 0
        ):
            if "count" in fault:
                fault["count"] -= 1
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            if "cut" in fault:
                environ["werkzeug.socket"].shutdown(2)
                return []
            body = b"" if method == "HEAD" else f"<Error><Code>{fault['code']}</Code></Error>".encode()
            start_response(f"{fault['status']} {fault['code']}", [("Content-Length", str(len(body)))])
            return [body]
        return moto(environ, start_response)

    server = make_server("127.0.0.1", 0, application, threaded=False)
    print(server.server_port, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
