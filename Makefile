# From a bare checkout with Python 3.11, pip and make: every target first makes .venv.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed

.PHONY: demo page train test soak check fix bench clean

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@

demo: $(STAMP)  ## the whole graph on real photographs, three times, on the CPU
	$(BIN)/python -m examples.demo

page: $(STAMP)  ## the demo's graph in the Dagster page
	$(BIN)/python -m examples.demo page

train: $(STAMP)  ## a tiny UNet from two datasets, mixed
	$(BIN)/python -m examples.train

test: $(STAMP)  ## all tests
	$(BIN)/python -m pytest --numprocesses 2 --dist worksteal

soak: $(STAMP)  ## a hundred killed runs
	HF_ASSETS_KILLS=100 $(BIN)/python -m pytest --numprocesses 2 hf_assets_tests/contract/test_kill.py

check: $(STAMP)  ## lint, types, import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

fix: $(STAMP)  ## format, and mend what the linter can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(STAMP)  ## the benchmarks, with their ratios
	$(BIN)/python -m benchmarks.run

clean:
	rm -rf .venv demo_data train_data .dagster_state
