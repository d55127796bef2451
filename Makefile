# colotrace: `make` prints what there is to run.
.DEFAULT_GOAL := help
.PHONY: dist forge fuzz help setup demo pictures test test-packages unit check bench accuracy load proto templates constraints deb clean

PYTHON ?= python3
BIN := .venv/bin
# Where Debian keeps nft, dnsmasq and their like; not on every user's PATH.
export PATH := $(PATH):/usr/sbin:/sbin
WORKERS ?= 6
# Tests start hundreds of processes: without compiled modules each would compile the sources again.
unexport PYTHONDONTWRITEBYTECODE

help:  ## print this
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: .venv/.ready  ## create .venv and install what is missing

.venv/.ready: pyproject.toml constraints.txt scripts/setup
	@PYTHON="$(PYTHON)" scripts/setup
	@touch .venv/.python $@

# The Python packages alone.
.venv/.python: pyproject.toml constraints.txt scripts/setup
	@PYTHON="$(PYTHON)" scripts/setup --python
	@touch $@

demo: setup  ## bring up the lab, trace from real agents, show the answer (MQTT=1: two coordinators; KEEP=1 leaves it running)
	@KEEP="$(KEEP)" MQTT="$(MQTT)" $(BIN)/python demo/demo.py

pictures: setup  ## make the pictures of README and docs anew, from the running page (1 minute)
	@$(BIN)/python demo/pictures.py

# Enrolled agents run as another user, who must reach their files below the directory.
test: setup  ## run every test (WORKERS=6)
	@temporary=$$(mktemp -d) && trap 'rm -rf "$$temporary"' EXIT && \
	  chmod 711 "$$temporary" && TMPDIR="$$temporary" \
	  $(BIN)/python tests/lab/enter.py --if-possible $(BIN)/pytest -q -n $(WORKERS) --dist loadgroup

unit: .venv/.python  ## run the unit tests, which need no root, service or network
	@$(BIN)/pytest -q -n 4 tests/unit

test-packages: setup  ## build the packages, and test them on booted Debian hosts (root only; half an hour)
	@MAKE="$(MAKE)" scripts/test-packages $(TESTS)

check: setup  ## lint, types, import layers, generated files
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@scripts/proto --check
	@$(BIN)/python scripts/templates.py --check

bench: setup .venv/.bench  ## measure against peers; results in bench/results (ROWS=name,…)
	@$(BIN)/python -m bench $(ROWS)

# A peer that cannot be had is said to be missing in the table.
.venv/.bench: .venv/.ready
	@if $(BIN)/pip install -q --disable-pip-version-check -c constraints.txt --group bench; \
	  then touch $@; else echo "bench: without the peers of the group bench" >&2; fi

accuracy: setup  ## hold reported RTTs against a responder's own record, beside other tools'
	@$(BIN)/python -m bench.accuracy

load: setup  ## load coordinators with up to 5,000 simulated agents, and say what they carry (10 minutes)
	@PYTHONPATH=tests $(BIN)/python -m load

forge: setup  ## send an engine ten million forged replies, and say what got through
	@PYTHONPATH=tests $(BIN)/python -m forgery

fuzz: setup  ## send an engine two million mutated replies, judged by scapy (COUNT=, SEED=)
	@PYTHONPATH=tests $(BIN)/python -m mutants $(if $(COUNT),--count $(COUNT)) $(if $(SEED),--seed $(SEED))

proto: setup  ## generate the protocol's stubs anew
	@scripts/proto

templates: setup  ## generate the probes' templates anew, by scapy
	@$(BIN)/python scripts/templates.py

deb: .venv/.python  ## build Debian packages in dist/deb (SUITES="bookworm trixie")
	@$(BIN)/python scripts/deb $(SUITES)

dist: .venv/.python  ## build what a release consists of into dist/: wheel, sdist, debs, SBOM, checksums
	@MAKE="$(MAKE)" scripts/dist

constraints:  ## pin what a fresh install would choose today, with hashes (KEEP=1: only what is not pinned yet)
	@PYTHON="$(PYTHON)" KEEP="$(KEEP)" scripts/constraints

clean:  ## remove what the other targets made
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache dist .roots .lab .demo bench/results
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
