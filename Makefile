# Everything a user or a colleague runs. `make help` lists it.

STUDY ?= fashion_mnist
# What .venv is made of: make search PYTHON=python3.12
override CHOSEN := $(if $(filter command,$(origin PYTHON)),'$(PYTHON)')
override VENV_PYTHON := .venv/bin/python
override SETUP := .venv/.installed
KILLS ?= 100
FUZZ_EXAMPLES ?= 10000
UI_PORT ?= 5000
SERVE_PORT ?= 5001
DASHBOARD_PORT ?= 8080
# In the order of tests/conftest.py, the longest first.
TWO_MODULES_AT_A_TIME := --numprocesses 2 --dist loadfile --no-loadscope-reorder
override SHELL := /bin/bash
# Whoever sets these means another Python.
unexport PYTHONHOME PYTHONPATH PYTHONSAFEPATH
# What ended by Ctrl-C has said so: make ends by the same signal, and adds no "Error 130". It has to
# have heard the signal before its child is gone, or it says that it waits for none.
override define quietly
|| { code=$$?; [ $$code -ne 130 ] || { kill -INT $$PPID; sleep 0.5; exit 0; }; exit $$code; }
endef
override run = trap : INT; $(VENV_PYTHON) -m $(1) $(quietly)
# Of the command line alone, for others may have such names in their environment; and as they were
# typed: the shell that gets them in its environment, reads nothing into them.
override NEW := $(filter command,$(origin DATA) $(origin TARGET))
ifdef NEW
override NEW_DATA := $(if $(filter command,$(origin DATA)),$(value DATA))
override NEW_TARGET := $(if $(filter command,$(origin TARGET)),$(value TARGET))
override NEW_STUDY := $(if $(filter command,$(origin STUDY)),$(value STUDY))
export NEW_DATA NEW_TARGET NEW_STUDY
unexport DATA TARGET
endif
override define new
trap : INT; study=$$($(VENV_PYTHON) -m pipeline.new --if-missing --data="$$NEW_DATA" \
  --target="$$NEW_TARGET" -- $${NEW_STUDY:+"$$NEW_STUDY"}) $(quietly)
endef
override SIMULATED := $(if $(filter command,$(origin SEED)),--seed $(SEED)) \
  $(if $(filter command,$(origin MINUTES)),--minutes $(MINUTES))
.DEFAULT_GOAL := help

.PHONY: help search report chapter best doctor ui dashboard serve test test-fast browser servers \
  lint audit check fuzz soak simulate torture cluster-test mutation bench screenshots lock clean

help:  ## list these targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' \
	  | awk -F'\t' '{ printf "  make %-11s %s\n", $$1, $$2 }'

search: $(SETUP)  ## run a study, or go on: STUDY=quick, or of your own DATA=x.csv TARGET=y
ifdef NEW
	@$(new); $(call run,pipeline.search "$$study")
else
	@$(call run,pipeline.search $(STUDY))
endif

report: $(SETUP)  ## write the study's report: studies/<name>/report.html
	@$(call run,pipeline.report $(STUDY))

chapter: $(SETUP)  ## every step of chapter 7 with ten seeds, and its report (half an hour)
	@$(call run,pipeline.search chapter7)
	@$(call run,pipeline.report chapter7)

best: $(SETUP)  ## show the study's champion
	@$(call run,pipeline.best $(STUDY))

doctor: $(SETUP)  ## hold Optuna, MLflow and the disk against each other; mend them: FIX=1
	@$(call run,pipeline.doctor $(if $(FIX),--fix))

ui: $(SETUP)  ## MLflow's UI on 127.0.0.1:5000, at the study's trials (other port: UI_PORT=...)
	@$(call run,pipeline.ui mlflow --port $(UI_PORT) --study $(STUDY))

serve: $(SETUP)  ## the champion as a web service on 127.0.0.1:5001 (other port: SERVE_PORT=...)
	@$(call run,pipeline.serve $(STUDY) --port $(SERVE_PORT))

dashboard: $(SETUP)  ## Optuna's dashboard on 127.0.0.1:8080 (other port: DASHBOARD_PORT=...)
	@$(call run,pipeline.ui optuna --port $(DASHBOARD_PORT))

test: $(SETUP)  ## run the test suite
	@$(VENV_PYTHON) -m pytest $(TWO_MODULES_AT_A_TIME)

test-fast: $(SETUP)  ## the tests without training, servers and browser (some minutes)
	@$(VENV_PYTHON) -m pytest --fast $(TWO_MODULES_AT_A_TIME)

browser:  ## install Chromium for the tests that need a browser (Debian, as root)
	@command -v chromium >/dev/null || { apt-get -qq update && apt-get -qq install -y chromium; }

# Without the cluster that Debian's package would make and start: tests have their own.
servers:  ## install PostgreSQL for the tests that need a real one (Debian, as root)
	@compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null || { \
	  export DEBIAN_FRONTEND=noninteractive; \
	  apt-get -qq update && apt-get -qq install -y postgresql-common \
	  && echo 'create_main_cluster = false' >> /etc/postgresql-common/createcluster.conf \
	  && apt-get -qq install -y postgresql; }

lint: $(SETUP)  ## ruff and mypy
	@$(VENV_PYTHON) -m ruff check .
	@$(VENV_PYTHON) -m ruff format --check .
	@$(VENV_PYTHON) -m mypy

audit: $(SETUP)  ## hold requirements.lock against known vulnerabilities, if a database answers
	@$(VENV_PYTHON) .ci/audit.py

check: lint test audit  ## what CI runs: lint, tests and audit

fuzz: $(SETUP)  ## 10,000 study files and arguments of each kind at random (ten minutes)
	@FUZZ_EXAMPLES=$(FUZZ_EXAMPLES) $(VENV_PYTHON) -m pytest tests/whole/test_fuzz.py

soak: $(SETUP)  ## 1,000 trials of tiny networks: what grows, what stays open (ten minutes)
	@$(VENV_PYTHON) -m benchmarks.soak --full

simulate: $(SETUP)  ## searches under faults, in a simulated world: SEED=... or MINUTES=... (one)
	@$(VENV_PYTHON) -m simulation $(SIMULATED)

torture: $(SETUP)  ## kill small searches a hundred times at random (half an hour; KILLS=...)
	@$(VENV_PYTHON) tests/torture.py --kills $(KILLS)

cluster-test: $(SETUP) servers  ## two Ray nodes, PostgreSQL, MLflow; kill each (minutes): PLAN=...
	@$(VENV_PYTHON) tests/kill_plan.py $(if $(PLAN),--plan '$(PLAN)') $(if $(BLOWS),--blows $(BLOWS))

mutation: $(SETUP)  ## break the code in some twenty places: do the tests notice? (four minutes)
	@$(VENV_PYTHON) tests/mutation.py

bench: $(SETUP)  ## measure speed, write benchmarks/RESULTS.md (all of it, three hours: FULL=1)
	@$(VENV_PYTHON) -m benchmarks $(if $(FULL),--full)

screenshots: $(SETUP)  ## make the pictures of the README anew, of a finished study (a minute)
	@$(VENV_PYTHON) tests/support/screenshots.py $(STUDY)

lock: $(SETUP)  ## pin all dependencies anew in requirements.lock
	@$(VENV_PYTHON) -m uv pip compile --quiet --universal --python-version 3.11 --upgrade \
	  --generate-hashes --no-emit-index-url --no-header --extra cluster --extra dev --extra onnx \
	  pyproject.toml --output-file requirements.lock

clean:  ## remove .venv and caches; searches and exports stay
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis

# Made anew whenever the lock file changes, or PYTHON is given; unfinished if anything fails.
ifeq ($(origin PYTHON),command line)
.PHONY: $(SETUP)
endif
$(SETUP): requirements.lock
	@trap : INT; .ci/install.sh $(CHOSEN) $(quietly)
