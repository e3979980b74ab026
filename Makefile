.DEFAULT_GOAL := help
.PHONY: help tools demo local load test fmt bench clean-tools

VENV := .tools/venv
TOOLS := $(VENV)/installed
DEPLOY_TOOLS := $(VENV)/installed-deploy

require = @command -v $(1) >/dev/null || { echo "error: $(1) is missing; see $(2)" >&2; exit 1; }
require_cargo = $(call require,cargo,https://rustup.rs)

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

tools: $(TOOLS) ## install cargo-lambda and moto into .tools/

demo: export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
demo: $(TOOLS) ## run every event of events/ through the function under cargo lambda, and check what comes of it
	$(require_cargo)
	cargo run --locked -p reservation-worker-local -- demo

# Another SQS than moto: make load N=1000 ENDPOINT=http://localhost:9324
SQS = $(if $(ENDPOINT),--endpoint $(ENDPOINT))
N := 1000

local: $(TOOLS) ## start queue, services and function on this machine, until Ctrl-C
	$(require_cargo)
	cargo run --locked -p reservation-worker-local -- local $(SQS)

load: $(TOOLS) ## send N=1000 events through the queue at once, measure, and check what comes of them
	$(require_cargo)
	cargo run --locked -p reservation-worker-local -- load $(N) $(SQS)

test: $(TOOLS) ## check format, lints and documentation, run all tests, then the demo
	$(require_cargo)
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS='-D warnings' cargo doc --locked --workspace --no-deps
# The tests start these; built here, their progress can be seen.
	cargo build --release --locked --bins -p reservation-worker -p reservation-worker-functions
	cargo test --locked --workspace
	@$(MAKE) --no-print-directory demo

fmt: ## format the code
	$(require_cargo)
	cargo fmt --all

bench: ## measure what a batch costs
	$(require_cargo)
	cargo bench --locked

clean-tools: ## remove what make tools has installed
	rm -rf .tools

# Without dependencies: tools.txt names, with its version, everything that is needed.
$(TOOLS): tools.txt
	$(call require,python3,https://www.python.org/downloads)
	python3 -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --no-deps -r tools.txt
	@touch $@

$(DEPLOY_TOOLS): deploy-tools.txt $(TOOLS)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --no-deps -r deploy-tools.txt
	@touch $@
