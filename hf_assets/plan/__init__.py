"""What a run would do and why, without doing it: the commands `plan` and `check`.

`planning.plan(recipe)` counts how many latents and embeds are stored, how many would be computed for which reason
(`reasons`), and what they would cost (`estimates`). It uses the keys that the run uses, so it can't disagree with it;
where nothing changed since the last run, `unchanged` says so at once.
`checking.check(recipe)` reads columns and a few rows' media, and reports what the filters, captions and shapes of a
config make of them.

Nothing is encoded, and no store is changed. Open `planning` first.
"""
