# Sealbook: the commands that a developer needs. `make` lists them.

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

CARGO ?= cargo
TARGET_DIR ?= $(or $(CARGO_TARGET_DIR),target)
# The oldest compiler that builds Sealbook is stated once, in Cargo.toml.
RUST_MIN := $(shell sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
# A version that builds with that compiler, for machines that have no cargo-nextest yet.
NEXTEST_VERSION := 0.9.143

.PHONY: help demo test bench bench-network bench-sealing simulate lint build deps deps-c deps-rust deps-nextest deps-hosts

help: ## list these commands
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 24

demo: deps ## build, start a network, run the year 2012 of five shares, verify the ledger
	$(CARGO) build --workspace --bins --locked
	$(TARGET_DIR)/debug/sealbook demo $(ARGS)

build: deps ## build everything, tests included
	$(CARGO) build --workspace --all-targets --locked

test: build deps-nextest deps-hosts ## build and run every test
	$(CARGO) nextest run --workspace --locked $(ARGS)

bench: deps ## measure this version on a network of its own; prints its conditions
	$(CARGO) build --workspace --bins --locked
	$(TARGET_DIR)/debug/sealbook-bench

bench-network: deps ## latency, throughput and catch-up by validators and distance
	$(CARGO) build --workspace --bins --locked
	$(TARGET_DIR)/debug/sealbook-bench network $(ARGS)

bench-sealing: deps ## time and size of envelopes, suite by suite
	$(CARGO) run --release --locked --package sealbook-opening --example sealing

SEEDS ?= 100
simulate: deps ## run whole networks in simulated time: make simulate SEEDS=1000
	$(CARGO) build --package sealbook-simulation --bins --locked
	$(TARGET_DIR)/debug/sealbook-simulate --seeds $(SEEDS) $(ARGS)

lint: deps ## formatting, clippy, and cargo-deny where it is installed
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings
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

# Without it the tests with several hosts are skipped, and say so.
deps-hosts:
	@if ! command -v ip >/dev/null; then \
	    if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	        apt-get update -q && apt-get install -y -q --no-install-recommends iproute2; \
	    else \
	        echo "iproute2 is missing, so the tests with several hosts are skipped: sudo apt-get install iproute2"; \
	    fi; \
	fi
