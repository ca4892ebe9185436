# Every command sets up what it needs by itself; a second run takes seconds.
#   make book      build the book              make test     run every test
#   make export    chapters -> bertlib         make run      execute the chapters in place
#   make lab       the course in JupyterLab    make student  copies without solutions
#   make bench     every speed claim           make nbgrader the course as assignments
#   make lint      format, lint, types         make colab    every chapter as in Colab

.DEFAULT_GOAL := book
SHELL := bash
PYTHON ?= python3
ifeq ($(OS),Windows_NT)
  BIN := .venv/Scripts
  PYTHON := python
else
  BIN := .venv/bin
endif
PY := $(BIN)/python
export PYDEVD_DISABLE_FILE_VALIDATION := 1
READY := .venv/ready
BROWSER := .venv/browser

.PHONY: book test colab export run lab student nbgrader bench lint clean

book: $(READY)
	$(PY) tools/build_book.py

# Two files of tests at a time, each with one thread: threads of two programs that
# share two cores wait for each other.
test: $(READY) $(BROWSER)
	$(PY) -m bertlib.corpus
	$(PY) tools/build_book.py
	OMP_NUM_THREADS=1 $(PY) -m pytest -n 2 --dist loadfile $(PYTEST)

# The suite does this with three chapters.
colab: $(READY)
	$(PY) -m bertlib.corpus
	COLAB=all $(PY) -m pytest tests/colab $(PYTEST)

export: $(READY)
	$(PY) tools/export.py

run: export
	@$(PY) -m bertlib.corpus
	$(PY) tools/run_chapters.py $(NB)

lab: export
	$(BIN)/jupyter lab --notebook-dir=.

student: $(READY)
	$(PY) tools/student.py

nbgrader: $(READY)
	$(PY) tools/nbgrader_form.py

bench: $(READY)
	for script in benchmarks/*.py; do $(PY) $$script || exit 1; done

lint: $(READY)
	$(BIN)/ruff format . && $(BIN)/ruff check --fix . && $(BIN)/mypy

clean:
	rm -rf _build .venv

$(READY): requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(None if (3, 11) <= v <= (3, 13) else f"{sys.executable} is Python {v[0]}.{v[1]}; the course needs 3.11, 3.12 or 3.13: make PYTHON=python3.12")'
	$(PYTHON) -m venv .venv
	$(PY) -m pip install --quiet --disable-pip-version-check pip==25.3
	$(PY) -m pip install --quiet --disable-pip-version-check -r requirements.txt
	$(PY) -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

# Debian's Chromium where apt can install it, Playwright's own download elsewhere.
$(BROWSER): $(READY)
	$(PY) tools/install_browser.py
	@touch $@
