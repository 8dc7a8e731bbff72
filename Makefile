# Millgate. `make` alone prints what there is.

# Named on the command line, never in the environment: many have a variable of this name for something else.
PYTHON = python3
NAME =
FILE =
FROM =
# Settings for other Pythons must not affect this one.
RUN := .venv/bin/python -E
unexport PYTHONHOME PYTHONPATH PYTHONSAFEPATH PYTHONOPTIMIZE
ARGS ?=
ONLY ?=
SUITE ?=
QUICK ?=

.DEFAULT_GOAL := help
.PHONY: help run demo test coverage chaos bench check try-on migrate api worker token tokens token-revoke rotate-keys backup check-backup restore take-over rehearse secrets types schema requirements screenshots lock clean install install-dev install-bench

help:  ## print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' Makefile

run: install  ## PostgreSQL, migrations, API and worker, on this machine, until Ctrl-C
	@exec $(RUN) -m devstack run

demo: install  ## the same with three simulated gateways and separate data
	@exec $(RUN) -m devstack demo

test: install-dev  ## all tests, on a PostgreSQL of their own (ARGS="-k word" for some)
	@exec $(RUN) -m pytest -n 2 $(ARGS)

coverage: install-dev  ## the tests again, and which lines of service/ and workers/ they ran (HTML in .data/coverage)
	@rm -rf .data/coverage; mkdir -p .data/coverage
	@$(RUN) -m coverage run -m pytest -n 2 $(ARGS); tests=$$?; $(RUN) -m coverage combine --quiet \
	    && $(RUN) -m coverage html --quiet && $(RUN) -m coverage report; exit $$tests

chaos: install-dev  ## every fault of the table of promises, measured and judged (ONLY=list names the rows)
	@exec $(RUN) -m chaos --only '$(ONLY)'

bench: install-bench  ## Millgate beside its peers, into bench/RESULTS.md (ONLY=list names the rows, QUICK=1 for a look)
	@exec bench/.venv/bin/python -E -m bench --only '$(ONLY)' $(if $(QUICK),--quick)

check: install-dev  ## formatting, types, import rules, migrations, Compose file, generated files
	@exec $(RUN) -m devstack.checks.check

try-on:  ## the README's commands on fresh systems (SUITE="bookworm trixie"; needs root and debootstrap)
	@exec $(PYTHON) -m devstack.checks.try_on $(SUITE)

migrate: install  ## apply the migrations to DATABASE_URL
	@exec $(RUN) -m devstack migrate

api: install  ## the API alone (DATABASE_URL, ENCRYPTION_KEY and so on from the environment or .env)
	@exec $(RUN) -m devstack api

worker: install  ## the worker alone (same)
	@exec $(RUN) -m devstack worker

rehearse: install  ## a restore and an upgrade from the last release, under load (FROM=commit for another version)
	@exec $(RUN) -m devstack.rehearsal --from '$(FROM)'

token: install  ## make an API token: NAME=… SCOPE=read|write; it is shown once
	@exec $(RUN) -m devstack tokens create "$(NAME)" "$(SCOPE)"

tokens: install  ## list the API tokens, without the tokens themselves
	@exec $(RUN) -m devstack tokens list

token-revoke: install  ## revoke an API token immediately: NAME=…
	@exec $(RUN) -m devstack tokens revoke "$(NAME)"

rotate-keys: install  ## re-encrypt every password with ENCRYPTION_KEY, while everything runs
	@exec $(RUN) -m devstack rotate-keys

backup: install  ## dump the database into FILE=…, and check that the settings have the keys it needs
	@exec $(RUN) -m devstack.backup make "$(FILE)"

check-backup: install  ## check that the settings have the keys that the backup FILE=… needs
	@exec $(RUN) -m devstack.backup check "$(FILE)"

restore: install  ## restore the backup FILE=… into an empty database, which is then held
	@exec $(RUN) -m devstack.backup restore "$(FILE)"

take-over: install  ## let workers use a restored database, once none uses its original
	@exec $(RUN) -m devstack take-over

types: install-dev  ## generate service/database/rows.py from the migrated schema
	@exec $(RUN) -m devstack.checks.generated rows

schema: install-dev  ## write db/schema.sql from the migrations
	@exec $(RUN) -m devstack.checks.generated schema

secrets:  ## write secrets/ for `docker compose up`, where there are none yet
	@mkdir -p secrets && chmod 700 secrets
	@test -s secrets/encryption_key || head -c 32 /dev/urandom | base64 > secrets/encryption_key
	@test -s secrets/postgres_password || head -c 24 /dev/urandom | od -An -tx1 | tr -d ' \n' > secrets/postgres_password
	@touch secrets/encryption_keys_old
	@chmod 644 secrets/encryption_key secrets/postgres_password secrets/encryption_keys_old

requirements: install-dev  ## run all tests and print which requirement rows they prove
	@exec $(RUN) -m tests.requirements

screenshots: install-dev  ## take the documents' pictures of the page anew, with Debian's chromium
	@exec $(RUN) -m tests.browser.screenshots

lock: install-dev  ## resolve the dependencies again into requirements*.txt (ARGS=--upgrade for newer ones)
	@exec $(RUN) -m devstack.checks.lock $(ARGS)

clean:  ## remove .venv, caches and what the bench installed; data and .env stay
	@exec rm -rf .venv bench/.venv bench/peers/*/node_modules .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

install:
	@exec $(PYTHON) -I devstack/bootstrap.py local

install-dev:
	@exec $(PYTHON) -I devstack/bootstrap.py dev

install-bench:
	@exec $(PYTHON) -I devstack/bootstrap.py bench
