# make demo     set-up, a throw-away Slurm, an image, and the three-stage pipeline on it
# make test     set-up and the whole test suite
# make oldest   tests of the bridge with the oldest Snakemake that is supported
# make check    format, lint, types, import directions
# make bench    side by side with raw sbatch and the Slurm plugin
# make clean    end the lab, remove what the targets above made
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
# A lab for each of two processes; tests of one file share theirs.
TWO := --numprocesses 2 --dist loadfile
PACKAGE := snakemake_executor_plugin_hpcctr

.PHONY: setup packages mpi languages registry demo test oldest check bench clean

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

# A compiler for MPI programs; without it, or without root, the tests that need one say so.
mpi:
	-[ "$$(id -u)" != 0 ] || [ -x /usr/bin/mpicc.mpich ] || DEBIAN_FRONTEND=noninteractive \
	  apt-get install --yes --quiet --quiet --no-install-recommends mpich libmpich-dev

# Interpreters and tools of rules in other languages, modules, and what the storage plugin for
# folders calls; their tests skip without them.
languages: packages
	-[ "$$(id -u)" != 0 ] || { [ -x /usr/bin/Rscript ] && [ -x /usr/bin/rsync ] && [ -e /usr/share/modules/init/bash ]; } \
	  || DEBIAN_FRONTEND=noninteractive apt-get install --yes --quiet --quiet \
	  --no-install-recommends environment-modules r-base-core rsync
	$(BIN)/pip install --quiet --group languages

# A registry and what pushes to it (10 MB); the tests of images skip without them.
registry: packages
	-[ "$$(id -u)" != 0 ] || { [ -x /usr/bin/docker-registry ] && [ -x /usr/bin/skopeo ] && [ -x /usr/bin/htpasswd ]; } \
	  || DEBIAN_FRONTEND=noninteractive apt-get install --yes --quiet --quiet \
	  --no-install-recommends docker-registry skopeo apache2-utils

demo: packages
	PATH="$(CURDIR)/$(BIN):$$PATH" bash workflows/train-evaluate/demo.sh

test: packages mpi languages registry check oldest
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/pytest $(TWO)

# Everything above runs with the newest Snakemake; this with the oldest that pyproject.toml allows.
oldest: packages .venv-oldest/.installed
	PATH="$(CURDIR)/.venv-oldest/bin:$$PATH" .venv-oldest/bin/pytest --quiet $(TWO) \
	  tests/integration/test_rule_kinds.py tests/integration/test_snakemake_base.py \
	  tests/integration/test_runner.py tests/integration/test_storage.py

.venv-oldest/.installed: pyproject.toml
	$(PYTHON) -m venv .venv-oldest
	.venv-oldest/bin/pip install --quiet --upgrade 'pip>=25.1'
	.venv-oldest/bin/pip install --quiet --editable . --group dev \
	  'snakemake==9.17.0' 'snakemake-interface-executor-plugins==9.3.2'
	touch $@

check: setup
	$(BIN)/ruff format --check --quiet .
	$(BIN)/ruff check --quiet .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: packages
	$(BIN)/pip install --quiet 'snakemake-executor-plugin-slurm==2.8.0'
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python benchmarks/run.py

clean:
	-[ ! -d .lab ] || $(BIN)/hpcctr lab down
	rm -rf .venv .venv-oldest .lab demo-results dist build
