"""Where bytes lie: the one seam between everything that is stored and the place that it is stored in.

`Blobs` is a folder of named byte strings with about a dozen verbs: put, put if absent, put if unchanged, get, get
range, a local path where there is one, list, set aside, delete, and what holds garbage collection back while the
folder is in use. The tensor stores, their index, the ledger, the generations and the tables know no other way to
their bytes. Behind it lies the local file system (`local`) or an object store (`objects`).

A `Location` is what a config names, a path or an address; `at(location)` opens it. Open `interface` first.
"""

from hf_assets.blobs import listings
from hf_assets.blobs.interface import Blob, Blobs, State
from hf_assets.blobs.location import Location, ObjectPath, at

__all__ = ["Blob", "Blobs", "Location", "ObjectPath", "State", "at", "listings"]
