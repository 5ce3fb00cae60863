# Two commands for a fresh machine with Python 3.11 or newer: `make demo` and `make test`.
# Each sets up .venv by itself; a second run is quick.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
DATA ?= ../shared/data
# two busy OpenMP threads on two cores are ten times slower than one
export OMP_NUM_THREADS ?= 1
export TOKENIZERS_PARALLELISM ?= false

.PHONY: demo test test-all check format notebooks figures report models left-out bench bench-quick \
	clean

demo: .venv/.ready
	$(BIN)/serac demo

test: .venv/.ready
	$(BIN)/python -m pytest -m "not slow"
	cd integrations/langchain_agent && ../../$(BIN)/python -m pytest

test-all: .venv/.ready
	$(BIN)/python -m pytest
	cd integrations/langchain_agent && ../../$(BIN)/python -m pytest

check: .venv/.ready
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: .venv/.ready
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

notebooks: .venv/.ready
	$(BIN)/python -m pytest --nbmake --nbmake-timeout 900 --timeout 900 notebooks

# the README's figures; zsRE does not come with the project
figures: .venv/.ready
	$(BIN)/serac eval --format zsre $(DATA)/zsre/zsre_mend_eval_portability_gpt4.json --edits 10
	$(BIN)/serac eval --format zsre $(DATA)/zsre/zsre_mend_eval_portability_gpt4.json --edits all
	$(BIN)/serac eval data/everyday/test.jsonl

# every figure there is: docs/results.json, docs/results.md and its plots, in about forty minutes;
# what an interruption left is taken up again, what other weights gave is measured anew
report: .venv/.ready
	$(BIN)/python -m serac_retriever.evaluation.report --data $(DATA)

# what ships under serac_retriever/models/: the encoder and the cosine's curve in a minute, the two
# heads in about an hour on two cores; what an interruption left is taken up again
models: .venv/.ready
	$(BIN)/python -m serac_retriever.training.export_encoder
	$(BIN)/python -m serac_retriever.training.calibrate_embedding $(DATA)/zsre/zsre_mend_train-1k.json
	$(BIN)/python -m serac_retriever.training.packaged scope --data $(DATA)
	$(BIN)/python -m serac_retriever.training.packaged reader --data $(DATA)

# scope heads that never saw one source each, trained from nothing on so many pairs (ten to
# twenty minutes each on one core), and their figures in the report; zsRE's has a goal of its own
left-out:
	for one in zsRE=40000 CounterFact=24000 PokeMQA=24000 Everyday=24000; do \
		name=$${one%=*} && source=$$(echo $$name | tr A-Z a-z) && folder=build/without-$$source && \
		{ grep -qs '"calibration": {' $$folder/scope.json || $(BIN)/python -m serac_retriever.training.packaged scope \
			--data $(DATA) --without $$source --most $${one#*=} --out $$folder; } && \
		$(BIN)/python -m serac_retriever.evaluation.report --data $(DATA) \
			--only "curves, without $$name" --scope "without $$name=$$folder" || exit; \
	done

# every figure of speed beside what it is compared with; then the plots. The large memory takes half
# an hour to load and is kept in BENCH_CACHE for the next run; remove that folder to time it anew.
BENCH_CACHE ?= build/bench
EDITS ?= 100000
bench: .venv/.bench
	$(BIN)/python -m benchmarks --edits $(EDITS) --cache $(BENCH_CACHE)
	$(BIN)/python -m benchmarks.plots --edits $(EDITS) --cache $(BENCH_CACHE)
	$(BIN)/python -m benchmarks.scaling

# a minute or two; fails where a ratio is far from what it should reach
bench-quick: .venv/.ready
	$(BIN)/python -m benchmarks --quick

.venv/.bench: .venv/.ready
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[bench]'
	touch $@

.venv/.ready: pyproject.toml constraints.txt integrations/langchain_agent/pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]' -e integrations/langchain_agent
	touch $@

clean:
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
