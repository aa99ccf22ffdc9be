"""What the files of a dataset are: Parquet, which is read as it is, and all else, which becomes Parquet once.

`parquet` reads columns and media out of Parquet files, by byte ranges where that is cheaper. `conversion` turns JSON,
CSV, Arrow, WebDataset, archives and folders of media into Parquet with the builders of `datasets`; `lance_fragments`
does so for Lance; `arrays` is for audio that is stored as arrays of samples.

Open `parquet` first. A new format that `datasets` reads needs no code here.
"""
