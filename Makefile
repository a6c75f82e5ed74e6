# `make` alone lists the targets. A bare machine needs Python 3.11 or newer (with venv) and nothing else.

.DEFAULT_GOAL := help
.PHONY: help demo up test again check bench gauntlet schemathesis migrate format clean requirements base dev

RUN := .venv/bin/python
COVERAGE_MIN ?= 92
# ENGINE=temporal: with a Temporal dev server of its own, unless TEMPORAL_ADDRESS names one.
ON_ENGINE := $(if $(ENGINE),env WORKFLOW_ENGINE=$(ENGINE))
# Stamps are named after what was installed, so a change of a pin installs again and nothing else does.
BASE_STAMP := .venv/.base-$(shell cat requirements/base.txt pyproject.toml | cksum | tr -cd 0-9)
DEV_STAMP := .venv/.dev-$(shell cat requirements/dev.txt pyproject.toml | cksum | tr -cd 0-9)

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' Makefile

demo: base ## Start everything, take payments through it, show what happened, stop (ENGINE=temporal)
	@$(ON_ENGINE) $(RUN) -m payloops demo

up: base ## Run everything on this machine until Ctrl-C (ENGINE=temporal; PORT=4000 PAYLOOPS_DATA=/tmp/x make up)
	@exec $(ON_ENGINE) $(RUN) -m payloops up

test: dev ## Run all tests with the coverage gate (T=tests/unit: some; COVERAGE_MIN=0: no gate)
	@$(RUN) -m pytest -n auto --dist worksteal --cov --cov-report=term --cov-fail-under=$(COVERAGE_MIN) $(T)

again: dev ## Run the tests that failed last, one by one
	@$(RUN) -m pytest --no-cov --last-failed --last-failed-no-failures none $(T)

check: dev ## Format, lint, types, layers, and drift of generated files
	@echo "== format" && .venv/bin/ruff format --check .
	@echo "== lint" && .venv/bin/ruff check .
	@echo "== types" && .venv/bin/mypy
	@echo "== layers" && .venv/bin/lint-imports
	@echo "== event schemas" && $(RUN) -m payloops schemas --check
	@echo "== .env.example" && $(RUN) -m pytest -q -p no:cacheprovider tests/unit/test_env_example.py

bench: dev ## Measure against the baselines (ROWS="P1 P2": some rows)
	@$(RUN) -m bench $(ROWS)

gauntlet: dev ## Break things and look (T=K1: one row; N=20: so often; SEED=7: that very run)
	@$(RUN) -m tests.gauntlet $(if $(T),--row $(T)) $(if $(N),--times $(N)) $(if $(SEED),--seed $(SEED))

schemathesis: dev ## Send the API what its description allows and what it does not (S=300: so many seconds; SEED=7)
	@$(RUN) -m tests.gauntlet --row I3 --times $$(( ($(or $(S),300) + 19) / 20 )) --seed $(or $(SEED),1)

migrate: base ## Bring the database of DATABASE_URL (or the embedded one) to the current schema
	@$(RUN) -m payloops migrate

format: dev ## Format and mend what can be mended mechanically
	@.venv/bin/ruff format . && .venv/bin/ruff check --fix .

clean: ## Remove caches and the environment; the data in .payloops stays
	@rm -rf .venv build dist htmlcov bench/out .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	@rm -f .coverage .coverage.*
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

requirements: dev ## Renew the pins from requirements/*.in
	@$(RUN) -m pip install --quiet --disable-pip-version-check uv
	@for name in base dev; do \
	  .venv/bin/uv pip compile --quiet --upgrade --no-strip-extras --universal --python-version 3.11 --generate-hashes --no-header \
	    --no-annotate --no-emit-index-url -o requirements/$$name.txt requirements/$$name.in || exit 1; done

base: ; @test -e $(DEV_STAMP) || test -e $(BASE_STAMP) || $(MAKE) --no-print-directory $(BASE_STAMP)

dev: ; @test -e $(DEV_STAMP) || $(MAKE) --no-print-directory $(DEV_STAMP)

$(BASE_STAMP):
	@.ci/install requirements/base.txt $@

$(DEV_STAMP):
	@.ci/install requirements/dev.txt $@
