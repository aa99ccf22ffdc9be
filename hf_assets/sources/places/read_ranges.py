"""What was read of files by range, so that it can be compared with a file that is fetched whole later."""

import json
from pathlib import Path

from hf_assets import blobs, fingerprint

# Of one file so many ranges are noted: those of its columns and row groups.
MAX_RANGES = 10_000


class ReadRanges:
    """Hashes of ranges, noted in one file for each file of a dataset.

    Args:
        folder: in which they are.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def note(self, content_hash: str, ranges: dict[str, str]) -> None:
        """
        Args:
            ranges: `start-stop` -> hash of these bytes.
        """
        if ranges:
            blobs.at(self.folder).update(content_hash, lambda data: _merge(data, ranges))

    def differing(self, content_hash: str, path: Path) -> str | None:
        """A range that was read otherwise than a whole file has it; None, and nothing is noted any more, of none."""
        known = self.folder / content_hash
        if not known.exists():
            return None
        with path.open("rb") as file:
            for span, digest in _parse(known.read_bytes()).items():
                start, stop = map(int, span.split("-"))
                file.seek(start)
                if fingerprint.of_bytes(file.read(stop - start)) != digest:
                    return span
        known.unlink(missing_ok=True)
        return None


def _merge(data: bytes | None, ranges: dict[str, str]) -> bytes:
    both = {**_parse(data or b"{}"), **ranges}
    return json.dumps(dict(list(both.items())[:MAX_RANGES])).encode()


def _parse(data: bytes) -> dict[str, str]:
    try:
        return dict(json.loads(data))
    except (ValueError, TypeError):  # damaged
        return {}
