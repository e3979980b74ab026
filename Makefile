.DEFAULT_GOAL := help
.PHONY: help tools demo local load test audit sbom coverage mutants soak lint-template test-template artifact build deploy deploy-built fmt bench clean-tools fuzz

VENV := .tools/venv
TOOLS := $(VENV)/installed
DEPLOY_TOOLS := $(VENV)/installed-deploy

require = @command -v $(1) >/dev/null || { echo "error: $(1) is missing; see $(2)" >&2; exit 1; }
require_cargo = $(call require,cargo,https://rustup.rs)
# For those that know no --locked: Cargo.lock needs no change.
locked = cargo metadata --locked --format-version 1 --manifest-path $(1)Cargo.toml >/dev/null

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-13s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

tools: $(TOOLS) ## install cargo-lambda, moto and what audits into .tools/

demo: export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
demo: $(TOOLS) ## run every event of events/ through the function under cargo lambda, and check what comes of it
	$(require_cargo)
	cargo run --locked -p reservation-worker-local -- demo

# Another SQS than moto: make load N=1000 ENDPOINT=http://localhost:9324
# Services with a fault: make load FAULT='{"effect": {"latency": {"ms": 20}}}'
OPTIONS = $(if $(ENDPOINT),--endpoint $(ENDPOINT)) $(if $(FAULT),--fault '$(FAULT)')
N := 1000

local: $(TOOLS) ## start queue, services and function on this machine, until Ctrl-C
	$(require_cargo)
	cargo run --locked -p reservation-worker-local -- local $(OPTIONS)

load: $(TOOLS) ## send N=1000 events through the queue at once, measure, and check what comes of them
	$(require_cargo)
	cargo run --locked -p reservation-worker-local -- load $(N) $(OPTIONS)

test: $(TOOLS) ## check format, lints, documentation and dependencies, run all tests, then the demo
	$(require_cargo)
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS='-D warnings' cargo doc --locked --workspace --no-deps
	@$(MAKE) --no-print-directory audit
# The tests start these; built here, their progress can be seen.
	cargo build --release --locked --bins -p reservation-worker -p reservation-worker-functions
	cargo test --locked --workspace
	@$(MAKE) --no-print-directory lint-template test-template demo

audit: export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
audit: $(TOOLS) ## hold the dependencies to deny.toml, and find those that nothing uses
	$(require_cargo)
	cargo deny --locked check --deny warnings bans licenses sources
	cargo shear --locked --deny-warnings
	$(call locked,fuzz/)
# cargo deny takes the copy of the index that is there, however old; cargo update refreshes it, and writes nothing.
# On GitHub database and index are at hand: there, not to have them is a failure.
	@cargo deny --locked fetch db && cargo update --quiet --dry-run || \
	  { echo 'NOT CHECKED: advisories and yanked versions. Their database or the index is out of reach.' >&2; \
	  exit $(if $(GITHUB_ACTIONS),1,0); }; cargo deny --locked --offline check --deny index-failure advisories

SBOM := .aws-sam/reservation-worker.cdx.json
sbom: export PATH := $(CURDIR)/.tools/bin:$(PATH)
sbom: .tools/bin/cargo-cyclonedx ## list what is linked into the function, as CycloneDX, in .aws-sam/
	$(call locked,)
	cargo cyclonedx --format json --describe binaries --no-build-deps --target aarch64-unknown-linux-gnu
	mkdir -p $(dir $(SBOM)) && mv reservation-worker_bin.cdx.json $(SBOM)
	rm benches/functions/*_bin.cdx.json local/*_bin.cdx.json # of what is not deployed

# The tests that need no release build.
SHORT := --skip release:: --skip secrets_manager --skip visibility::client

COVERED := 90
coverage: export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
coverage: $(TOOLS) ## measure the lines of src/ that the suite runs, and want 90 % of them
	$(require_cargo)
	@test -n "$$LLVM_PROFDATA" || test -x "$$(rustc --print target-libdir)/../bin/llvm-profdata" || \
	  { echo "error: llvm-tools are missing: rustup component add llvm-tools" >&2; exit 1; }
	cargo llvm-cov --locked -p reservation-worker --test suite --fail-under-lines $(COVERED) -- $(SHORT)

# Without rules::, which read the sources and so mind each mutant.
mutants: export PATH := $(CURDIR)/.tools/bin:$(PATH)
mutants: .tools/bin/cargo-mutants ## break FILE=src/workflow.rs in every small way, and want a test to mind it
	cargo mutants --output .tools --file '$(or $(FILE),src/**/*.rs)' -- --locked --lib --test suite -- $(SHORT) --skip rules::

.tools/bin/cargo-cyclonedx: VERSION := 0.5.9
.tools/bin/cargo-mutants: VERSION := 27.1.0
.tools/bin/%:
	$(require_cargo)
	cargo install --quiet --locked --root .tools --version $(VERSION) $*

# What happens in one of them: make soak SEED=7
SEEDS := 10000
soak: ## live SEEDS=10000 lives of the function in bad weather, each drawn from its number
	$(require_cargo)
	SIMULATION_FIRST=$(or $(SEED),0) SIMULATION_SEEDS=$(if $(SEED),1,$(SEEDS)) \
	  cargo test --locked --test simulation no_seed -- --nocapture

FUZZ := .tools/bin/cargo-fuzz
FUZZ_VERSION := 0.13.1
TARGETS := event payload reservation_api inventory
SECONDS := 60
# What is found on the way stays in fuzz/target; an input that breaks a rule goes to fuzz/artifacts.
fuzz: $(FUZZ) ## fuzz each target for SECONDS=60, from fuzz/corpus and events on
	@cargo +nightly --version >/dev/null 2>&1 || \
	  { echo "error: a nightly toolchain is missing: rustup toolchain install nightly --profile minimal" >&2; exit 1; }
	$(call require,c++,your package manager: libFuzzer is C++)
	$(call locked,fuzz/)
	$(foreach target,$(TARGETS),mkdir -p fuzz/target/found/$(target) && RUSTUP_TOOLCHAIN=nightly $(FUZZ) run $(target) \
	  fuzz/target/found/$(target) fuzz/corpus/$(target) events -- -max_total_time=$(SECONDS) -timeout=10 &&) true

# The parameters that each take another road through the template.
VARIANTS := QueueType=standard QueueType=fifo
lint-template: export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
lint-template: export SAM_CLI_TELEMETRY := 0
lint-template: $(DEPLOY_TOOLS) ## lint template.yaml, for both types of queue
	sam validate --lint --template template.yaml --region $(REGION)
	$(foreach variant,$(VARIANTS),cfn-lint --regions $(REGION) --parameters $(variant) -- template.yaml &&) true

test-template: $(DEPLOY_TOOLS) ## evaluate template.yaml, hold it to its rules, and deploy it into moto
	cd tests/template && ../../$(VENV)/bin/python -m unittest --quiet

# The machine's own architecture, so that it can be run; the function's is arm64 by default.
ARCHITECTURE := $(if $(filter aarch64 arm64,$(shell uname -m)),arm64,x86_64)
REGION := ap-northeast-2
SAM_BUILD := .aws-sam/build/Worker/bootstrap
ZIP = $(or $(CARGO_TARGET_DIR),target)/lambda/reservation-worker/bootstrap.zip
artifact: export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
artifact: export SAM_CLI_TELEMETRY := 0
artifact: $(DEPLOY_TOOLS) ## build what is deployed, with sam and with cargo lambda, and run the sample events through it
	$(require_cargo)
	$(call locked,)
	sam build --parameter-overrides Architecture=$(ARCHITECTURE)
	ARTIFACT=$(CURDIR)/$(SAM_BUILD) cargo test --locked --test artifact
	cargo lambda build --release --locked --bin reservation-worker --output-format zip
	python3 -m zipfile --extract $(ZIP) .aws-sam/zip && chmod +x .aws-sam/zip/bootstrap
	ARTIFACT=$(CURDIR)/.aws-sam/zip/bootstrap cargo test --locked --test artifact
	@ls -l $(ZIP)

ENV := dev
build deploy deploy-built: export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
build deploy deploy-built: export SAM_CLI_TELEMETRY := 0
build: $(DEPLOY_TOOLS) ## build what is deployed, for arm64
	$(require_cargo)
	$(call locked,)
	sam build --config-env $(ENV)

deploy: build ## build, and deploy the stack of samconfig.toml's ENV=dev or prod
	@$(MAKE) --no-print-directory deploy-built

deploy-built: $(DEPLOY_TOOLS) ## deploy what is built
	sam deploy --config-env $(ENV) --parameter-overrides $$(python3 .ci/parameters.py $(ENV) $(SAM_BUILD))

fmt: ## format the code
	$(require_cargo)
	cargo fmt --all

# What a function prints goes into a file; a disk that is slow would be measured.
bench: export TMPDIR := $(firstword $(wildcard /dev/shm) /tmp)
bench: ## measure what the function costs beside a bare one, into docs/performance/
	$(require_cargo)
	cargo bench --locked --bench performance

clean-tools: ## remove what make tools has installed
	rm -rf .tools

# Without dependencies: tools.txt names, with its version, everything that is needed.
$(TOOLS): tools.txt
	$(call require,python3,https://www.python.org/downloads)
	python3 -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --no-deps -r tools.txt
	@touch $@

$(FUZZ):
	$(require_cargo)
	cargo install cargo-fuzz --version $(FUZZ_VERSION) --locked --root .tools

$(DEPLOY_TOOLS): deploy-tools.txt $(TOOLS)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --no-deps -r deploy-tools.txt
	@touch $@
