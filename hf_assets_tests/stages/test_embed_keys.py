import itertools

import pyarrow as pa
import pytest

from hf_assets.stages import keys


def column(*values, kind=None):
    return pa.chunked_array([pa.array(list(values), kind or pa.large_string())])


def key(caption, lyrics=None, seconds=None, encoder="e"):
    more = {}
    if lyrics is not None:
        more["lyrics"] = column(*lyrics)
    if seconds is not None:
        more["durations_s"] = column(*seconds, kind=pa.float64())
    return keys.embed_keys(column(caption), encoder, **more)[0].as_py()


@pytest.mark.parametrize("nothing", [{"lyrics": [None]}, {"seconds": [None]}, {"lyrics": [None], "seconds": [None]}])
def test_no_lyrics_are_as_if_they_had_not_been_asked_for(nothing):
    assert key("a song", **nothing) == key("a song")


def test_what_reads_differently_has_another_key():
    line = "embed 1|encoder 1:e|caption 1:a"
    found = [
        key("a"),
        key("b"),
        key("a", encoder="f"),
        key("a", lyrics=["la"]),
        key("a", lyrics=[""]),  # empty lyrics are lyrics
        key("a", lyrics=["lala"]),
        key("a|la"),
        key("a|", lyrics=["la"]),
        key("a", lyrics=["|la"]),
        key("a|lyrics 2:la"),
        key(line),
        key("", encoder="e|caption 1:a"),
        key("a", seconds=[1.0]),
        key("a", seconds=[1.5]),
        key("a", lyrics=["1.0"]),
        key("a", lyrics=["la"], seconds=[1.0]),
    ]
    for (i, one), (j, other) in itertools.combinations(enumerate(found), 2):
        assert one != other, (i, j)
