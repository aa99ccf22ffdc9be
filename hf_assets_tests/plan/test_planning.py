"""Estimates from configurations of real models, and the plan as text."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from hf_assets.draw import plan_text
from hf_assets.draw.plan_text import duration, plan, size
from hf_assets.encode import encoders
from hf_assets.encode.encoders import Encoder, Header, Record
from hf_assets.encode.media_files import FileRows
from hf_assets.models import autoencoders
from hf_assets.plan import estimates, planning, reasons
from hf_assets.sources.source import source_of
from hf_assets.sources.spec import DataFile, Snapshot, SourceSpec
from hf_assets.store.draft import DraftTable


@pytest.mark.parametrize(
    ("config", "channels", "cell_px"),
    [
        ({"latent_channels": 4, "block_out_channels": [128, 256, 512, 512]}, 4, 8),  # SDXL
        ({"latent_channels": 32, "block_out_channels": [128, 256, 512, 512], "patch_size": [2, 2]}, 32, 8),  # Flux 2
        ({"latent_channels": 32, "encoder_block_out_channels": [128, 256, 512, 512, 1024, 1024]}, 32, 32),  # DC-AE
        ({"z_dim": 16, "dim_mult": [1, 2, 4, 4], "temperal_downsample": [False, True, True]}, 16, 8),  # Qwen-Image
        ({"z_dim": 48, "patch_size": 2, "scale_factor_spatial": 16, "temperal_downsample": [True]}, 48, 16),  # Wan 2.2
        ({"latent_channels": 128, "block_out_channels": [128, 256, 512, 512], "patch_size": 4}, 128, 32),  # LTX
        ({}, 16, 8),  # nothing known: as most have it
    ],
)
def test_the_size_of_latents_follows_from_the_configuration(
    config: dict[str, Any], channels: int, cell_px: int
) -> None:
    assert (autoencoders.channels(config), autoencoders.cell_px(config)) == (channels, cell_px)


@pytest.mark.parametrize(
    ("config", "max_tokens", "elements"),
    [
        ({"hidden_size": 768, "max_position_embeddings": 77}, 512, 77 * 768),  # CLIP, which ignores what T5 is given
        ({"d_model": 4096}, 256, 256 * 4096),  # T5
        ({"d_model": 4096}, None, 512 * 4096),
        ({"text_config": {"hidden_size": 3584, "max_position_embeddings": 128_000}}, 1024, 1024 * 3584),  # Qwen2.5-VL
        ({}, 77, 0),  # unknown
    ],
)
def test_the_size_of_embeds_follows_from_the_configuration(
    config: dict[str, Any], max_tokens: int | None, elements: int
) -> None:
    assert estimates.text_elements(config, max_tokens) == elements


def test_a_local_folder_is_never_fetched(tmp_path: Path) -> None:
    file = DataFile("data/train.parquet", "0" * 64, 1000)
    source = source_of(SourceSpec(dataset_name="/photos"), tmp_path)
    part = FileRows(file, np.array([0]), np.array([0]))
    assert estimates.bytes_to_fetch(source, Snapshot("/photos", "0", True, (file,)), "image", [part], [part]) == 0


@pytest.mark.parametrize(
    ("work", "seconds"),
    [
        ([(100, 50.0), (0, None)], 2.0),  # an unknown rate that isn't needed doesn't matter
        ([(100, 50.0), (10, 5.0)], 4.0),
        ([(100, 50.0), (1, None)], None),
        ([(0, None), (0, 9.0)], 0),
    ],
)
def test_time_is_known_when_every_needed_rate_is(work: list[tuple[int, float | None]], seconds: float | None) -> None:
    assert estimates.seconds(work) == seconds


NOW = Record("weights", "float32", "1.1")


def keyed(*keys: str, to_retry: str = "", last: str = "") -> reasons.Keyed:
    return reasons.Keyed(pa.chunked_array([keys]), pa.array(to_retry, pa.string()), pa.array(last, pa.string()))


def hashed(
    hashes: str = "a", last: str = "a", before: Record | None = NOW, gone: tuple[int, ...] = ()
) -> reasons.Hashed:
    rows, of_gone = pa.chunked_array([list(range(len(hashes)))]), pa.array(gone, pa.int64())
    then = pa.array(list(last), pa.string())
    return reasons.Hashed(pa.chunked_array([list(hashes)]), then, NOW, before, rows, of_gone)


@pytest.mark.parametrize(
    ("evidence", "counts", "left"),
    [
        (keyed("a", "b", "c", to_retry="a", last="ab"), {"retry": 1, "damaged": 1}, [False, False, True]),
        (keyed("a"), {}, [True]),
    ],
)
def test_a_key_says_what_failed_and_what_got_lost(evidence: Any, counts: dict[str, int], left: list[bool]) -> None:
    for of_stage in (reasons.LATENTS, reasons.EMBEDS):
        found, others = reasons.count(len(left), evidence, of_stage.by_key)
        assert (found, others.tolist()) == (counts, left)


@pytest.mark.parametrize(
    ("evidence", "latents", "embeds"),
    [
        (hashed("abc", "a", gone=(1,)), {"geometry": 1, "media": 1, "new": 1}, {"code": 1, "caption": 2}),
        (hashed("a", "a", gone=(0,)), {"geometry": 1}, {"code": 1}),  # media that are known took no place
        (hashed(before=NOW._replace(samples_per_second=5.0)), {"geometry": 1}, {"code": 1}),
        (hashed(before=NOW._replace(code_version="0.1")), {"code": 1}, {"code": 1}),
        (hashed(before=NOW._replace(code_version="0.1", dtype="bfloat16")), {"dtype": 1}, {"dtype": 1}),
        (hashed(before=NOW._replace(dtype="bfloat16", component="others")), {"vae": 1}, {"encoder": 1}),
        (hashed(before=NOW._replace(settings="kind sample", component="others")), {"settings": 1}, {"settings": 1}),
        (hashed(before=None), {"code": 1}, {"code": 1}),
        (hashed()._replace(has_duration=True), {"geometry": 1}, {"duration": 1}),
        (hashed(before=None)._replace(has_duration=True), {"code": 1}, {"code": 1}),
        (hashed("b", before=None), {"new": 1}, {"caption": 1}),
    ],
)
def test_of_several_reasons_the_first_counts(
    evidence: reasons.Hashed, latents: dict[str, int], embeds: dict[str, int]
) -> None:
    for of_stage, expected in ((reasons.LATENTS, latents), (reasons.EMBEDS, embeds)):
        found, left = reasons.count(len(evidence.hashes), evidence, of_stage.by_hash)
        assert (found, left.any()) == (expected, False)


def test_each_reason_has_its_words() -> None:
    known = {*reasons.LATENTS.names, *reasons.EMBEDS.names, planning.UNKNOWN}
    assert known == set(plan_text.REASONS)


@pytest.mark.parametrize(
    ("work", "hours"), [([], 0), ([(7200, 0.5), (0, None)], 1), ([(3600, 1.0), (3600, 2.0)], 3), ([(1, None)], None)]
)
def test_device_hours_are_known_when_every_needed_rate_is(
    work: list[tuple[int, float | None]], hours: float | None
) -> None:
    assert estimates.device_hours(work) == hours


def test_a_table_remembers_its_encoder_and_the_rate_that_was_last_measured(tmp_path: Path) -> None:
    header = Header("vae_latents", "user/model", "", "weights", "float32", "float32", "1", "")
    encoder = Encoder(None, "", header)  # type: ignore[arg-type]
    path = tmp_path / "vae_latents.parquet"
    assert encoders.read_record(path) is None
    for measured, kept in [(None, None), (20.0, 20.0), (None, 20.0), (30.0, 30.0)]:
        device_s = 4 / measured if measured else None  # four devices
        draft = DraftTable.of(path, pa.table({"row": [1]}))
        draft.note({encoders.RECORD: json.dumps(encoders.record(encoder, path, measured, device_seconds=device_s))})
        draft.publish()
        record = encoders.read_record(path)
        assert record is not None
        expected = encoders.record_of(encoder)._replace(samples_per_second=kept)
        assert record == expected._replace(device_seconds=4 / kept if kept else None)
    path.write_bytes(b"damaged")
    assert encoders.read_record(path) is None


CONTENT = {
    "vae_latents": {"reuse": 11963, "compute": {"geometry": 37}, "quarantined": 0},
    "text_embeds": {"reuse": 9800, "compute": {}, "quarantined": 2},
    "bytes_to_fetch": 1_234_567_890,
    "model_bytes_to_fetch": 0,
    "bytes_to_store": 4_700_000,
    "seconds": 171.2,
    "training_set": {"before": 9, "after": 9, "added": 0, "media": 0, "recaptioned": 0, "recropped": 0, "removed": {}},
}
GONE = {"too_small": 1, "no_caption": 1}
FEWER = {"before": 9, "after": 8, "added": 1, "media": 0, "recaptioned": 0, "recropped": 2, "removed": GONE}


@pytest.mark.parametrize(
    ("changes", "lines"),
    [
        (
            {},
            [
                "photos:",
                "  training set: as it is",
                "  latents: 37 of 12,000 to encode (resized or cropped differently), 11,963 reused",
                "  captions: none to encode, 9,800 reused, 2 quarantined",
                "  fetch 1.2 GB of data, store about 4.7 MB, about 3 min to encode",
            ],
        ),
        (
            {
                "vae_latents": {"reuse": 0, "compute": {"new": 2, "unknown_until_read": 1000}, "quarantined": 0},
                "model_bytes_to_fetch": 335_000_000,
                "seconds": None,
                "training_set": {"before": None, "after": 0, "unread": 1000, "removed": {}},
            },
            [
                "photos:",
                "  training set: none yet; 1,000 not read yet",
                "  latents: up to 1,002 to encode (2 not in the last training set, 1,000 in files not read yet)",
                "  captions: none to encode, 9,800 reused, 2 quarantined",
                "  fetch 1.2 GB of data and 335 MB of models, store up to 4.7 MB, time unknown before a first run",
            ],
        ),
        (
            {
                "text_embeds": {"reuse": 0, "compute": {"caption": 7}, "quarantined": 0},
                "bytes_per_caption": 4_200_000,
                "embed_bytes_per_second": None,
            },
            [
                "photos:",
                "  training set: as it is",
                "  latents: 37 of 12,000 to encode (resized or cropped differently), 11,963 reused",
                "  captions: 7 to encode (new)",
                "  fetch 1.2 GB of data, store about 4.7 MB (4.2 MB a caption: 420 MB/s for 100 captions a second "
                "to write), about 3 min to encode",
            ],
        ),
        (
            {"bytes_per_caption": 4_200_000, "embed_bytes_per_second": 504_000_000},
            [
                "photos:",
                "  training set: as it is",
                "  latents: 37 of 12,000 to encode (resized or cropped differently), 11,963 reused",
                "  captions: none to encode, 9,800 reused, 2 quarantined",
                "  fetch 1.2 GB of data, store about 4.7 MB (4.2 MB a caption: 504 MB/s to write), "
                "about 3 min to encode",
            ],
        ),
        (
            {
                "bytes_to_fetch": 0,
                "bytes_per_caption": 4_900,
                "embed_bytes_per_second": 124_000,
                "training_set": {**FEWER, "removed": {"too_small": 2}},
            },
            [
                "photos:",
                "  training set: 1 added, 2 re-cropped, 2 removed (too_small); 9 before, 8 after",
                "  latents: 37 of 12,000 to encode (resized or cropped differently), 11,963 reused",
                "  captions: none to encode, 9,800 reused, 2 quarantined",
                "  store about 4.7 MB, about 3 min to encode",
            ],
        ),
        (
            {"seconds": 7200.0, "device_hours": 15.9, "model_bytes_to_fetch": 0},
            [
                "photos:",
                "  training set: as it is",
                "  latents: 37 of 12,000 to encode (resized or cropped differently), 11,963 reused",
                "  captions: none to encode, 9,800 reused, 2 quarantined",
                "  fetch 1.2 GB of data, store about 4.7 MB, about 2 h to encode (15.9 device hours)",
            ],
        ),
        (
            {"vae_latents": {"reuse": 1, "compute": {}, "quarantined": 0}},
            ["photos: nothing to do; 1 latent and 9,800 captions are stored, 2 quarantined"],
        ),
        (
            {
                "vae_latents": {"reuse": 1, "compute": {}, "quarantined": 0},
                "training_set": {**FEWER, "unread": 1},
                "names": {"added": ["a.png"], "unread": ["c.png"], "removed (too_small)": ["b.png"]},
            },
            [
                "photos:",
                "  training set: 1 added, 2 re-cropped, 1 not read yet, 2 removed (1 too_small, 1 no_caption); "
                "9 before, up to 9 after",
                "    added:",
                "      a.png",
                "    not read yet:",
                "      c.png",
                "    removed (too_small):",
                "      b.png",
                "  latents: none to encode, 1 reused",
                "  captions: none to encode, 9,800 reused, 2 quarantined",
            ],
        ),
    ],
)
def test_a_plan_as_text(changes: dict[str, Any], lines: list[str]) -> None:
    assert plan("photos", {**CONTENT, **changes}).splitlines() == lines


def test_plans_as_a_comment_on_a_pull_request() -> None:
    lines = plan_text.markdown({"photos": {**CONTENT, "training_set": FEWER, "names": {"added": ["`a|b`.png"]}}})
    assert lines.splitlines()[2].startswith(
        "| photos | 1 added, 2 re-cropped, 2 removed (1 too_small, 1 no_caption); 9"
    )
    named = plan_text.markdown({"a|b": {**CONTENT, "training_set": {**FEWER, "removed": {"x|y": 2}}}}).splitlines()[2]
    assert named.startswith(r"| a\|b | 1 added, 2 re-cropped, 2 removed (x\|y); 9")
    assert named.replace(r"\|", "").count("|") == 6
    current = {"vae_latents": {"reuse": 7, "compute": {}, "quarantined": 0}, "bytes_to_store": 0, "seconds": 0}
    same = plan_text.markdown({"photos": {**CONTENT, **current}}).splitlines()[2]
    assert same == (
        "| photos | as it is | none to encode, 7 reused | none to encode, 9,800 reused, 2 quarantined | nothing |"
    )
    assert lines.splitlines()[3:] == [
        "",
        "<details><summary>photos: 1 file added</summary>",
        "",
        "- `a|b.png`",
        "",
        "</details>",
    ]


@pytest.mark.parametrize(
    ("num_bytes", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (9_949, "9.9 kB"),
        (9_950, "10 kB"),
        (999_499, "999 kB"),
        (999_500, "1.0 MB"),
        (10**16, "10000 TB"),
    ],
)
def test_bytes_have_two_digits_at_least(num_bytes: int, text: str) -> None:
    assert size(num_bytes) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.2, "1 s"),
        (59.4, "59 s"),
        (59.9, "1 min"),
        (89, "1 min"),
        (3570, "1 h"),
        (3660, "1 h 1 min"),
        (90_000, "25 h"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text
