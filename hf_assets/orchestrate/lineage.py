"""Tables that belong together: every table notes the data versions of the tables that it was made from.

Rows of different tables meet by their position in the split, so tables of different revisions must never meet. A run of
the whole graph can't mix them; one that materializes only some assets, or two runs at once, could.
"""

from collections.abc import Iterator, Mapping, Sequence

from hf_assets.blobs import Location
from hf_assets.errors import StoreError
from hf_assets.folder import table as table_path
from hf_assets.store.table_file import Facts, TableFile, facts_of


def matching_versions(inputs: Sequence[TableFile]) -> dict[str, str]:
    """The data versions of an asset's inputs.

    Raises:
        StoreError: one was made from other tables than those that are there.
    """
    versions = {}
    for one in inputs:
        facts = one.facts()
        versions[one.name] = facts.version
        for made, source in _mismatches(one.folder, one.name, facts):
            folder = one.folder.name
            raise StoreError(
                f"{folder}/{made} was made from an earlier {folder}/{source} than the one that is there: "
                f"materialize {folder}/{made} and what follows it, or the whole group"
            )
    return versions


def require_unchanged(inputs: Sequence[TableFile], versions: Mapping[str, str]) -> None:
    """Let a result be kept only if the tables are there of which it was made.

    Raises:
        StoreError: another run changed one meanwhile.
    """
    for one in inputs:
        if one.facts().version != versions[one.name]:
            raise StoreError(
                f"another run changed {one.folder.name}/{one.name} since this run read it, so what this run made of it "
                "is not kept (tensors are): run again"
            )


def _mismatches(folder: Location, name: str, facts: Facts) -> Iterator[tuple[str, str]]:
    """(table, input) where a table isn't made from the input that lies there now, of a table and all before it."""
    for source, version in facts.made_from.items():
        there = facts_of(table_path(folder, source))
        if there is None:
            raise StoreError(f"the table of {folder.name}/{source} is missing or damaged: materialize it again")
        if there.version != version:
            yield name, source
        yield from _mismatches(folder, source, there)
