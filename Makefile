# make demo | test | lint | docs | nightly. Everything lives in .venv; stamps in it make a second run quick.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install -qq --disable-pip-version-check
SOURCES := pyproject.toml constraints.txt

.PHONY: demo test lint docs nightly clean
.DELETE_ON_ERROR:

demo: $(VENV)/.all
	$(BIN)/fctl demo

test: $(VENV)/.test
	scripts/debian_packages.sh --tests
	$(BIN)/python -m pytest -n logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder

nightly: $(VENV)/.test
	scripts/debian_packages.sh --tests
	$(BIN)/python -m pytest -m nightly

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/numpydoc lint $$(find fctl_napari -name '*.py' -not -path '*/cli/*')
	$(BIN)/python scripts/check_words.py

# A dead link or anchor is an error. The variable hides an advertisement of mkdocs-material.
docs: $(VENV)/.dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	@echo "The documentation is build/site/index.html."

clean:
	rm -rf $(VENV) build dist demo

# The pins; with CUDA without torch's, so that pip's ordinary torch for the driver at hand is taken.
$(VENV)/constraints.txt: $(SOURCES)
	PYTHON="$(PYTHON)" scripts/debian_packages.sh
	@echo "Making the environment in $(VENV); the first time this takes some minutes."
	test -x $(BIN)/python || "$(PYTHON)" -m venv $(VENV)
	if nvidia-smi >/dev/null 2>&1; then grep -v '^torch==' constraints.txt; else cat constraints.txt; fi >$@

$(VENV)/.all: $(VENV)/constraints.txt
	$(PIP) -c $< -e ".[all]"
	touch $@

$(VENV)/.test: $(VENV)/constraints.txt
	$(PIP) -c $< -e ".[all,test]"
	touch $@

$(VENV)/.dev: $(VENV)/constraints.txt
	$(PIP) -c $< -e ".[dev]"
	touch $@
