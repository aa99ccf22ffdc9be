"""WebDataset archives: samples are members of one name, each by its ending a column.

Read as `datasets` reads them, but for what it refuses: samples may have different members, such as .jpg here and .png
there, and JSON of different shapes; and one bad member costs its sample, not the archive.
"""

import contextlib
import json
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from hf_assets.errors import DatasetError
from hf_assets.media import signatures
from hf_assets.sources import unicode_names
from hf_assets.sources.formats import faults, foreign
from hf_assets.sources.formats.faults import Fault, has_surrogate
from hf_assets.sources.unicode_names import composed

# Members that are text; a mark in front of it that says how it is written is none of it.
TEXT_FIELDS = ("txt", "text", "transcript", "caption", "captions", "prompt", "lyrics")
KEY, URL = "__key__", "__url__"
# Columns of one archive; the time to make a table of them grows faster than their number.
MAX_FIELDS = 1000


class _Member(tarfile.TarInfo):
    """A member of a tar. Behind a header that can't be read, the next one that can is looked for; tarfile would take it
    for the archive's end.

    Attributes:
        is_behind_damage: there is such a header in front of this member.
    """

    is_behind_damage = False

    @classmethod
    def fromtarfile(cls, tar: tarfile.TarFile) -> "_Member":
        is_first, is_behind_damage = not tar.offset, False
        while True:
            try:
                member = super().fromtarfile(tar)
            except tarfile.InvalidHeaderError:  # type: ignore[attr-defined]
                if is_first:
                    raise
                is_behind_damage = True
            except tarfile.EOFHeaderError:  # type: ignore[attr-defined]  # zeros: the end, or a member's content
                if not is_behind_damage:
                    raise
            except tarfile.TruncatedHeaderError as error:  # type: ignore[attr-defined]
                raise EOFError(str(error)) from None
            except tarfile.EmptyHeaderError:  # type: ignore[attr-defined]
                if is_behind_damage:
                    raise EOFError("bad header") from None
                raise
            else:
                member.is_behind_damage = is_behind_damage
                return member


class Archive:
    """The samples of a tar.

    Attributes:
        faults: of the samples that were left out, as far as it was read last.
        as_text: columns of JSON of which each value is given as JSON text.
        ignored: names of members, without folders, that belong to no sample.
        is_scattered: members of one name lie apart, as far as it was read last.
        is_grouped: they are put together, as far as the first of them lies in front.
    """

    def __init__(self, local: Path, url: str) -> None:
        self.local, self.url = local, url
        self.faults: list[Fault] = []
        self.as_text: set[str] = set()
        self.ignored: list[str] = []
        self.is_scattered = self.is_grouped = False

    def samples(self) -> Iterator[dict[str, Any]]:
        """Each sample by the names of its columns; media as bytes."""
        self.faults.clear()
        sample: dict[str, Any] = {}
        usual: set[str] = set()
        seen: dict[str, set[str]] = {}
        fault: Fault | None = None
        for key, field, data in self._grouped() if self.is_grouped else self._members():
            if sample and composed(sample[KEY]) != composed(key):
                before = seen.setdefault(composed(sample[KEY]), set())
                self.is_scattered |= bool(before) and before.isdisjoint(sample.keys() - {KEY})
                before.update(sample.keys() - {KEY})
                yield from self._finished(sample, fault)
                usual, sample, fault = set(sample), {}, None
            sample.setdefault(KEY, key)
            if isinstance(data, Fault):
                if not field and sample.keys() == usual:  # whole, as the one before
                    self.faults.append(data)
                else:
                    fault = fault or data
                continue
            if field in sample:
                fault = fault or Fault(key, "undecodable", f'it has two members called "{field}"')
                continue
            try:
                sample[field] = _decoded(field, data)
                if has_surrogate(sample[field]):
                    raise ValueError("a text in it has half of a surrogate pair, which is no character")
            except Exception as error:  # by third parties' decoders: nearly anything
                fault = fault or Fault(key, "undecodable", f'"{key}.{field}" can\'t be read: {_words(error)}')
        if sample:
            before = seen.get(composed(sample[KEY]), set())
            self.is_scattered |= bool(before) and before.isdisjoint(sample.keys() - {KEY})
            yield from self._finished(sample, fault)

    def _finished(self, sample: dict[str, Any], fault: Fault | None) -> Iterator[dict[str, Any]]:
        if fault is not None:
            self.faults.append(fault)
            return
        yield {**{name: value for name, value in sample.items() if name != KEY}, KEY: sample[KEY], URL: self.url}

    def _grouped(self) -> Iterator[tuple[str, str, bytes | Fault]]:
        """`_members` of an archive that isn't compressed, those of a name together."""
        from datasets.packaged_modules.webdataset.webdataset import base_plus_ext

        groups: dict[str, list[tuple[str, str, int, int]]] = {}
        with tarfile.open(self.local, "r:") as tar:
            for member in tar:
                tar.members = []  # type: ignore[attr-defined]  # it would remember all of them
                key, field = base_plus_ext(member.name)
                if member.isreg() and key is not None and self._is_sample_s(member.name):
                    place = (key, field.lower(), member.offset_data, member.size)
                    groups.setdefault(composed(key), []).append(place)
        with self.local.open("rb") as file:
            for places in groups.values():
                for _, field, start, size in places:
                    file.seek(start)
                    yield places[0][0], field, file.read(size)

    def _is_sample_s(self, name: str) -> bool:
        """Whether a member isn't hidden, or about others."""
        return not is_hidden(name) and _basename(name) not in self.ignored

    def _members(self) -> Iterator[tuple[str, str, bytes | Fault]]:
        """(key, field, content) of each file; a fault in place of the one in which the archive ends."""
        from datasets.packaged_modules.webdataset.webdataset import base_plus_ext

        last = "the archive's first member"
        fields: set[str] = set()
        seen: dict[str, str] = {}
        try:
            with tarfile.open(self.local, "r|*", tarinfo=_Member) as tar:
                for member in tar:
                    tar.members = []  # type: ignore[attr-defined]  # it would remember all of them
                    name = member.name
                    if member.is_behind_damage:  # type: ignore[attr-defined]
                        message = "a header is damaged behind this member, and what it begins is lost: fetch it again"
                        yield base_plus_ext(last)[0] or last, "", Fault(f"{last} and behind", "truncated", message)
                    unicode_names.require_another(name, seen, f'archive "{self.url}"')
                    key, field = base_plus_ext(name)
                    # hidden files, and those that are about others
                    if not member.isreg() or key is None or not self._is_sample_s(name):
                        continue
                    last = name
                    fields.add(field)
                    if len(fields) > MAX_FIELDS:
                        raise DatasetError(
                            f'"{self.url}" has members of more than {MAX_FIELDS:,d} kinds, such as "{name[:200]}": '
                            f'WebDataset takes what stands behind the first dot of a name, "{field[:100]}", for the '
                            "column. Rename the members, so that names have one dot, or pack them as a ZIP"
                        )
                    content = tar.extractfile(member)
                    data = b"" if content is None else content.read()
                    if len(data) < member.size:
                        raise tarfile.ReadError("unexpected end of data")
                    yield key, field.lower(), data
        except (tarfile.TarError, EOFError, OSError) as error:
            key, field = base_plus_ext(last)
            message = f"the archive ends, or is damaged, in or behind this member ({error}): fetch it again"
            yield key or last, field or "", Fault(key or last, "truncated", message)


# What Windows leaves in folders.
OF_SYSTEMS = ("thumbs.db", "desktop.ini")
# Tables in a tar of bare images, as a folder of images has them.
METADATA = ("metadata.csv", "metadata.jsonl", "metadata.parquet")


def _basename(name: str) -> str:
    return name.rsplit("/", 1)[-1]


def is_hidden(name: str) -> bool:
    return _basename(name).startswith((".", "__")) or _basename(name).lower() in OF_SYSTEMS


def is_media(name: str) -> bool:
    """Whether a member is an image, a clip or audio, by its name."""
    return is_media_field(_basename(name).lower())


def bare(local: Path) -> tuple[list[str], list[Path]] | None:
    """The names of a tar's media, and its tables of metadata, put beside it; None where it holds anything else."""
    names: list[str] = []
    tables: dict[str, Path] = {}
    with contextlib.suppress(tarfile.TarError, EOFError, OSError), tarfile.open(local, "r|*", tarinfo=_Member) as tar:
        for member in tar:
            tar.members = []  # type: ignore[attr-defined]  # it would remember all of them
            name = _basename(member.name)
            if not member.isreg() or is_hidden(name):
                continue
            if name not in METADATA:
                if not is_media(name):  # its samples have texts of their own
                    return None
                names.append(member.name)
            elif name not in tables and (content := tar.extractfile(member)) is not None:
                tables[name] = local.with_name(name)
                with tables[name].open("wb") as copy:
                    shutil.copyfileobj(content, copy, 1 << 20)
    return names, sorted(tables.values())


def tables(archive: Archive, batch_rows: int = 16) -> Iterator[pa.Table]:
    """The samples as tables, few at a time, with media as structs of bytes and path."""
    waiting: list[dict[str, Any]] = []
    num_bytes = num_samples = 0
    for sample in archive.samples():
        num_samples += 1
        waiting.append(_with_media(sample))
        num_bytes += sum(len(one["bytes"]) for one in waiting[-1].values() if isinstance(one, dict) and "bytes" in one)
        if len(waiting) == batch_rows or num_bytes >= 32 << 20:
            yield _table(waiting, archive.as_text)
            waiting, num_bytes = [], 0
    if waiting:
        yield _table(waiting, archive.as_text)
    elif not num_samples and archive.faults:
        raise tarfile.ReadError(archive.faults[0].message)


def undecided(schemas: list[pa.Schema]) -> set[str]:
    """The columns about whose type tables disagree."""
    found = set()
    for name in {name for schema in schemas for name in schema.names}:
        try:
            parts = [pa.schema([schema.field(name)]) for schema in schemas if name in schema.names]
            pa.unify_schemas(parts, promote_options="permissive")
        except (pa.ArrowInvalid, pa.ArrowTypeError):
            found.add(name)
    return found


def _words(error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError):
        return f"it is not UTF-8 at byte {error.start:,} (0x{error.object[error.start]:02x}): save it as UTF-8"
    return signatures.words(error)[:200]


def _decoded(field: str, data: bytes) -> Any:
    from datasets.packaged_modules.webdataset.webdataset import WebDataset

    ending = field.rsplit(".", 1)[-1]
    if ending in (*TEXT_FIELDS, "json"):
        if (pointer := foreign.pointer_of(data[: foreign.HEAD_BYTES])) is not None:
            raise ValueError(f"it is {pointer}")
        text = data.decode(faults.wide_encoding(data[: faults.HEAD_BYTES]) or "utf-8-sig")
        return faults.loads_written(text) if ending == "json" else text
    decoder = WebDataset.DECODERS.get(ending)
    return data if decoder is None else decoder(data)


def _with_media(sample: dict[str, Any]) -> dict[str, Any]:
    return {
        name: {"bytes": value, "path": f"{sample[KEY]}.{name}"}
        if isinstance(value, bytes) and is_media_field(name)
        else value
        for name, value in sample.items()
    }


def is_media_field(name: str) -> bool:
    from datasets.packaged_modules.webdataset.webdataset import WebDataset as known

    ending = name.rsplit(".", 1)[-1]
    return any(ending in kind for kind in (known.IMAGE_EXTENSIONS, known.AUDIO_EXTENSIONS, known.VIDEO_EXTENSIONS))


def _table(samples: list[dict[str, Any]], as_text: set[str]) -> pa.Table:
    names = list(dict.fromkeys(name for sample in samples for name in sample if name not in (KEY, URL)))
    columns = {name: [sample.get(name) for sample in samples] for name in (*names, KEY, URL)}
    return pa.table({name: _text(values) if name in as_text else _column(values) for name, values in columns.items()})


def _text(values: list[Any]) -> pa.Array:
    texts = [None if value is None else json.dumps(value, ensure_ascii=False) for value in values]
    return pa.array(texts, pa.string())


def _column(values: list[Any]) -> pa.Array:
    """Values as a column; what has no common type as JSON text."""
    from datasets.features.features import cast_to_python_objects

    plain = cast_to_python_objects(values, only_1d_for_numpy=True)
    try:
        return pa.array(plain)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError):
        return pa.array(faults.settled(plain))
