"""Audio in arrays of samples: as `datasets` stores what it has decoded."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import soundfile

from hf_assets import fingerprint
from hf_assets.errors import DatasetError, MediaError
from hf_assets.media import audio
from hf_assets.sources.formats.parquet import WantedColumns, media_bytes, read_columns, read_media
from hf_assets_tests.audio_files import tone
from hf_assets_tests.sources.parquet_files import parquet

SINE = tone(440, 0.1, rate=8_000, channels=1)[:, 0]
STEREO = np.stack([SINE, -SINE])
LIST = pa.list_(pa.float32())


def column(arrays: list[Any], kind: pa.DataType = LIST, rate: Any = 8_000) -> pa.Array:
    """As `datasets` has it: a struct of path, array and sampling rate."""
    array = pa.array([one.tolist() if isinstance(one, np.ndarray) else one for one in arrays], kind)
    rates = pa.array([rate] * len(arrays), pa.int64())
    return pa.StructArray.from_arrays(
        [pa.nulls(len(arrays), pa.string()), array, rates], ["path", "array", "sampling_rate"]
    )


def media(folder: Path, values: pa.Array, rows: list[int] | None = None, **options: Any) -> dict[int, bytes | None]:
    path = folder / "rows.parquet"
    path.write_bytes(parquet({"audio": values}, **options))
    return dict(read_media(path, "audio", list(range(len(values))) if rows is None else rows))


def decoded(data: bytes | None) -> tuple[np.ndarray, int]:
    assert data is not None
    samples, rate = soundfile.read(io.BytesIO(data), dtype="float64", always_2d=True)
    return samples.T, rate


@pytest.mark.parametrize(
    ("samples", "kind", "expected"),
    [
        (SINE, LIST, SINE[None]),
        (SINE, pa.large_list(pa.float64()), SINE[None]),
        (SINE, pa.list_(pa.float16()), SINE.astype(np.float16)[None]),
        (SINE, pa.list_(pa.float32(), len(SINE)), SINE[None]),
        (STEREO, pa.list_(LIST), STEREO),
        (STEREO.T, pa.list_(LIST), STEREO),  # more rows than audio has channels
        (np.array([0, 16384, -32768]), pa.list_(pa.int16()), np.array([[0, 0.5, -1]])),
        (np.array([0, 2**30, -(2**31)]), pa.list_(pa.int32()), np.array([[0, 0.5, -1]])),
    ],
    ids=["float32", "float64", "float16", "fixed size", "channels first", "channels last", "int16", "int32"],
)
def test_an_array_is_a_file_of_exactly_its_samples(
    samples: np.ndarray, kind: pa.DataType, expected: np.ndarray, tmp_path: Path
) -> None:
    data = media(tmp_path, column([samples], kind))[0]
    assert data is not None
    found, rate = decoded(data)
    assert np.array_equal(found, expected)
    assert rate == 8_000
    assert audio.probe(data) == audio.AudioFacts(8_000, len(expected), expected.shape[1])


def test_the_hash_is_one_of_samples_and_rate_and_not_of_their_place(tmp_path: Path) -> None:
    def hashes(arrays: list[Any], **options: Any) -> list[str]:
        rate = options.pop("rate", 8_000)
        found = media(tmp_path, column(arrays, rate=rate), **options).values()
        return [fingerprint.of_bytes(data or b"") for data in found]

    first, second, again = hashes([SINE, SINE[::-1], SINE])
    assert first == again != second
    assert hashes([SINE[::-1], SINE], row_group_size=1, compression="none") == [second, first]
    assert hashes([SINE], rate=16_000)[0] != first
    assert hashes([SINE * 2])[0] != first


def test_only_wanted_rows_are_given_also_across_row_groups(tmp_path: Path) -> None:
    clips = [np.full(10, number / 100, np.float32) for number in range(20)]
    found = media(tmp_path, column(clips), [1, 7, 8, 19], row_group_size=8)
    assert {row: decoded(data)[0][0, 0] for row, data in found.items()} == pytest.approx(
        {row: row / 100 for row in (1, 7, 8, 19)}
    )


@pytest.mark.parametrize(
    ("array", "rate", "reason"),
    [
        ([], 8_000, "empty"),
        ([0.5], 8_000, "too_short"),
        ([0.5] * 20, None, "undecodable"),
        ([0.5] * 20, 0, "undecodable"),
        ([0.5] * 20, 100, "unsupported"),
        ([0.5] * 20, 2**40, "undecodable"),
    ],
)
def test_an_array_that_is_no_sound_is_refused_when_it_is_looked_at(
    array: list[float], rate: int | None, reason: str, tmp_path: Path
) -> None:
    data = media(tmp_path, column([array], rate=rate))[0]
    assert data is not None
    with pytest.raises(MediaError) as caught:
        audio.probe(data)
    assert caught.value.reason == reason


def test_a_sample_that_is_not_there_is_no_number(tmp_path: Path) -> None:
    for kind in (LIST, pa.list_(pa.int16())):
        data = media(tmp_path, column([[0, None, 1]], kind))[0]
        assert data is not None
        with pytest.raises(MediaError, match="NaN"):
            audio.waveform(data, sample_rate=8_000, channels=1, first_sample=0, num_samples=3)


def test_channels_of_different_length_are_refused(tmp_path: Path) -> None:
    data = media(tmp_path, column([[[0.0, 0.1], [0.0]]], pa.list_(LIST)))[0]
    with pytest.raises(MediaError, match="known format"):
        audio.probe(data or b"")


def test_a_row_without_an_array_has_no_media(tmp_path: Path) -> None:
    values = column([SINE, None])
    assert media(tmp_path, values)[1] is None


@pytest.mark.parametrize("kind", [pa.list_(pa.int64()), pa.list_(pa.string()), pa.float32(), pa.list_(pa.list_(LIST))])
def test_a_column_that_holds_no_samples_is_named(kind: pa.DataType, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r'column "audio.array" .* which is no audio: store samples as floats'):
        media(tmp_path, column([None], kind))


def test_columns_are_read_without_the_arrays() -> None:
    values = column([np.random.default_rng(row).random(50_000).astype(np.float32) for row in range(4)])
    data = parquet({"audio": values, "tags": list("abcd")})
    read = read_columns(io.BytesIO(data), WantedColumns("audio", ("tags",)), "rows.parquet")
    assert read.media_paths is None
    assert read.bytes_read < 100_000 < len(data)
    num_bytes = media_bytes(io.BytesIO(data), "audio", np.array([0]), "rows.parquet")
    assert 0.9 * len(data) < num_bytes < len(data) + 100_000  # the arrays, and what is read for the footer
