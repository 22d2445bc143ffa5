# make demo     set-up, a throw-away Slurm, an image, and the three-stage pipeline on it
# make test     set-up and the whole test suite
# make check    format, lint, types, import directions
# make bench    side by side with raw sbatch and the Slurm plugin
# make clean    end the lab, remove what the targets above made
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
PACKAGE := snakemake_executor_plugin_hpcctr

.PHONY: setup packages demo test check bench clean

setup: .venv/.installed

.venv/.installed: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --upgrade 'pip>=25.1'
	$(BIN)/pip install --quiet --editable . --group dev
	touch $@

# Slurm and Apptainer from the distribution. Without root they stay as they are: the demo then
# uses what is there, and tests that need them say so.
packages: setup
	-$(BIN)/hpcctr lab packages --install
	-$(BIN)/hpcctr lab apptainer

demo: packages
	PATH="$(CURDIR)/$(BIN):$$PATH" bash workflows/train-evaluate/demo.sh

test: packages check
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/pytest

check: setup
	$(BIN)/ruff format --check --quiet .
	$(BIN)/ruff check --quiet .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: packages
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python benchmarks/run.py

clean:
	-[ ! -d .lab ] || $(BIN)/hpcctr lab down
	rm -rf .venv .lab demo-results dist build
