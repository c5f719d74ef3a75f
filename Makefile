VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin
PYTEST := $(BIN)/python -m pytest

.PHONY: demo test lint docs benchmark gpu check release

# Empty files mark what is installed; pip runs again only where the project's files are newer.
$(VENV)/.demo: EXTRAS := demo
$(VENV)/.all: EXTRAS := benchmark,docs,test
$(VENV)/.demo $(VENV)/.all: pyproject.toml constraints.txt
	@echo 'Installing $(EXTRAS) into $(VENV) ...'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[$(EXTRAS)]'
	@touch $(VENV)/.demo $@

demo: $(VENV)/.demo  ## fit real digits, print a table, save a figure
	@echo '$(VENV) is up to date.'
	$(BIN)/python examples/digits.py

test: $(VENV)/.all  ## the tests and doctests, a process of one thread for each core
	@echo '$(VENV) is up to date.'
	OMP_NUM_THREADS=1 $(PYTEST) --numprocesses auto --maxprocesses 8 --dist loadfile

lint: $(VENV)/.all  ## style, types, floors
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(VENV)/.all  ## the site, in out/docs
	$(BIN)/sphinx-build -q -W --keep-going -j auto docs out/docs
	$(BIN)/python docs/check_site.py out/docs

benchmark: $(VENV)/.all  ## step times beside their opponents, in out/benchmark.json and .md
	mkdir -p out
	PYTHONPATH=. $(PYTEST) benchmarks/step_time.py -m "not gpu" --benchmark-json=out/benchmark.json

gpu: $(VENV)/.all  ## what needs a GPU: tests, and step times in out/benchmark_gpu.json and .md
	mkdir -p out
	PYTHONPATH=. $(PYTEST) tests benchmarks/step_time.py -m gpu -rs \
		--benchmark-json=out/benchmark_gpu.json -W "ignore:Not saving anything"

check: test lint

release: $(VENV)/.all  ## make release VERSION=0.2.0: check, stamp, build and try it, in out/release
	$(BIN)/python .ci/release.py $(VERSION)
