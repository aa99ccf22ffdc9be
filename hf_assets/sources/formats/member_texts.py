"""Captions in the text files of a ZIP, each beside its media."""

import zipfile
from collections.abc import Callable, Iterator

import pyarrow as pa
import pyarrow.compute as pc

from hf_assets.sources.formats import text_files
from hf_assets.sources.formats.faults import Fault

# A setting of ours, beside those of `datasets`' builders: how texts are read, as `FolderRules.captions` has it.
CAPTIONS = "captions_beside"
CAPTION = "caption"
# What reading a damaged member raises.
BAD_MEMBER = (zipfile.BadZipFile, OSError, EOFError, RuntimeError, NotImplementedError, ValueError)


def pairing(archive: zipfile.ZipFile, captions: str, lost: list[Fault]) -> Callable[[pa.Table, str], pa.Table]:
    """What adds the captions of media to a table of them.

    Args:
        captions: "textfile": each line is one; "whole_textfile": each file is.
        lost: is given the texts that can't be read.
    """
    texts = text_files.by_key(name for name in archive.namelist() if not _is_hidden(name))

    def add(table: pa.Table, column: str) -> pa.Table:
        paths = pc.struct_field(table[column], "path").to_pylist()
        found = [_text(archive, texts.get(text_files.key(path or "")), lost) for path in paths]
        if captions == "whole_textfile":
            return table.append_column(CAPTION, pa.array([text.strip() or None for text in found], pa.string()))
        return table.append_column(CAPTION, pa.array(map(text_files.lines, found), pa.list_(pa.string())))

    return add


def examples(archive: zipfile.ZipFile, media: tuple[str, ...], num: int) -> Iterator[str]:
    """Some captions that texts beside media would give.

    Args:
        media: endings of media.
    """
    names = [name for name in archive.namelist() if not _is_hidden(name)]
    held = {text_files.key(name) for name in names if name.lower().endswith(media)}
    beside = sorted(name for stem, name in text_files.by_key(names).items() if stem in held)
    for name in beside[:num]:
        yield from text_files.lines(_text(archive, name, []))[:1]


def _text(archive: zipfile.ZipFile, name: str | None, lost: list[Fault]) -> str:
    if name is None:
        return ""
    try:
        with archive.open(name) as member:
            data = member.read(text_files.MAX_TEXT_BYTES + 1)
    except BAD_MEMBER as error:
        lost.append(Fault(name, "undecodable", f"it can't be read: {error}; fetch the archive again"))
        return ""
    if (fault := text_files.fault_of(name, data)) is not None:
        lost.append(fault)
    return text_files.text_of(data)


def _is_hidden(name: str) -> bool:
    return any(part.startswith(".") or part == "__MACOSX" for part in name.split("/"))
