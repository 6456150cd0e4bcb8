# Everything runs in .venv, which the targets make and fill themselves; Python 3.11 is enough.
# A second run installs nothing unless pyproject.toml or constraints.txt changed.

SHELL := /bin/sh
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
PACKAGING := pyproject.toml constraints.txt
STUDY := medseg/samples/hippocampus_crop_study1
DEMO := demo-output
# Two test processes of one thread each suit two cores.
JOBS ?= 2
ONE_THREAD := OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1 NUMBA_NUM_THREADS=1

.PHONY: help demo test lint types layers docs pytest wheel clean
.NOTPARALLEL:

help:
	@echo "make demo    segment the study that comes with medseg into $(DEMO)/"
	@echo "make test    every check and every test"
	@echo "make lint | types | layers | docs | pytest   one of them alone"
	@echo "make wheel   build dist/*.whl"
	@echo "make clean   remove what the targets made"

demo: $(VENV)/base.stamp
	$(BIN)/medseg segment $(STUDY) -o $(DEMO) --model hippocampus-mr
	@echo "picture: $(DEMO)/preview.png"
	@echo "table:   $(DEMO)/instances.csv"

# pytest comes last: its closing line is the last line of the run.
test: lint types layers docs pytest

lint: $(VENV)/test.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/test.stamp
	$(BIN)/mypy

layers: $(VENV)/test.stamp
	$(BIN)/lint-imports --no-logo

docs: $(VENV)/test.stamp
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

# Without the system's libraries for Qt, pytest-qt would stop every test; those of the plugin skip.
pytest: $(VENV)/test.stamp
	@qt=; $(BIN)/python -c 'import PyQt6.QtWidgets' 2>/dev/null || { qt='-p no:pytest-qt'; \
	  echo 'PyQt6 does not load here: the tests of the plugin that open windows are left out' >&2; }; \
	$(ONE_THREAD) $(BIN)/python -m pytest -q -n $(JOBS) $$qt $(PYTEST_ARGS)

wheel: $(VENV)/test.stamp
	$(BIN)/python -m build --wheel --no-isolation

$(VENV)/made.stamp:
	@for python in python3.11 python3 python; do \
	  if $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	    echo "$$python -m venv $(VENV)"; \
	    $$python -m venv --clear $(VENV) && touch $@ && exit 0; \
	    echo "cannot make $(VENV); on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; \
	  fi; \
	done; echo "medseg needs Python 3.11 or newer" >&2; exit 1

$(VENV)/base.stamp: $(PACKAGING) $(VENV)/made.stamp
	$(PIP) install --quiet -c constraints.txt -e .
	@touch $@

$(VENV)/test.stamp: $(PACKAGING) $(VENV)/made.stamp
	$(PIP) install --quiet -c constraints.txt -e '.[test,dev,train,batch]'
	@touch $(VENV)/base.stamp $@

clean:
	rm -rf $(VENV) $(DEMO) site build dist *.egg-info
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find medseg napari_plugin workflows tests benchmarks docs -name __pycache__ -prune -exec rm -rf {} +
