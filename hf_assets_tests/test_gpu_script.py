"""The script for who has a GPU still runs, in tiny sizes: nobody sees otherwise that it doesn't."""

import pytest

from benchmarks import gpu


def test_the_script_measures_images_and_captions(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setattr(gpu, "WAYS", {name: gpu.WAYS[name] for name in ("bare", "weights float8", "CUDA graphs")})
    gpu._images(gpu.SMOKE, 64, 1e12)
    gpu._captions(gpu.SMOKE, 1e12)
    out = capsys.readouterr().out
    for line in ("bare", "weights float8", "(at most", "PSNR of latents", "run", "busy", "captions/s"):
        assert line in out, line
    assert "CUDA graphs" in out
