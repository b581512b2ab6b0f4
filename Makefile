# The two commands are `make demo` and `make test`; both do their own set-up. `make help` lists the rest.

VENV   := target/venv
PYTHON := $(VENV)/bin/python

.DEFAULT_GOAL := help
.PHONY: help demo test soak bench fuzz lint setup

help: ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 10

demo: setup ## a capture and cloud flow logs become one lake, with a picture of both worlds
	cargo build --quiet --bins
	@tests/demo/demo.sh

test: setup ## everything marked [test]
	cargo build --workspace
	FLOWLAKE_PYTHON=$(abspath $(PYTHON)) cargo test --workspace

soak: setup ## what takes longer than `make test` may
	cargo build --release --workspace
	tests/soak/soak.sh

bench: setup ## what a packet and a row cost, from a file and live, beside what users have today
	cargo bench -q -p flowlake-agent --bench packet
	cargo bench -q -p flowlake-converter --bench row
	tests/bench/ratios.sh
	tests/bench/live.sh

# Parquet may hold 256 MiB of pages; the sanitizer keeps as much of what was freed, and marks all of it.
fuzz: ## each fuzz target for SECONDS_EACH (60) seconds; needs cargo-fuzz
	@for target in decode nflog capture replay log envelope parquet; do \
	  mkdir -p fuzz/corpus/$$target; \
	  RUSTC_BOOTSTRAP=1 cargo fuzz run $$target fuzz/corpus/$$target fuzz/seeds/$$target -- \
	    -max_total_time=$${SECONDS_EACH:-60} -rss_limit_mb=2048 -timeout=10 || exit 1; \
	done

lint: ## format, clippy, dependency policy
	cargo fmt --check
	cargo clippy --workspace --all-targets -- -D warnings
	cargo deny check bans licenses sources

setup: ## what a fresh Debian lacks
	@tests/setup.sh $(VENV)
