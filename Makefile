# Sealbook: the commands that a developer needs. `make` lists them.

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

CARGO ?= cargo
# What tests build besides the usual: the verifiers of attestation, which no program links yet.
FEATURES := --features sealbook-attestation/verify
TARGET_DIR ?= $(or $(CARGO_TARGET_DIR),target)
# The oldest compiler that builds Sealbook is stated once, in Cargo.toml.
RUST_MIN := $(shell sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
# A version that builds with that compiler, for machines that have no cargo-nextest yet.
NEXTEST_VERSION := 0.9.143

.PHONY: help demo test test-release defences measurement reproduce bench bench-full bench-quick bench-reads bench-load bench-network \
    bench-sealing bench-module bench-positions simulate fuzz fuzz-keep lint build deps deps-c deps-rust deps-nextest deps-hosts deps-fuzz deps-pki deps-postgres

help: ## list these commands
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 24

demo: deps ## build, start a network, run the year 2012 of five shares, verify the ledger
	$(CARGO) build --workspace --bins --locked
	$(TARGET_DIR)/debug/sealbook demo $(ARGS)

build: deps ## build everything, tests included
	$(CARGO) build --workspace --all-targets --locked $(FEATURES)

test: build deps-nextest deps-hosts deps-pki ## build and run every test
	$(CARGO) nextest run --workspace --locked $(FEATURES) $(ARGS)

# Always the same packages: others would build the same ones with other features.
BENCH_BUILD := $(CARGO) build --release --locked --bins -p sealbook-host -p sealbook-execution -p sealbook-cli \
    -p sealbook-benches
BENCH := $(TARGET_DIR)/release/sealbook-bench

bench: deps deps-postgres ## measure this version beside PostgreSQL, in turns; needs an idle machine for 15 minutes and 50 GB of disk
	$(BENCH_BUILD)
	$(BENCH) compare --json $(TARGET_DIR)/bench.json $(ARGS)

# Ten million positions and ten million instructions; catching up; all that is measured beside PostgreSQL.
bench-full: bench ## bench, and more: growing books and history, catching up, restart; takes three quarters of an hour
	$(BENCH) scale
	$(BENCH) network --validators 4 --delays 0 --no-down
	$(MAKE) bench-positions POSITIONS="1000000 10000000"

bench-quick: deps deps-postgres ## one ratio to PostgreSQL in less than a minute
	$(BENCH_BUILD)
	$(BENCH) compare --quick $(ARGS)

bench-reads: deps deps-postgres ## registries beside PostgreSQL: now, as of the past, certified and checked offline
	$(BENCH_BUILD)
	$(BENCH) compare --reads $(ARGS)

bench-load: deps ## one load of trades and the processor time it takes: make bench-load ARGS="--validators 1 --batch 1"
	$(BENCH_BUILD)
	$(BENCH) load $(ARGS)

bench-network: deps ## latency, throughput and catch-up by validators and distance
	$(BENCH_BUILD)
	$(BENCH) network $(ARGS)

bench-sealing: deps ## time and size of envelopes, suite by suite, beside other libraries
	$(CARGO) run --release --locked --package sealbook-opening --example sealing

test-release: deps ## hold the optimised build of the module to what the tests' build computes
	$(CARGO) build --release --locked --package sealbook-execution --bins
	SEALBOOK_MODULE_BUILD=$(abspath $(TARGET_DIR))/release/sealbook-execution \
	    $(CARGO) test --locked --package sealbook-execution --test attacks -- a19_

defences: deps ## take away what stops each attack, in a copy, and see that its test fails: make defences ARGS=a07
	$(CARGO) build --locked --package sealbook-tidy --bins
	$(TARGET_DIR)/debug/sealbook-defences "$(abspath $(TARGET_DIR))/defences" $(ARGS)

measurement: deps ## build the execution module reproducibly, and print its SHA-256
	node/execution/measurement.sh "$(abspath $(TARGET_DIR))/measured"

reproduce: deps ## build the execution module twice, in different folders, and see that the programs are the same
	node/execution/measurement.sh --twice "$(abspath $(TARGET_DIR))/reproduced"

BENCH_MODULE := bench --locked --package sealbook-execution --bench module --

bench-module: deps ## frames by size: coded, and to the execution module and back
	$(CARGO) $(BENCH_MODULE) frames

POSITIONS ?= 1000000
bench-positions: deps ## snapshot, restart, new keys with big books: make bench-positions POSITIONS=10000000
	$(CARGO) $(BENCH_MODULE) positions $(POSITIONS)

SEEDS ?= 100
simulate: deps ## run whole networks in simulated time: make simulate SEEDS=1000
	$(CARGO) build --package sealbook-simulation --bins --locked
	$(TARGET_DIR)/debug/sealbook-simulate --seeds $(SEEDS) $(ARGS)

# `make test` replays the corpora with any compiler; only the fuzzer itself needs a nightly one.
TARGET ?= frame
SECONDS ?= 60
FUZZING := tests/fuzzing
FUZZ := $(CARGO) +nightly fuzz
FUZZ_DIRS := --fuzz-dir $(CURDIR)/$(FUZZING)/fuzz --target-dir $(abspath $(TARGET_DIR))/fuzz
# What is found goes to a folder of its own, until `make fuzz-keep` picks from it.
FUZZ_FOUND = $(abspath $(TARGET_DIR))/fuzz/found/$(TARGET)
FUZZ_KEPT = $(CURDIR)/$(FUZZING)/corpora/$(TARGET)
FUZZ_FILES_MAX := 60
FUZZ_FILE_BYTES_MAX := 4096

fuzz: deps-fuzz ## search for inputs that a decoder fails on: make fuzz TARGET=frame SECONDS=60
	@test -d "$(FUZZ_KEPT)" || { echo "there is no target $(TARGET); there are:" $$(ls $(FUZZING)/corpora) >&2; exit 1; }
	mkdir -p "$(FUZZ_FOUND)"
	$(FUZZ) run $(FUZZ_DIRS) $(TARGET) "$(FUZZ_FOUND)" "$(FUZZ_KEPT)" -- \
	    -max_total_time=$(SECONDS) -timeout=20 -malloc_limit_mb=512 -print_final_stats=1 $(ARGS)

# Minimised first; of the rest, the fewest files that reach every edge that the corpus does not reach yet. Where there
# is no room for all, the order of their names, which are hashes, favours neither short ones nor long ones.
fuzz-keep: deps-fuzz ## add what `make fuzz` found to the corpus of the target
	$(FUZZ) cmin $(FUZZ_DIRS) $(TARGET) "$(FUZZ_FOUND)"
	@picked=$$(mktemp -d); trap 'rm -r "$$picked"' EXIT; \
	cp "$(FUZZ_KEPT)"/* "$$picked"; \
	$(FUZZ) run $(FUZZ_DIRS) $(TARGET) "$$picked" "$(FUZZ_FOUND)" -- -set_cover_merge=1 -use_counters=0; \
	have=$$(find "$(FUZZ_KEPT)" -type f | wc -l); \
	while read -r file; do \
	    if [ "$$have" -lt $(FUZZ_FILES_MAX) ] && [ ! -e "$(FUZZ_KEPT)/$$file" ]; then \
	        cp "$$picked/$$file" "$(FUZZ_KEPT)/$$file"; \
	        have=$$((have + 1)); \
	    fi; \
	done < <(find "$$picked" -type f -size -$(FUZZ_FILE_BYTES_MAX)c -printf '%f\n' | sort); \
	echo "$(TARGET): $$have files"

deps-fuzz: deps
	@if ! $(CARGO) +nightly --version >/dev/null 2>&1; then \
	    echo "The fuzzer needs a nightly compiler: rustup toolchain install nightly --profile minimal" >&2; \
	    exit 1; \
	fi
	@command -v cargo-fuzz >/dev/null || $(CARGO) install cargo-fuzz --locked

lint: deps ## formatting, clippy, and cargo-deny where it is installed
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked $(FEATURES) -- -D warnings
	@if command -v cargo-deny >/dev/null; then \
	    $(CARGO) deny --locked check bans licenses sources; \
	else \
	    echo "cargo-deny is not installed, and its part was left out: cargo install cargo-deny --locked"; \
	fi

deps: deps-c deps-rust ## install what is missing, or say how

deps-c:
	@if ! command -v cc >/dev/null; then \
	    if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	        apt-get update -q && apt-get install -y -q --no-install-recommends gcc libc6-dev make; \
	    else \
	        echo "A C compiler is missing. On Debian or Ubuntu: sudo apt-get install gcc libc6-dev make" >&2; \
	        exit 1; \
	    fi; \
	fi

deps-rust:
	@if ! command -v $(CARGO) >/dev/null; then \
	    echo "Rust $(RUST_MIN) or newer is missing: see https://rustup.rs, then run this again" >&2; \
	    exit 1; \
	fi; \
	have=$$(rustc --version | cut -d' ' -f2 | cut -d- -f1); \
	oldest=$$(printf '%s\n%s\n' "$(RUST_MIN)" "$$have" | sort -V | head -n 1); \
	if [ "$$oldest" != "$(RUST_MIN)" ]; then \
	    echo "rustc $$have is too old, Sealbook needs $(RUST_MIN) or newer: rustup update stable" >&2; \
	    exit 1; \
	fi

deps-nextest: deps
	@command -v cargo-nextest >/dev/null || $(CARGO) install cargo-nextest --version $(NEXTEST_VERSION) --locked

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
# Without it the comparison with PostgreSQL is left out, and the benchmark says so. Debian's package would make and start a
# server of its own, which nobody needs here.
POSTGRES_CLUSTERS := /etc/postgresql-common/createcluster.d
deps-postgres:
	@if ! ls /usr/lib/postgresql/*/bin/pgbench >/dev/null 2>&1 && ! command -v pgbench >/dev/null; then \
	    if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	        mkdir -p $(POSTGRES_CLUSTERS); \
	        echo 'create_main_cluster = false' > $(POSTGRES_CLUSTERS)/sealbook.conf; \
	        apt-get update -q && apt-get install -y -q --no-install-recommends postgresql; \
	    else \
	        echo "PostgreSQL is missing, so the comparison with it is left out: sudo apt-get install postgresql"; \
	    fi; \
	fi

# Without it the tests with several hosts are skipped, and say so.
deps-hosts:
	@if ! command -v ip >/dev/null; then \
	    if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	        apt-get update -q && apt-get install -y -q --no-install-recommends iproute2; \
	    else \
	        echo "iproute2 is missing, so the tests with several hosts are skipped: sudo apt-get install iproute2"; \
	    fi; \
	fi

# The linter of certificates that the tests hold the CA against. Without it that test is skipped, and says so.
PKILINT := $(TARGET_DIR)/pkilint
PKILINT_VERSION := 0.13.3
deps-pki:
	@root() { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; }; \
	if ! command -v openssl >/dev/null && root; then \
	    apt-get update -q && apt-get install -y -q --no-install-recommends openssl; \
	fi; \
	if [ ! -x $(PKILINT)/bin/lint_crl ]; then \
	    if ! python3 -c 'import ensurepip' 2>/dev/null && root; then \
	        apt-get update -q && apt-get install -y -q --no-install-recommends python3 python3-venv; \
	    fi; \
	    if ! { python3 -m venv $(PKILINT) && $(PKILINT)/bin/pip install -q pkilint==$(PKILINT_VERSION); }; then \
	        rm -rf $(PKILINT); \
	        echo "pkilint could not be installed, so the test of certificates with it is skipped: it needs python3-venv and PyPI"; \
	    fi; \
	fi
