"""Which of a TIFF's pages is the picture: the first that is neither a smaller copy of another nor a mask of one.

TIFF 6.0, NewSubfileType, and SubfileType of older writers.
"""

from typing import Any

from PIL import TiffImagePlugin

from hf_assets.errors import MediaError

NEW_SUBFILE_TYPE, SUBFILE_TYPE, SUB_IFDS, PROFILE = 254, 255, 330, 34675
SMALLER, MASK, OLD_SMALLER = 1, 4, 2
# Of so many pages it is looked for.
MAX_PAGES = 64


def seek(image: TiffImagePlugin.TiffImageFile) -> tuple[str, ...]:
    """Go to the page that is the picture; give the step that this is, where it isn't the first.

    Raises:
        MediaError: `undecodable`: the picture lies where no page does.
    """
    for number in range(MAX_PAGES):
        try:
            image.seek(number)
        except EOFError:
            break
        if not _is_other(image.tag_v2):
            if PROFILE not in image.tag_v2:  # Pillow keeps that of the page before
                image.info.pop("icc_profile", None)
            return ("page",) if number else ()
    image.seek(0)
    _require_picture(SUB_IFDS in image.tag_v2)
    return ()


def chosen(file: Any) -> tuple[Any, bool]:
    """The same of a file that tifffile opened: (its page, whether it isn't the first).

    Raises:
        MediaError: as `seek`.
    """
    for number in range(MAX_PAGES):
        try:
            page = file.pages[number]
        except IndexError:
            break
        if not _is_other({tag.code: tag.value for tag in page.tags if tag.code in (NEW_SUBFILE_TYPE, SUBFILE_TYPE)}):
            return page, number > 0
    _require_picture(SUB_IFDS in file.pages[0].tags)
    return file.pages[0], False


def _is_other(tags: Any) -> bool:
    kind, old = tags.get(NEW_SUBFILE_TYPE, 0), tags.get(SUBFILE_TYPE)
    return (isinstance(kind, int) and bool(kind & (SMALLER | MASK))) or old == OLD_SMALLER


def _require_picture(has_more: bool) -> None:
    if has_more:
        raise MediaError(
            "undecodable",
            "TIFF: only a smaller copy of the picture lies on a page, as in a camera's raw file (DNG, NEF): develop it",
        )
