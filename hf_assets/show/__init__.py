"""What people look at: the metadata of each asset on Dagster's page, and one report per dataset.

`views` makes a `View` (numbers to plot, Markdown to read) of each asset's table; `full_report` puts all of it into one
HTML file beside the tables. Both read tables and what `previews` kept, never the dataset's media; the drawing itself is
`draw`, which is pure.

Open `views` first.
"""
