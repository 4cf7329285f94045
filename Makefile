# Varsel. `make` lists the targets; every one makes the environment it needs.
SHELL := /bin/sh
VENV  ?= .venv
ARGS  ?=
PY    := $(VENV)/bin/python
# Without compiled files each of the many processes of a test run would compile the whole source again.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo up test lint format bench bench-long chaos fuzz browser schema docs site coverage openapi transcript lock clean server dev

help: ## List the targets
	@echo "Varsel: notifications for public bodies"
	@echo
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)$$/  make \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "%-20s %s\n", $$1, $$2 }'
	@echo
	@echo "  ARGS=… reaches the program: make demo ARGS=--exit; VENV=DIR and PYTHON=… choose environment and interpreter."

server:
	@interpreter=$$(sh scripts/python) && "$$interpreter" scripts/environment.py server "$(VENV)"

dev:
	@interpreter=$$(sh scripts/python) && "$$interpreter" scripts/environment.py dev "$(VENV)"

demo: server ## See it work: install, start a sandbox, order an e-mail and an SMS, watch them arrive
	@exec $(PY) -m varsel.cli.main demo $(ARGS)

up: server ## Start everything and stay (ARGS="--sandbox --port 5090")
	@exec $(PY) -m varsel.cli.main up $(ARGS)

test: dev ## Run the test suite, without the long forms; pages too where Chromium is installed
	@exec $(PY) -m pytest -n 2 --dist worksteal -m "not long" $(ARGS)

lint: dev ## Check style, types and the import rules
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	$(VENV)/bin/lint-imports

format: dev ## Lay out the source
	$(PY) -m ruff format .
	$(PY) -m ruff check --fix .

bench: dev ## Measure against pgbench and a bare HTTP stack
	@exec $(PY) -m bench $(ARGS)

bench-long: dev ## The measurements that take their time
	@exec $(PY) -m bench --long $(ARGS)

chaos: dev ## Kill every process at every named step, and fail everything around in turn
	@exec $(PY) -m pytest -m long tests/chaos $(ARGS)

fuzz: dev ## Throw generated requests and messages at Varsel
	@exec $(PY) -m pytest -m long --ignore=tests/chaos --ignore=tests/console $(ARGS)

browser: dev ## Drive the pages with Chromium
	@exec $(PY) -m pytest -m browser $(ARGS)

schema: dev ## Write src/varsel/store/schema.sql from the migrations
	@exec $(PY) -m varsel.store.schema

docs: dev ## Write the generated pages of docs/reference
	@$(PY) -m varsel.cli.pages docs/reference
	@exec $(PY) scripts/sdk_reference.py docs/reference

site: dev ## Build the documentation as a site in site/, every warning an error
	@exec $(PY) -m sphinx -q -W --keep-going -n -b html docs site $(ARGS)

# What runs programs of its own covers nothing here, and takes its time.
APART := $(addprefix tests/client/test_,bench.py commands% docs.py example.py sentences.py site.py)
coverage: dev ## Hold the Python client to full branch coverage
	@exec $(PY) -m pytest -n 2 --cov=varsel.client --cov-branch --cov-report=term-missing:skip-covered --cov-fail-under=100 \
	    $(filter-out $(APART),$(wildcard tests/client/test_*.py)) $(ARGS)

openapi: dev ## Write docs/reference/openapi.json from the endpoint table
	@exec $(PY) -m varsel.cli.description docs/reference/openapi.json

transcript: dev ## Call every endpoint with curl and write docs/reference/transcript.md
	@exec $(PY) -m tests.contract.transcript docs/reference/transcript.md

# The client that needs a newer Python than Varsel has an environment of its own in the suite (tests/identity/test_other_clients.py).
COMPILE := PATH="$(CURDIR)/$(VENV)/bin:$$PATH" uv pip compile --quiet --universal --generate-hashes --no-header --no-emit-index-url \
    --no-emit-find-links --no-annotate --no-strip-extras
lock: dev ## Resolve the requirements anew
	@command -v uv >/dev/null || $(PY) -m pip install --quiet uv
	@for pair in server:build dev:dev; do \
	    $(COMPILE) --python-version 3.11 --extra server --group "$${pair#*:}" pyproject.toml \
	        -o "requirements/$${pair%:*}.txt" || exit 1; \
	done
	@echo pymaskinporten | $(COMPILE) --python-version 3.13 - -o requirements/pymaskinporten.txt

clean: ## Remove the environment and what tools left behind
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache bench/out tests/out
	find src tests bench scripts -name __pycache__ -type d -prune -exec rm -rf {} +
