"""What is kept for people while media are read anyway, so that looking at it later reads no media.

`thumbnails` of a few rows, `decoded` pairs of an original and its decoded latent, `token_counts` of captions. They lie
in the dataset's metadata folder, are named by content, and are decoration: where one can't be made, the run goes on.

This room lies below `encode`, which calls it; `show` reads what it kept. Open `thumbnails` first.
"""
