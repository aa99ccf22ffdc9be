"""Bytes to facts, and bytes to pixels or samples. No dataset, no model, no disk, no network.

One module per kind: `image` (Pillow), `video` (PyAV), `audio` (soundfile, PyAV). Each has `probe(data)`, which reads
the header only, and a function that decodes to exactly what an encoder reads, in the same way on every machine.
What decoding did beyond the plain case is a fact of the sample (`steps`), so that a decoder that learns something
encodes anew only what it now reads differently.

What an image's pixels mean is found in `pixels`, from its profile (`profiles`), its chunks and boxes (`png_chunks`,
`boxes`), and brought to sRGB by `colour`; `jpeg_ends` and `tiff_samples` read what Pillow doesn't. Bytes that can't be
used raise `errors.MediaError` with a reason from a short list; `signatures` adds what they are instead. `sonogram`
draws audio.

Open `image` first.
"""
