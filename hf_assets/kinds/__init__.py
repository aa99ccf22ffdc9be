"""What differs between image, video and audio datasets: one module each, one interface.

`medium.medium_of(recipe)` gives the `Medium` of a recipe: how its media are probed, which part and shape of each is
encoded, how it is decoded for the VAE, what is drawn of it. Planning and encoding know media only by this interface.

`image`, `video` and `audio` implement it with what `media` decodes and `stages` computes. A new kind of media is one
more module here, one in `media`, and its columns in `schema`. Open `medium` first.
"""
