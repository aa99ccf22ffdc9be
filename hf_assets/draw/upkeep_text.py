"""What `hf-assets verify`, `gc` and `quarantine` found, as text for a terminal."""

from collections.abc import Mapping
from typing import Any

from hf_assets.draw.plan_text import size


def verify_lines(content: Mapping[str, Any]) -> str:
    """How much one folder holds, and each damaged file. `content` has the fields of `VerifyReport`."""
    damaged = content["damaged"]
    what = f"{count_text(content['num_files'], content['noun'])}"
    if content["num_samples"]:
        what += f", {count_text(content['num_samples'], 'sample')}"
    state = f"{count_text(len(damaged), 'file')} damaged" if damaged else "whole"
    lines = [f"{content['folder']}: {what}, {size(content['num_bytes'])}: {state}"]
    return "\n".join([*lines, *(f"  {name}" for name in damaged)])


def garbage_lines(content: Mapping[str, Any]) -> str:
    """One folder: what is in use and what isn't. `content` has the fields of `upkeep.maintenance.GarbageReport`."""
    lines = [f"{content['folder']}:"]
    if content["num_samples"] or content["index_parts"]:
        in_use = f"{count_text(content['num_samples'], 'sample')}, {size(content['num_bytes'])}"
        lines.append(f"  in use: {in_use}, {count_text(content['index_parts'], 'index part')}")
    if content["dead_samples"] or content["dead_bytes"]:
        lines.append(
            f"  not in use: {count_text(content['dead_samples'], 'sample')}, {size(content['dead_bytes'])}; "
            f"{count_text(content['dead_shards'], 'shard')} wholly, {content['sparse_shards']:,} mostly"
        )
    if content["damaged_shards"]:
        lines.append(f"  damaged or missing: {count_text(content['damaged_shards'], 'shard')}")
    if content["stray_files"]:
        lines.append(f"  strays: {count_text(len(content['stray_files']), 'file')}, {size(content['stray_bytes'])}")
    if content["freed_bytes"] is not None:
        lines.append(f"  freed: {size(content['freed_bytes'])}")
    return "\n".join(lines if len(lines) > 1 else [f"{content['folder']}: no garbage"])


def quarantine_lines(id: str, rows: list[dict[str, Any]]) -> str:
    """One dataset's failed samples, a line each."""
    if not rows:
        return f"{id}: no sample failed"
    lines = [f"{id}: {count_text(len(rows), 'sample')} failed"]
    for row in rows:
        seen = sorted({row["first_seen"].strftime("%Y-%m-%d %H:%M"), row["last_seen"].strftime("%Y-%m-%d %H:%M")})
        message = " ".join(row["message"].split())
        name = row["source_path"] or row["address"]
        lines.append(f"  {name}  {row['stage']}  {row['reason']}: {message}  ({' to '.join(seen)} UTC)")
    return "\n".join(lines)


def count_text(number: int, noun: str) -> str:
    """A number and what it counts."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
