VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test lint docs check benchmark

$(READY): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt torch
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[benchmark,docs,test]'
	touch $(READY)

demo: $(READY)  ## fit real digits, print a table, save a figure
	$(BIN)/python examples/digits.py

test: $(READY)  ## the tests and doctests
	$(BIN)/python -m pytest

lint: $(READY)  ## style, types, floors
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(READY)  ## the site, in out/docs
	$(BIN)/sphinx-build -q -W --keep-going -j auto docs out/docs

benchmark: $(READY)  ## step times beside their opponents, in out/benchmark.json and .md
	mkdir -p out
	PYTHONPATH=. $(BIN)/python -m pytest benchmarks/step_time.py --benchmark-json=out/benchmark.json

check: test lint
