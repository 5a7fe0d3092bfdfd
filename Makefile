# The vocabulary of work on Weft: every word, and nothing but. `make help` lists it.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# One target folder outside the checkout: every clone and every run shares what is built.
export CARGO_TARGET_DIR ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/weft/target

NEED := deploy/dev/need
BINS := cargo build --locked -p weft-hub -p weft-agent -p weft-loadtest --bins
SCRIPTS := deploy/dev/need .ci/run loadtest/peers/install
# What `need test` installed, told to the stories that start it.
SDKS = WEFT_SDK_PYTHON="$$($(NEED) where python)" WEFT_SDK_NODE="$$($(NEED) where node)" \
	WEFT_SDK_NODE_MODULES="$$($(NEED) where node-modules)"

# make sim SEEDS=…, make soak SEEDS=…: how many seeded worlds. make fuzz SECONDS=…, make soak
# SECONDS=…: how long for each target; on its own a soak gives each ten minutes.
SEEDS ?= 2000
SECONDS ?= 60
SOAK_SECONDS = $(if $(filter file,$(origin SECONDS)),600,$(SECONDS))
# make bench ARGS=…, make run ARGS=…: passed on to weft-loadtest.
ARGS ?=
# make corpus DIR=…: a folder with sample.jsonl.gz, one recorded answer a line.
DIR ?=

.PHONY: help run test check lint fmt deny doc bench lab peers corpus soak sim fuzz clean-cache

help: ## list these words
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | awk -F '\t' '{ printf "  make %-12s %s\n", $$1, $$2 }'

run: ## install what is missing, build, and show a completion crossing the mesh; stays up until Ctrl-C
	@$(NEED) run
	$(BINS)
	@python="$$($(NEED) where demo-python)"; if [ -n "$$python" ]; then \
	export WEFT_DEMO_PYTHON="$$python" WEFT_DEMO_MODEL_SERVER="$(CURDIR)/deploy/dev/model_server.py"; fi; \
	exec "$(CARGO_TARGET_DIR)/debug/weft-loadtest" demo $(ARGS)

# Doc tests go first, so that the run's last lines are the ones that count the tests.
test: ## install what is missing, then run every test: units, stories with the official SDKs, 200 simulated worlds
	@$(NEED) test
	cargo build --locked --workspace --bins
	cargo test --locked --workspace --doc --quiet
	@if cargo nextest --version >/dev/null 2>&1; then runner="nextest run"; else runner="test --lib --bins --tests"; fi; \
	echo "cargo $$runner --locked --workspace"; $(SDKS) cargo $$runner --locked --workspace

check: ## compile everything, run nothing
	cargo check --locked --workspace --all-targets

lint: ## formatting, clippy and shellcheck, all without a warning
	@$(NEED) lint
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	shellcheck $(SCRIPTS)

fmt: ## format the Rust code
	cargo fmt --all

deny: ## licences, sources and banned crates, by deny.toml; installs cargo-deny if it is missing
	@$(NEED) deny
	cargo deny --locked check licenses bans sources

doc: ## build the documentation of every item, private ones too, without a warning
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps --document-private-items

bench: ## release build, then print direct versus through the mesh, in one run (ARGS=… is passed on)
	cargo build --locked --release -p weft-hub -p weft-agent -p weft-loadtest --bins
	"$(CARGO_TARGET_DIR)/release/weft-loadtest" bench $(ARGS)

peers: ## install the tunnels and gateways to compare with, each from its registry (ARGS=… names some, or status)
	loadtest/peers/install $(ARGS)

lab: ## release build, then scenarios side by side: make lab ARGS='all --quick'
	cargo build --locked --release -p weft-hub -p weft-agent -p weft-loadtest --bins
	"$(CARGO_TARGET_DIR)/release/weft-loadtest" run $(ARGS)

corpus: ## check the meters against recorded answers in DIR=…, each whole, in pieces and coded, with a second opinion
	@test -n "$(DIR)" || { echo "make corpus DIR=folder-of-recordings" >&2; exit 2; }
	@$(NEED) corpus
	cargo build --locked -p weft-loadtest --bin weft-loadtest
	WEFT_GENAI_PYTHON="$$($(NEED) where corpus-python)" "$(CARGO_TARGET_DIR)/debug/weft-loadtest" corpus "$(DIR)"

soak: sim ## the long runs: SEEDS=2000 simulated worlds, the tests marked ignored for their length, SECONDS=600 of every fuzz target
	@$(NEED) test
	cargo build --locked --workspace --bins
	@$(SDKS) cargo nextest run --locked --workspace --profile soak --run-ignored only --no-capture
	$(MAKE) --no-print-directory fuzz SECONDS=$(SOAK_SECONDS)

sim: ## the deterministic simulation over SEEDS=2000 seeded worlds
	WEFT_SIM_SEEDS=$(SEEDS) cargo test --locked -p weft-loadtest --test simulation -- --nocapture

# Without a sanitizer: no unsafe code is under test, and a stable toolchain suffices.
fuzz: ## every decoder of untrusted bytes, SECONDS=60 for each
	@$(NEED) fuzz
	cd transport/proto && for target in $$(cargo fuzz list); do \
		mkdir -p "fuzz/corpus/$$target"; \
		cargo fuzz run --sanitizer none "$$target" "fuzz/corpus/$$target" "fuzz/seeds/$$target" -- \
			-max_total_time=$(SECONDS); done

clean-cache: ## remove what was built and installed under the cache folder, for every checkout
	rm -rf "$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/weft"
