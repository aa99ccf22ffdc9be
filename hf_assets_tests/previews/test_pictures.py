"""Pictures of samples: small, on sheets that are whole or not there, and alike where what they show is."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image
from skimage import data

from hf_assets.previews import pictures
from hf_assets.previews.pictures import Pictures

KEY = "0123456789abcdef" * 2


def photo(edge: int) -> np.ndarray:
    return np.asarray(Image.fromarray(data.astronaut()).resize((edge, edge * 3 // 4)))


def test_pictures_lie_where_the_sheet_says(tmp_path: Path) -> None:
    made = Pictures(tmp_path)
    colours = [(255, 0, 0), (0, 255, 0), (0, 0, 255)]
    for number, colour in enumerate(colours):
        made.add(f"{KEY}{number}", np.full((90 + number, 2000, 3), colour, np.uint8))
    made.flush()
    table = pictures.known(tmp_path)
    assert table["key"].to_pylist() == [f"{KEY}{number}" for number in range(3)]
    for tile, colour in zip(table.to_pylist(), colours, strict=True):
        picture = pictures.crop(tmp_path, tile)
        assert picture is not None
        assert picture.width == pictures.SIDE_PX
        assert np.abs(np.asarray(picture).reshape(-1, 3).mean(axis=0) - colour).max() < 12


@pytest.mark.parametrize("edge", [200, 1024, 3000])
def test_the_same_photograph_in_another_size_is_alike(tmp_path: Path, edge: int) -> None:
    made = Pictures(tmp_path)
    made.add("a" * 32, photo(512))
    made.add("b" * 32, photo(edge))
    made.add("c" * 32, np.asarray(Image.fromarray(data.chelsea())))
    made.flush()
    one, other, cat = pictures.known(tmp_path)["likeness"].to_pylist()
    assert (one ^ other).bit_count() <= 5
    assert (one ^ cat).bit_count() > 12


def test_a_sheet_is_written_when_there_are_enough_and_read_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Pictures(tmp_path)
    for number in range(pictures.SHEET_PICTURES + 1):
        made.add(f"{number:032x}", photo(64))
    (sheet,) = (tmp_path / "reports/gallery").glob("*.jpg")
    assert len(pictures.known(tmp_path)) == pictures.SHEET_PICTURES
    monkeypatch.setattr(pictures, "_tiles", None)
    assert len(pictures.known(tmp_path)) == pictures.SHEET_PICTURES  # no sheet was opened
    sheet.unlink()
    assert len(pictures.known(tmp_path)) == 0


def test_what_cannot_be_drawn_or_written_is_left_out_and_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    made = Pictures(tmp_path)
    made.add(KEY, np.zeros((0, 5, 3), np.uint8))
    made.flush()
    (tmp_path / "reports").write_text("a file where the folder should be")
    made.add(KEY, photo(64))
    made.flush()
    assert not (tmp_path / "reports").is_dir()
    assert [one.getMessage().split(":")[0] for one in caplog.records] == ["a picture for the gallery is not made"], (
        "once"
    )


def test_it_goes_to_a_worker_empty(tmp_path: Path) -> None:
    made = Pictures(tmp_path)
    made.add(KEY, photo(64))
    there = pickle.loads(pickle.dumps(made))
    there.flush()
    assert len(pictures.known(tmp_path)) == 0
    there.add(KEY, photo(64))
    there.flush()
    assert len(pictures.known(tmp_path)) == 1


def test_sound_is_heard_as_it_is_for_ten_seconds(tmp_path: Path) -> None:
    rate_hz = 48_000
    tone = np.sin(2 * np.pi * 440 * np.arange(12 * rate_hz) / rate_hz).astype(np.float32)
    made = Pictures(tmp_path)
    made.add(KEY, photo(64), (tone, rate_hz))
    made.flush()
    assert pictures.known(tmp_path)["is_heard"].to_pylist() == [True]
    heard, heard_hz = soundfile.read(tmp_path / "reports/gallery" / pictures.sound_name(KEY))
    assert len(heard) / heard_hz == pytest.approx(10, abs=0.2)
    loudest = np.abs(np.fft.rfft(heard)).argmax() * heard_hz / len(heard)
    assert loudest == pytest.approx(440, abs=2)
