"""What a machine measured with a model serves as an estimate for other datasets of that model."""

from pathlib import Path

import pytest

from hf_assets.encode import rates
from hf_assets.encode.encoders import Encoder, Header


def encoder(component: str = "weights", dtype: str = "float32") -> Encoder:
    header = Header("vae_latents", "user/model", "", component, dtype, dtype, "1", "")
    return Encoder(None, "", header)  # type: ignore[arg-type]


def test_a_rate_holds_for_the_same_model_and_goes_with_the_volume(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ASSETS_CACHE", str(tmp_path))
    assert rates.known(encoder(), 100.0) is None
    rates.note(encoder(), None, 100.0)  # a run that encoded nothing
    assert rates.known(encoder(), 100.0) is None
    rates.note(encoder(), 8.0, 100.0)
    assert rates.known(encoder(), 100.0) == 8.0
    assert rates.known(encoder(), 400.0) == 2.0  # four times as many pixels
    assert rates.known(encoder("other"), 100.0) is None
    assert rates.known(encoder(dtype="bfloat16"), 100.0) is None
    next((tmp_path / "rates").iterdir()).write_text("{")
    assert rates.known(encoder(), 100.0) is None
