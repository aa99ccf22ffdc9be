# From a bare checkout with Python 3.11 or later, pip and make: every target first makes .venv.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
# Where `make page` serves.
PORT ?= 3000
# Which assets `make materialize` makes.
SELECT ?= *
APT_OPTIONS := -o Acquire::Retries=1 -o Acquire::http::Timeout=30

.PHONY: demo page train toy materialize test quantized browser docs resolve resolved soak check fix bench clean

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@

demo: $(STAMP)  ## the whole graph on real photographs, three times, on the CPU
	$(BIN)/python -m examples.demo

page: $(STAMP)  ## the demo's graph in the Dagster page
	$(BIN)/python -m examples.demo page --port $(PORT)

train: $(STAMP)  ## a tiny UNet from two datasets, mixed
	$(BIN)/python -m examples.train

toy: $(STAMP)  ## from eight photographs to a toy that draws them
	$(BIN)/python -m examples.toy

materialize: $(STAMP)  ## the datasets of datasets.json (or $HF_ASSETS_CONFIG), as in docs/ci.md: make materialize SELECT='group:photos'
	$(BIN)/hf-assets check
	$(BIN)/dagster asset materialize -m hf_assets.definitions --select '$(SELECT)'

test: $(STAMP) browser resolved  ## all tests
	$(BIN)/python -m pytest --numprocesses 2 --dist worksteal
	@$(MAKE) --no-print-directory quantized

# Beside the environment and not in it: diffusers imports bitsandbytes wherever it finds it, which takes seconds.
quantized: $(STAMP)  ## the tests of text encoders in 8 and 4 bits
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --upgrade --constraint constraints.txt \
	  --target .venv/quantize bitsandbytes \
	  && PYTHONPATH=.venv/quantize:$$PYTHONPATH $(BIN)/python -m pytest hf_assets_tests/encode/test_quantized.py \
	  || { test -d .venv/quantize/bitsandbytes && exit 1; \
	    echo "bitsandbytes can't be installed here: the tests of 8 and 4 bits are skipped"; }

browser:  ## Chromium, for the test of the page: installed where that is possible, else that test is skipped
	@command -v chromium >/dev/null && command -v chromedriver >/dev/null \
	  || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null \
	    && timeout 300 apt-get -qq $(APT_OPTIONS) update \
	    && DEBIAN_FRONTEND=noninteractive timeout 600 apt-get -qq $(APT_OPTIONS) install --yes --no-install-recommends chromium chromium-driver >/dev/null; } \
	  || echo "no Chromium, and it can't be installed by this user: the test of the page is skipped"

docs: $(STAMP)  ## the site of the docs, in build/site; a broken link is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

# Each Python that torch has wheels for; nothing is installed.
PYTHONS := 3.11 3.12 3.13 3.14
# What pip's answer depends on.
ASKED := { echo $(PYTHONS); cat constraints.txt; sed -n '/^requires-python/p; /^dependencies/,/^\[project.scripts/p' pyproject.toml; }
resolve: $(STAMP)  ## whether the pins hold on each Python, by pip's dry run; notes in .ci/resolved that they do
	@$(ASKED) | cksum >.venv/resolved
	@for version in $(PYTHONS); do \
	  echo "Python $$version"; \
	  $(BIN)/pip install --disable-pip-version-check --dry-run --ignore-installed --only-binary=:all: \
	    --python-version $$version --target .venv/resolve --constraint constraints.txt '.[dev,quantize]' >.venv/resolve.log 2>&1 \
	    || { tail -20 .venv/resolve.log; exit 1; }; \
	done
	@mv .venv/resolved .ci/resolved

# A dry run reads 200 packages for each Python, which takes minutes: once per change of the pins is enough.
resolved: $(STAMP)  ## the same, unless it was done for these pins
	@$(ASKED) | cksum | cmp -s - .ci/resolved || $(MAKE) --no-print-directory resolve

soak: $(STAMP)  ## a hundred killed runs, 1,000 mutations of each format, and every edit for every kind of media, and in a bucket
	HF_ASSETS_KILLS=100 $(BIN)/python -m pytest --numprocesses 2 hf_assets_tests/contract/test_kill.py
	HF_ASSETS_MUTATIONS=1000 $(BIN)/python -m pytest --numprocesses 2 hf_assets_tests/media/test_mutations.py
	HF_ASSETS_RAY_KILLS=30 $(BIN)/python -m pytest hf_assets_tests/engines/test_ray.py
	HF_ASSETS_ALL_EDITS=1 $(BIN)/python -m pytest hf_assets_tests/contract/test_engines.py
	HF_ASSETS_ALL_EDITS=1 $(BIN)/python -m pytest --numprocesses 2 hf_assets_tests/contract/test_edits.py
	HF_ASSETS_PIECES=2 $(BIN)/python -m pytest --numprocesses 2 hf_assets_tests/contract
	HF_ASSETS_STORE=s3 $(BIN)/python -m pytest --numprocesses 2 hf_assets_tests/contract/test_edits.py

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
	rm -rf .venv demo_data train_data toy_data build .dagster_state
