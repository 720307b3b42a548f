# Needs: make, Python 3.11 or newer with venv, a Rust toolchain, a C linker. `make help` lists the targets.

SHELL := /bin/sh
.SHELLFLAGS := -euc
.DEFAULT_GOAL := help
.NOTPARALLEL:
.DELETE_ON_ERROR:

VENV := .venv
PYTHON := $(VENV)/bin/python
UV := $(VENV)/bin/uv
SYNC := $(UV) sync --quiet --locked --no-install-project --inexact
# One interpreter for every cargo call: PyO3 builds anew when it sees another.
export PYO3_PYTHON := $(CURDIR)/$(PYTHON)
# An environment that is activated elsewhere must not receive our packages.
export VIRTUAL_ENV := $(CURDIR)/$(VENV)
unexport CONDA_PREFIX

RUST_SOURCES := $(shell find fastmatch -path fastmatch/fuzz -prune -o \( -name '*.rs' -o -name Cargo.toml \) -print)

# The stamp lives in .venv, the module does not: build it again when only one of them is there.
ifeq ($(wildcard fastmatch/_native.*.so),)
.PHONY: $(VENV)/.extension
endif

.PHONY: help
help: ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1\t\2/p' Makefile | expand -t 16

.PHONY: run
run: build ## Start everything on 127.0.0.1 with a demo gateway; LISTS=FOLDER loads your list files
	@exec $(VENV)/bin/sentra-proxy quickstart $(if $(LISTS),--lists "$(LISTS)")

.PHONY: build
build: $(VENV)/.extension ## Create .venv and build the release extension, only when sources changed

$(VENV)/.uv: tools/make-environment
	@tools/need-rust
	@tools/make-environment $(VENV)
	@touch $@

$(VENV)/.runtime: $(VENV)/.uv uv.lock pyproject.toml
	@echo "installing the locked packages"
	@$(SYNC) --no-default-groups --group build
	@touch $@

$(VENV)/.development: $(VENV)/.runtime
	@echo "installing the locked packages for tests"
	@$(SYNC) --no-default-groups --group dev
	@touch $@

# The headers come first: one peer has no wheel.
$(VENV)/.bench: $(VENV)/.runtime
	@tools/need-packages bench $(PYTHON)
	@echo "installing the locked peers of the bench"
	@$(SYNC) --no-default-groups --group bench
	@touch $@

$(VENV)/.extension: $(VENV)/.runtime $(RUST_SOURCES) Cargo.toml Cargo.lock pyproject.toml
	@tools/need-rust
	@echo "building the extension (a minute or two, only when Rust sources changed)"
	@$(UV) pip install --quiet --no-deps --no-build-isolation --editable .
	@$(PYTHON) -P -c 'import fastmatch._native'
	@touch $@

.PHONY: test
test: packages check pytest ## Run everything: check, then the Python tests; installs missing test programs as root

.PHONY: check
check: format lint types imports stubs rust ## Formats, lints, types, import directions, stubs, Rust tests and docs

.PHONY: bench
bench: build packages $(VENV)/.bench ## Measure beside peers; BENCH="proxy --quick" for one
	@$(PYTHON) -m bench $(BENCH)

.PHONY: soak
soak: build packages $(VENV)/.development ## Slow clients, faults and reloads for a quarter of an hour; SOAK_SECONDS=60 for less
	@$(PYTHON) -m tests.soak

.PHONY: check-fuzz
check-fuzz: ## Fuzz the parsers for a minute each (needs nightly Rust and cargo-fuzz)
	@tools/fuzz

.PHONY: check-miri
check-miri: ## Look for undefined behaviour in the core (needs nightly Rust with miri)
	@cargo +nightly miri --version >/dev/null 2>&1 || { \
	    echo "this needs miri: rustup toolchain install nightly --component miri rust-src" >&2; exit 2; }
	MIRIFLAGS=-Zmiri-disable-isolation PROPTEST_CASES=3 \
	    cargo +nightly miri test --quiet --package blocklist --lib --target-dir target/miri

.PHONY: check-slow
check-slow: build $(VENV)/.development ## Ten million random lookups of each kind, longer property tests
	DIFFERENTIAL_LOOKUPS=10000000 cargo test --release --quiet --locked --package blocklist --test differential
	PROPTEST_CASES=20000 cargo test --release --quiet --locked --package blocklist
	HYPOTHESIS_PROFILE=slow $(PYTHON) -m pytest tests/fastmatch

.PHONY: clean
clean: ## Remove everything that was built; `var` with lists and blocks stays
	@rm -rf $(VENV) target dist fastmatch/fuzz/target fastmatch/_native.*.so
	@rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find proxy fastmatch bench tests -name __pycache__ -type d -prune -exec rm -rf {} +

# ---------------------------------------------------------------- parts of test and check

.PHONY: packages format lint types imports stubs rust pytest
packages:
	@tools/need-packages

format: $(VENV)/.development
	@tools/need-rust
	$(VENV)/bin/ruff format --check .
	cargo fmt --check

lint: $(VENV)/.development
	$(VENV)/bin/ruff check .
	cargo clippy --quiet --locked --workspace --all-targets -- -D warnings

types: build $(VENV)/.development
	$(VENV)/bin/mypy --strict
	$(VENV)/bin/mypy tests

imports: build $(VENV)/.development
	$(VENV)/bin/lint-imports

stubs: build $(VENV)/.development
	$(PYTHON) -m mypy.stubtest fastmatch

# The bindings have no test of their own here: linking them needs an interpreter, tests/fastmatch has one.
rust:
	cargo test --quiet --locked --workspace --exclude fastmatch-python
	RUSTDOCFLAGS="-D warnings" cargo doc --quiet --locked --workspace --no-deps

pytest: build $(VENV)/.development
	$(PYTHON) -m pytest
