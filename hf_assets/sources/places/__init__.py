"""Where the files of a dataset lie: a repository on the Hub, a folder in the Hub's layout, a folder of media.

Each module has one class with the interface of `sources.source.Source`. A new place is one more module, and a line in
`source_of`. Open `local_repository` first, the shortest one that does all of it.
"""
