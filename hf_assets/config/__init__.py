"""What the user writes, validated: one JSON file in, one frozen `Recipe` per dataset out.

`loading.load(file)` gives a `Config`. The way of a key: it is declared once (type, limits, description), by the stage
that reads it (`stages.frames.FrameRules` is the block `video`), else in `config_file` and `blocks`. `defaults` fills in
what an entry leaves out; `rules` puts what the user wrote where stages look for it, `settings` has one model per kind
of media, `recipe.Recipe` holds all, and `recipe.code_version` hashes just what one asset reads. All mistakes of a file
are collected before anything stops: `mistakes` words them, `positions` finds their line and column.

`loading` goes this way for a file: `collecting` validates its model and entries, `assembling` makes recipes of them.
`documents` reads files and knows where in which of them a value stands; `entries` is the way of an entry before it is
validated: trainers' keys set aside, defaults and placeholders filled in. `simpletuner` reads a `config.json`, and
`trainer_keys` says what becomes of its keys. `model_families` is the table of SimpleTuner's families; `model_choice`
and `family_defaults` are what follows from one. `training_part` holds the keys that only a trainer uses; `keys_page`
and `json_schema` make the page of all keys and the schema for editors from the same declarations.

Open `config_file` first, then `recipe`. Nothing here asks the Hub.
"""
