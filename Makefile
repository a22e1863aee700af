# Two commands are enough: `make train` and `make test`. Each sets up its own environment first, once.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

VENV ?= .venv
PY := $(VENV)/bin/python
STAMP := $(VENV)/.installed
VENV_PATH := $(if $(filter /%,$(VENV)),$(VENV),$(CURDIR)/$(VENV))
WITH_VENV = PATH="$(VENV_PATH)/bin:$$PATH" VIRTUAL_ENV="$(VENV_PATH)"
# What the commands run with on top of their defaults: make train ARGS="--set train.epochs=5"
ARGS ?=

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PYTHONUNBUFFERED := 1
export RAY_USAGE_STATS_ENABLED ?= 0
export MLFLOW_DISABLE_TELEMETRY ?= true

.PHONY: help install train test test-slow test-gpu lint format lock clean clean-all

help:  ## Show this list
	@echo 'raymm: multi-modal and cross-domain recommendation models, trained on Ray'
	echo
	sed -nE 's/^([a-z-]+):.*  ## (.*)$$/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20
	echo
	echo '  PYTHON=/path/to/python3.11 picks the interpreter of a new .venv; ARGS="..." goes to the job or to pytest.'

train: $(STAMP)  ## Prepare the bundled data, train SIEOUG on a local Ray, evaluate, report, register
	@$(WITH_VENV) exec $(PY) jobs/train_sieoug.py $(ARGS)

test: $(STAMP)  ## Run the tests (those that need minutes or a GPU excepted)
	@$(WITH_VENV) exec $(PY) -m pytest -m "not slow and not gpu" $(ARGS)

test-slow: $(STAMP)  ## Run the tests that take minutes
	@$(WITH_VENV) exec $(PY) -m pytest -m "slow and not gpu" $(ARGS)

test-gpu: $(STAMP)  ## Run the tests that need a CUDA device
	@$(WITH_VENV) exec $(PY) -m pytest -m gpu $(ARGS)

lint: $(STAMP)  ## Check style, formatting, types and the layers
	@export $(WITH_VENV)
	failed=
	$(PY) -m ruff check . || failed+=' ruff check,'
	$(PY) -m ruff format --check . || failed+=' ruff format,'
	$(PY) -m mypy || failed+=' mypy,'
	$(VENV)/bin/lint-imports --no-logo || failed+=' lint-imports,'
	[[ -z $$failed ]] || { echo "make lint: failed:$${failed%,}" >&2; exit 1; }

format: $(STAMP)  ## Mend style and formatting where a tool can
	@$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

install: $(STAMP)  ## Create .venv and install the locked packages (train and test do this themselves)
	@echo 'raymm is installed in $(VENV); use it by: source $(VENV)/bin/activate'

# The stamp holds the path of the clone: a clone that was moved is installed again.
ifneq ($(shell cat $(STAMP) 2>/dev/null),$(CURDIR))
.PHONY: $(STAMP)
endif

$(STAMP): requirements.lock pyproject.toml
	@rm -f $(STAMP)
	fail() { printf 'make install: %s\n' "$$@" >&2; exit 1; }
	export $(WITH_VENV)

	python=
	if $(PY) -c 'import pip, sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then
	  python=$(PY)
	  echo '[1/3] keeping the environment $(VENV)'
	else
	  PATH=$${PATH#*:}
	  seen=
	  candidates=($(if $(PYTHON),"$(PYTHON)",python3.11 python3.12 python3.13 python3))
	  for candidate in "$${candidates[@]}"; do
	    version=$$("$$candidate" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) || continue
	    case $$version in
	      3.11|3.12|3.13) ;;
	      *) seen+=" $$candidate (Python $$version);"; continue ;;
	    esac
	    "$$candidate" -c 'import ensurepip, venv' 2>/dev/null \
	      || { seen+=" $$candidate (Python $$version without venv; Debian, Ubuntu: apt-get install python$$version-venv);"; continue; }
	    python=$$candidate
	    break
	  done
	  [[ -n $$python ]] || fail \
	    "found$${seen:- none of $${candidates[*]};} expected Python 3.11, 3.12 or 3.13 with venv" \
	    "install one (Debian, Ubuntu: apt-get install python3.11 python3.11-venv), or name yours: make install PYTHON=/path/to/python3.11"
	  echo "[1/3] creating $(VENV) with $$("$$python" --version), $$(command -v "$$python")"
	  "$$python" -m venv --clear $(VENV)
	fi

	SECONDS=0
	echo "[2/3] installing $$(grep -c == requirements.lock) locked packages: one to three minutes, longer where the network is slow"
	$(PY) -m pip install --quiet --quiet --requirement requirements.lock || fail \
	  'pip could not install requirements.lock (its message stands above); nothing was marked as done, so mend the cause and repeat the command'
	echo "      done in $$SECONDS s"

	SECONDS=0
	echo '[3/3] installing raymm itself, editable'
	$(PY) -m pip install --quiet --quiet --no-deps --no-build-isolation --editable . || fail 'pip could not install raymm (its message stands above)'
	echo "      done in $$SECONDS s"

	echo '$(CURDIR)' >$(STAMP)

lock: $(STAMP)  ## Bring .venv up to pyproject.toml and write what it holds to requirements.lock
	@$(PY) -m pip install --quiet --quiet --no-build-isolation --editable '.[dev]'
	{
	  echo '# Exact versions of everything raymm and its tests run with. Written by `make lock`; change pyproject.toml instead.'
	  echo "# What torch brings for a GPU (nvidia-*, triton) is left to pip: torch pins it itself, for the machine it lands on."
	  $(PY) -m pip freeze --all --exclude-editable \
	    | grep -Eiv '^(pip|wheel|raymm|triton|(nvidia|cuda)[-_][a-z0-9_-]+)(==| @ )' \
	    | sed -E 's/\+[A-Za-z0-9.]+$$//; s/^dgl==.*/&; python_version < "3.12"/'
	} >$(VENV)/requirements.lock
	if grep -En ' @ |://' $(VENV)/requirements.lock; then
	  echo 'make lock: found packages (above) that were not installed from a registry, expected name==version; install them by version' >&2
	  exit 1
	fi
	mv $(VENV)/requirements.lock requirements.lock
	echo "requirements.lock: $$(grep -c == requirements.lock) packages"

clean:  ## Remove caches and build leftovers; keep .venv, prepared data and runs
	@rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
	find raymm jobs tests tune_spaces -type d -name __pycache__ -prune -exec rm -rf {} + 2>/dev/null || true

clean-all: clean  ## Remove .venv as well
	@rm -rf $(VENV)
