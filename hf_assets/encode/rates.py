"""How fast this machine last encoded with a model, whatever the dataset: what a plan estimates a first run's time by.

It says how long something takes, never what comes out.
"""

import contextlib
import json

from hf_assets import files, fingerprint, folder
from hf_assets.blobs import Location
from hf_assets.encode.encoders import Encoder
from hf_assets.errors import StoreError


def note(encoder: Encoder, samples_per_second: float | None, volume: float = 1.0) -> None:
    """Remember a rate, if there is one.

    Args:
        volume: of a sample, on average; see `kinds.medium.Medium.volume`.
    """
    if samples_per_second and volume:
        content = json.dumps({"volume_per_second": samples_per_second * volume}).encode()
        with contextlib.suppress(OSError, StoreError):  # where nothing can be kept, a plan knows no time
            files.write_atomically(_file(encoder), content)


def known(encoder: Encoder, volume: float = 1.0) -> float | None:
    """Samples per second, by the last rate that was noted for the same model and dtype; None where there is none."""
    try:
        rate = float(json.loads(_file(encoder).read_bytes())["volume_per_second"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return rate / volume if volume else None


def _file(encoder: Encoder) -> Location:
    header = encoder.header
    what = [header.stage, header.encoder, header.dtype, header.computed_in]
    return folder.machine_cache() / "rates" / f"{fingerprint.of_value(what)}.json"
