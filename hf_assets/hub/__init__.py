"""The only room that asks the Hugging Face Hub, for datasets and for models.

`api.call` makes a request: again after rate limits and broken connections, and with one line for whatever the Hub
refuses. `hashes` gives content hashes of files, as the Hub lists them, and remembers those of local files.
`model_repository.resolve` lists a model's repository, or a folder, at one commit; nothing is downloaded for it.
`pushing.push` puts a folder there as a dataset.

The token is read from the environment by `huggingface_hub` itself; no function here takes one. Open `api` first.
"""
