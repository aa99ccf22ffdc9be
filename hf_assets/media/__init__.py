"""Bytes to facts, and bytes to pixels or samples. No dataset, no model, no disk, no network.

One module per kind: `image` (Pillow), `video` (PyAV), `audio` (soundfile, PyAV). Each has `probe(data)`, which reads
the header only, and a function that decodes to exactly what an encoder reads, in the same way on every machine.
`VERSION` of a module is part of the latents' keys: it changes when plain media decode to other values.

Bytes that can't be used raise `errors.MediaError` with a reason from a short list; `signatures` adds what they are
instead. `sonogram` draws audio. Open `image` first.
"""
