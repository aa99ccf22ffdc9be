"""Repositories on the Hub that are folders of media with a text beside each."""

import tempfile
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from hf_assets import files, fingerprint
from hf_assets.engines.ahead import map_ahead
from hf_assets.errors import DatasetError
from hf_assets.sources import listing, streaming, unicode_names
from hf_assets.sources.formats.conversion import Format
from hf_assets.sources.places import media_folder
from hf_assets.sources.places.hub_repository import HubSource
from hf_assets.sources.spec import LISTED_PATH, MEDIA_SUFFIXES, DataFile, Snapshot

# So many texts are fetched at a time.
FETCH_THREADS = 8


class HubFolder(HubSource):
    """A repository's media files are rows, or those in its ZIPs where none lies loose. Their captions are texts."""

    def _list(self, info: Any) -> listing.Split:
        rules = self.spec.folder
        assert rules is not None
        self._require_access(info)
        siblings = {sibling.rfilename: sibling for sibling in info.siblings or ()}
        shown = [path for path in siblings if not any(part.startswith(".") for part in path.split("/"))]
        suffixes = MEDIA_SUFFIXES[rules.media]
        media = sorted((path for path in shown if path.lower().endswith(suffixes)), key=lambda one: one.split("/"))
        if not media:
            archives = [self._data_file(siblings[path], path) for path in sorted(filter(listing.is_archive, shown))]
            if not archives:
                raise DatasetError(
                    f'dataset "{self.spec.dataset_name}" holds no {rules.media} files, and no ZIP of such: correct it'
                )
            split = listing.archives_of(archives, rules)
            streaming.check(self.spec, split.files, Format.loads(split.format))
            return split
        entries = [self._data_file(siblings[path], path) for path in media]
        unicode_names.require_distinct(media, f'dataset "{self.spec.dataset_name}"')
        self._remember_listing(info)
        beside = [
            self._data_file(siblings[path], path) for path in sorted(set(media_folder.sidecars(shown, media, rules)))
        ]
        asked = [media_folder.VERSION, rules.model_dump(), media, [[file.path, file.hash] for file in beside]]
        table = DataFile(LISTED_PATH, fingerprint.of_value(asked), 0, listing.LISTED)
        if not self.tables.is_kept(table):
            self._make(table, Snapshot(self.spec.dataset_name, str(info.sha), False, ()), media, beside)
        return listing.Split((table,), listing.media_fingerprint(entries), "", ())

    def _make(self, table: DataFile, snapshot: Snapshot, media: list[str], beside: list[DataFile]) -> None:
        """Write the table of media and captions."""
        rules = self.spec.folder
        assert rules is not None
        with tempfile.TemporaryDirectory() as name:
            root = Path(name)

            def fetch(file: DataFile) -> Path:
                place = root / file.path
                place.parent.mkdir(parents=True, exist_ok=True)
                place.symlink_to(self.fetch(snapshot, file).resolve())
                return place

            texts = list(map_ahead(fetch, beside, threads=FETCH_THREADS, ahead=FETCH_THREADS))
            made = media_folder.table_of(root, media, rules, texts)
        with files.open_atomically(self.tables.path(table)) as temporary:
            pq.write_table(made, temporary, compression="zstd", write_page_checksum=True)

    def _memory_of(self, commit: str) -> Path:
        rules = self.spec.folder
        assert rules is not None
        asked = [self.spec.dataset_name, commit, rules.model_dump()]
        return self.memory / "splits" / f"{fingerprint.of_value([media_folder.VERSION, *asked])}.json"
