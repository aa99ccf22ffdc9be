"""Files whose endings are in capitals, such as `X.ZIP`: `datasets` (5.2) lists only pictures, audio and video."""

import functools

from hf_assets.sources.formats.conversion import CONVERTED, FOLDERS, LANCE
from hf_assets.sources.spec import PARQUET

# A Lance dataset is a folder, of which the files are named by Lance.
KINDS = (PARQUET, *(kind for kind in CONVERTED if kind != LANCE), *FOLDERS)


@functools.cache
def patch_datasets() -> None:
    """Let `datasets` list such files as those in small letters, of the kinds that are read."""
    from datasets import load

    listed = getattr(load, "_ALL_ALLOWED_EXTENSIONS", None)
    of_kinds = getattr(load, "_MODULE_TO_EXTENSIONS", None)
    if not isinstance(listed, list) or not isinstance(of_kinds, dict):  # not public: other files needn't suffer
        return
    for kind in KINDS:
        endings = of_kinds.get(kind, [])
        forms = [form for one in endings for form in (one.upper(), f".{one[1:].capitalize()}")]
        endings += [form for form in dict.fromkeys(forms) if form not in endings]
        listed += [form for form in dict.fromkeys(forms) if form not in listed]
