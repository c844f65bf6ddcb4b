# `make` alone says what there is. Everything runs in .venv, which is made on first use.

PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
		&& { echo "$$python"; break; }; done)
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
INSTALLED_DEV := $(VENV)/.installed-dev
INSTALLED_BENCH := $(VENV)/.installed-bench
DASHBOARD := web/dist/index.html
LOCK := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-header --no-emit-index-url --no-emit-find-links
# A virtual environment whose Python was removed is no environment.
ifeq ($(shell test -x $(BIN)/python && echo yes),)
$(INSTALLED) $(INSTALLED_DEV) $(INSTALLED_BENCH): FORCE
endif

.DEFAULT_GOAL := help
.PHONY: help run web install test check proof chaos bench bench-quick lock clean mariadb chromium FORCE

help: ## Say what there is
	@echo "Tradepost: make TARGET"
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: $(INSTALLED) $(DASHBOARD) ## Start everything on this machine; Ctrl-C stops it
	@exec $(BIN)/python -m cli up

web: $(INSTALLED) ## Build the dashboard anew
	@rm -f $(DASHBOARD)
	@$(BIN)/python -m cli.dashboard

install: ## Install the pinned requirements into .venv, again if they are there
	@$(call install,requirements.txt,$(INSTALLED))

# Hundreds of processes are started from the same modules, which each would have to compile.
test proof: export PYTHONDONTWRITEBYTECODE :=

test: $(INSTALLED_DEV) $(DASHBOARD) mariadb chromium ## Run all tests on private servers
	@npm --prefix web run --silent test
	@exec $(BIN)/python -m pytest -n 3

check: $(INSTALLED_DEV) $(DASHBOARD) ## Check style, types and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	npm --prefix web run --silent check

proof: $(INSTALLED_DEV) $(DASHBOARD) mariadb chromium ## Run the tests with the large numbers
	@exec $(BIN)/python -m pytest -m proof

# Its servers and folders are private: another chaos may run beside it, or the application itself.
chaos: SECONDS ?= 60
chaos: PER_MINUTE ?= 30
chaos: SEED ?=
chaos: $(INSTALLED_DEV) mariadb ## Hurt a whole private system for SECONDS under load, then check all
	@exec $(BIN)/python -m tests.faults.chaos --seconds "$(SECONDS)" --per-minute "$(PER_MINUTE)" \
		--seed "$(SEED)"

bench: $(INSTALLED_BENCH) mariadb ## Compare our speed with the peers'; takes seven minutes
	@exec $(BIN)/python -m bench.full

bench-quick: $(INSTALLED_DEV) mariadb ## Compare our speed with plain Celery's in three minutes
	@exec $(BIN)/python -m bench.quick

lock: ## Pin the requirements anew, with hashes (needs uv)
	@command -v uv >/dev/null || { echo "uv is needed to pin requirements: install it first."; exit 1; }
	$(LOCK) requirements.in -o requirements.txt
	$(LOCK) requirements-dev.in -c requirements.txt -o requirements-dev.txt
	$(LOCK) requirements-bench.in -c requirements-dev.txt -o requirements-bench.txt

clean: ## Remove .venv and all caches; the data in var/ stay
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(INSTALLED): requirements.txt
	@$(call install,requirements.txt,$@)

# The file for development holds everything that the other one does.
$(INSTALLED_DEV): requirements-dev.txt
	@$(call install,requirements-dev.txt,$@)
	@touch $(INSTALLED)

$(DASHBOARD): $(shell find web/src web/public web/scripts web/*.json web/*.ts web/index.html -type f ! -name schema.d.ts)
	@$(BIN)/python -m cli.dashboard

# And this one everything that development needs.
$(INSTALLED_BENCH): requirements-bench.txt
	@$(call install,requirements-bench.txt,$@)
	@touch $(INSTALLED) $(INSTALLED_DEV)

# The tests run their own MariaDB and their own browser. Only the programs are needed, no service.
mariadb:
	@PATH="$$PATH:/usr/sbin"; command -v mariadbd >/dev/null || \
		$(call install_packages,mariadb-server-core mariadb-client-core)

chromium:
	@command -v chromium >/dev/null || command -v chromium-browser >/dev/null || \
		command -v google-chrome >/dev/null || $(call install_packages,chromium)

define install
python="$(PYTHON)"; \
"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	echo "Python 3.11 or newer is needed, and $${python:-python3} is not: install one, or name it as in" \
		"\`make $(MAKECMDGOALS) PYTHON=/path/to/python3.11\`." >&2; exit 1; }; \
"$$python" -m cli.install $(1) $(2)
endef

define install_packages
{ \
	if [ "$$(id -u)" = 0 ]; then sudo=; else sudo="sudo -n"; fi; \
	{ command -v apt-get && $$sudo true; } >/dev/null 2>&1 || { \
		echo "The tests need these packages: install $(1)." >&2; exit 1; }; \
	echo "Installing $(1) ..."; \
	export DEBIAN_FRONTEND=noninteractive; \
	patient="-o Acquire::Retries=5 -o DPkg::Lock::Timeout=120"; \
	$$sudo apt-get -qq $$patient update >/dev/null; \
	$$sudo apt-get -qq $$patient install -y --no-install-recommends $(1) >/dev/null; \
}
endef
