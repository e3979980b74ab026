.DEFAULT_GOAL := help
.PHONY: pgo-binaries help tools check lint docs demo local services load test audit sbom coverage mutants soak lint-template test-template artifact build same-processor deploy deploy-built fmt bench clean-tools fuzz lock lint-pipeline test-pipeline release package checksums dead-letters test-elasticmq measure-dead-letters ops-binaries test-console test-console-firefox pictures dead-letters-crashes incident test-incidents

VENV := .tools/venv
TOOLS := $(VENV)/installed
DEPLOY_TOOLS := $(VENV)/installed-deploy

require = @command -v $(1) >/dev/null || { echo "error: $(1) is missing; see $(2)" >&2; exit 1; }
require_cargo = $(call require,cargo,https://rustup.rs)
# For commands without the option --locked: fails if Cargo.lock is not up to date.
locked = cargo metadata --locked --format-version 1 --manifest-path $(1)Cargo.toml >/dev/null

TARGET := $(or $(CARGO_TARGET_DIR),target)

# The names of the test targets in a folder.
test_targets = $(sort $(notdir $(basename $(patsubst %/main.rs,%,$(wildcard $(1)/*.rs $(1)/*/main.rs)))))
# The in-process tests. They start neither the function nor moto, so they need only Rust. The others start the function
# (process, queue, load, local, train) or moto (queue, event_source, load, local), or take about a minute (simulation).
IN_PROCESS := $(filter-out process queue simulation,$(call test_targets,tests) $(call test_targets,crates/*/tests))
IN_PROCESS_LOCAL := $(filter-out event_source load local train,$(call test_targets,local/tests))

help: ## print this list of targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { \
	  line = sprintf("make %-20s", $$1); n = split($$2, words, " "); \
	  for (i = 1; i <= n; i++) { \
	    if (length(line " " words[i]) > 80) { print line; line = sprintf("%25s", "") } \
	    line = line " " words[i] \
	  } \
	  print line }' $(firstword $(MAKEFILE_LIST))

tools: $(TOOLS) ## install cargo-lambda, moto and the audit tools into .tools/

check: lint ## check format and lints, and run the unit tests and the in-process tests (needs only Rust)
	cargo test --locked --workspace --lib --bin dead-letters $(addprefix --test ,$(IN_PROCESS) $(IN_PROCESS_LOCAL))

lint:
	$(require_cargo)
	cargo fmt --all --check || { echo 'error: the code is not formatted: run make fmt' >&2; exit 1; }
	cargo clippy --locked --workspace --all-targets -- -D warnings

# Runs a command of the program in local/: demo, local, services, load or train.
LOCAL := cargo run --locked -p reservation-worker-local --
# Announces the first build of a program.
announce_first_build = @test -e $(TARGET)/debug/$(1) || \
  echo 'Building $(1). This takes some minutes ...' >&2

demo: export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
demo: $(TOOLS) ## run every event of events/ through the function under cargo lambda, and check the results
	$(require_cargo)
	$(call announce_first_build,reservation-worker-local)
	$(LOCAL) demo

# Options of make local and make load:
# Another SQS than moto: make load N=1000 ENDPOINT=http://localhost:9324
# A fault in a service: make load FAULT='{"effect": {"latency": {"ms": 20}}}'
OPTIONS = $(if $(ENDPOINT),--endpoint $(ENDPOINT)) $(if $(FAULT),--fault '$(FAULT)')
N := 1000

# Without the console in the browser, or with it on another port: make local CONSOLE=off, make local CONSOLE=8080
local: $(TOOLS) ## start the queue, the services and the function on this machine, until Ctrl-C
	$(require_cargo)
	$(call announce_first_build,reservation-worker-local)
	$(LOCAL) local $(OPTIONS) $(if $(CONSOLE),--console $(CONSOLE))

# This runs in a second shell, while make local runs. To run another command: make dead-letters RUN='plan --action redrive'
# If several make local run, PROCESS=ID selects one. All except the first one print their ID.
RUN := list --what-if
define newline


endef
# RUN may be a command that was copied from a terminal: with line breaks, and with the name of the tool.
run_words = $(subst $(newline), ,$(subst \$(newline), ,$(RUN)))
run_arguments = $(if $(filter dead-letters,$(firstword $(run_words))),$(wordlist 2,$(words $(run_words)),$(run_words)),$(run_words))
DEAD_LETTERS_COMMAND = make dead-letters$(if $(PROCESS), PROCESS=$(PROCESS))
LOCAL_ENVIRONMENT = $(TARGET)/local$(if $(PROCESS),-$(PROCESS)).env
# A process that was killed leaves its file behind.
require_local = @test -e $(LOCAL_ENVIRONMENT) || { \
  printf %s 'error: make local is not running$(if $(PROCESS), with the process id $(PROCESS))'; \
  for file in $(TARGET)/local-*.env; do \
    process=$$(basename $$file .env | cut -d - -f 2); \
    kill -0 "$$process" 2>/dev/null && printf %s "; another one is running: make dead-letters PROCESS=$$process"; \
  done; echo; exit 1; } >&2
dead-letters: ## show the dead letters of make local, and what would happen to them now
	$(require_cargo)
	$(require_local)
	$(call announce_first_build,dead-letters)
	@cargo build --locked -p reservation-worker-ops
# It may have ended during the build.
	$(require_local)
	@. $(abspath $(LOCAL_ENVIRONMENT)) && $(abspath $(TARGET))/debug/dead-letters $(run_arguments) \
	  --queue-url "$$DEAD_LETTER_QUEUE_URL" --event-queue-url "$$EVENT_QUEUE_URL" --log-group "$$LOG_GROUP"
	@echo "To run a command \`dead-letters …\` here: $(DEAD_LETTERS_COMMAND) RUN='…'" >&2

services: ## start the services with the holds and faults that events/ needs, and print the function's variables, until Ctrl-C
	$(require_cargo)
	$(call announce_first_build,reservation-worker-local)
	@$(LOCAL) services --seed

load: $(TOOLS) ## send N=1000 events to the queue at once, measure, and check the results
	$(require_cargo)
	$(call announce_first_build,reservation-worker-local)
	$(LOCAL) load '$(N)' $(OPTIONS)

# NAME is an incident of docs/incidents.md. With SCRIPT=1, the program ends the incident itself, with the commands of the
# runbook: make incident NAME=refunds SCRIPT=1
COUNT := 200
incident: $(TOOLS) $(DEPLOY_TOOLS) ## stage the incident NAME=… on the local stack, so that you end it with the runbook
	$(require_cargo)
	cargo build --locked --bins -p reservation-worker-local -p reservation-worker-ops
	@$(VENV)/bin/python local/incidents/incident.py $(NAME) $(if $(SCRIPT),--script) --count $(COUNT)

test-incidents: $(TOOLS) $(DEPLOY_TOOLS) ## stage two incidents, and run the commands of the runbook for each alarm
	cd local/incidents && ../../$(VENV)/bin/python -m unittest --quiet

test: $(TOOLS) lint ## check format, lints, documentation and dependencies, run all tests and the demo
	RUSTDOCFLAGS='-D warnings' cargo doc --locked --workspace --no-deps
	@$(MAKE) --no-print-directory audit
# The tests would build these binaries themselves, but without showing the progress of the build.
	cargo build --profile process --locked --bins -p reservation-worker -p reservation-worker-functions
	cargo test --locked --workspace
# The tests have built the command of the demo. cargo run would compile its dependencies again with fewer features.
	@$(MAKE) --no-print-directory lint-template test-template test-pipeline test-incidents test-console demo LOCAL=$(TARGET)/debug/reservation-worker-local

audit: export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
audit: $(TOOLS) lint-pipeline ## check dependencies, workflows, scripts and templates for known mistakes and vulnerabilities
	$(require_cargo)
	cargo deny --locked check --deny warnings bans licenses sources
	cargo shear --locked --deny-warnings
	$(call locked,fuzz/)
# cargo deny uses the local copy of the index, however old it is. cargo update --dry-run refreshes it and writes nothing
# else. GitHub's machines can always reach the database and the index, so there a failure to fetch them is an error.
	@cargo deny --locked fetch db && cargo update --quiet --dry-run || \
	  { echo 'NOT CHECKED: advisories and yanked versions. The advisory database or the index cannot be reached.' >&2; \
	  exit $(if $(GITHUB_ACTIONS),1,0); }; cargo deny --locked --offline check --deny index-failure advisories

# The shell scripts of the repository.
SCRIPTS = $(shell git grep --files-with-matches --extended-regexp '^\#!.*\b(ba)?sh$$' -- .ci tests local 2>/dev/null)
# A check that needs a program which a newcomer may not have. On GitHub's machines, a missing program is an error.
check_with = if ! command -v $(1) >/dev/null; then \
  echo 'NOT CHECKED: workflows or scripts, because $(1) is missing: $(2).' >&2; exit $(if $(GITHUB_ACTIONS),1,0); else
# These tools work without a network. Beside each suppressed finding is the reason, where the tool allows a comment there.
CHECKOV := .tools/checkov/bin/checkov
ACTIONLINT := .tools/bin/actionlint
lint-pipeline: export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
lint-pipeline: $(TOOLS) $(CHECKOV) ## check workflows, scripts and templates with zizmor, actionlint, shellcheck and checkov
	zizmor --offline --quiet --persona pedantic .github
	@$(call check_with,go,actionlint is built with Go) $(MAKE) --no-print-directory $(ACTIONLINT) && $(ACTIONLINT); fi
	@$(call check_with,shellcheck,there is no wheel of it for Linux on arm64) shellcheck $(SCRIPTS); fi
	$(CHECKOV) --framework cloudformation --file template.yaml pipeline.yaml --compact --quiet --skip-download

SBOM := .aws-sam/reservation-worker.cdx.json
sbom: export PATH := $(CURDIR)/.tools/bin:$(PATH)
sbom: .tools/bin/cargo-cyclonedx ## write to .aws-sam/ CycloneDX lists of the crates in the function and in dead-letters
	$(call locked,)
	cargo cyclonedx --format json --describe binaries --no-build-deps --target $(subst arm64,aarch64,$(ARCHITECTURE))-unknown-linux-gnu
	mkdir -p $(dir $(SBOM)) && mv reservation-worker_bin.cdx.json $(SBOM)
	mv ops/dead-letters_bin.cdx.json .aws-sam/dead-letters.cdx.json
	rm benches/functions/*_bin.cdx.json local/*_bin.cdx.json # not deployed

COVERED := 90
coverage: export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
coverage: $(TOOLS) ## measure which lines the in-process tests run, and fail below 90 %
	$(require_cargo)
	@test -n "$$LLVM_PROFDATA" || test -x "$$(rustc --print target-libdir)/../bin/llvm-profdata" || \
	  { echo "error: llvm-tools are missing: rustup component add llvm-tools" >&2; exit 1; }
	cargo llvm-cov --locked --workspace --exclude reservation-worker-local --exclude reservation-worker-ops --exclude reservation-worker-functions \
	  --fail-under-lines $(COVERED) --lib $(addprefix --test ,$(IN_PROCESS))

mutants: export PATH := $(CURDIR)/.tools/bin:$(PATH)
mutants: .tools/bin/cargo-mutants ## make small changes to src/ (or to one file: FILE=src/workflow.rs), and list those that no test detects
	cargo mutants --output .tools --file '$(or $(FILE),src/**/*.rs)' --test-workspace true \
	  -- --locked --lib $(addprefix --test ,$(IN_PROCESS) process)

.tools/bin/cargo-cyclonedx: VERSION := 0.5.9
.tools/bin/cargo-mutants: VERSION := 27.1.0
.tools/bin/%:
	$(require_cargo)
	cargo install --quiet --locked --root .tools --version $(VERSION) $*

# To use other seeds than 0 to 9999: make soak FIRST=10000. To see what happens with one seed: make soak SEED=7
SEEDS := 10000
FIRST := 0
soak: ## simulate SEEDS=10000 runs of the function with random failures, which are derived from the seed of the run
	$(require_cargo)
	SIMULATION_FIRST=$(or $(SEED),$(FIRST)) SIMULATION_SEEDS=$(if $(SEED),1,$(SEEDS)) \
	  cargo test --locked --test simulation seeds:: -- --nocapture

ELASTICMQ := .tools/elasticmq
test-elasticmq: ## test dead-letters over another implementation of SQS, ElasticMQ (needs Java and Maven)
	$(require_cargo)
	ops/tests/elasticmq/run $(ELASTICMQ) endpoint::

dead-letters-crashes: $(TOOLS) ## kill dead-letters a hundred times while it redrives, and check that no letter is lost
	$(require_cargo)
	DEAD_LETTERS_CRASHES=100 cargo test --locked -p reservation-worker-ops --test dead_letters after_crashes

# To use another number of letters: make measure-dead-letters LETTERS=1000
LETTERS := 10000
measure-dead-letters: $(TOOLS) ## list LETTERS=10000 dead letters of every reason over ElasticMQ, and print time and memory
	$(require_cargo)
	DEAD_LETTERS_MANY=$(LETTERS) ops/tests/elasticmq/run $(ELASTICMQ) letters_of_every_reason

OPS_BINARIES := .aws-sam/dead-letters
ops-binaries: export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
ops-binaries: $(DEPLOY_TOOLS) ## build dead-letters for Linux on x86-64 and arm64, with its completions and man pages
	$(require_cargo)
	mkdir -p $(OPS_BINARIES)/man
	$(foreach target,x86-64 arm64,cargo lambda build --release --locked --package reservation-worker-ops --$(target) && \
	  cp $(LAMBDA_BUILD)/dead-letters/bootstrap $(OPS_BINARIES)/dead-letters-$(target) &&) true
	cargo run --locked --quiet -p reservation-worker-ops -- man --directory $(OPS_BINARIES)/man
	for shell in bash zsh fish; do \
	  cargo run --locked --quiet -p reservation-worker-ops -- completions $$shell > $(OPS_BINARIES)/completions.$$shell; done

FUZZ := .tools/bin/cargo-fuzz
FUZZ_VERSION := 0.13.1
TARGETS := event payload reservation_api inventory
SECONDS := 60
# New inputs are written to fuzz/target, and inputs that break a rule to fuzz/artifacts.
fuzz: $(FUZZ) ## fuzz each target for SECONDS=60, starting from fuzz/corpus and events
	@cargo +nightly --version >/dev/null 2>&1 || \
	  { echo "error: a nightly toolchain is missing: rustup toolchain install nightly --profile minimal" >&2; exit 1; }
	$(call require,c++,your package manager: libFuzzer is C++)
	$(call locked,fuzz/)
	$(foreach target,$(TARGETS),mkdir -p fuzz/target/found/$(target) && RUSTUP_TOOLCHAIN=nightly $(FUZZ) run $(target) \
	  fuzz/target/found/$(target) fuzz/corpus/$(target) events -- -max_total_time=$(SECONDS) -timeout=10 &&) true

# Parameters that change the conditions of the template.
VARIANTS := QueueType=standard QueueType=fifo
lint-template: export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
lint-template: export SAM_CLI_TELEMETRY := 0
lint-template: $(DEPLOY_TOOLS) ## lint template.yaml, for both types of queue, and pipeline.yaml
	sam validate --lint --template template.yaml --region $(REGION)
	$(foreach variant,$(VARIANTS),cfn-lint --regions $(REGION) --parameters $(variant) -- template.yaml &&) true
	cfn-lint --regions $(REGION) -- pipeline.yaml

test-pipeline: $(DEPLOY_TOOLS) ## check the tools, the workflows and the release script
	$(VENV)/bin/python -m unittest discover --quiet --start-directory tests/pipeline

test-template: $(DEPLOY_TOOLS) ## evaluate template.yaml, check its rules, and deploy it to moto
	cd tests/template && ../../$(VENV)/bin/python -m unittest --quiet

# The first of these browsers that is installed. The Python packages that control it have their own virtual environment,
# because they are large.
BROWSER := $(firstword $(foreach name,chromium chromium-browser google-chrome,$(shell command -v $(name))))
CONSOLE_TOOLS := .tools/console/installed
test-console: export BROWSER := $(BROWSER)
test-console: $(if $(BROWSER),$(TOOLS) $(CONSOLE_TOOLS)) ## test the console of make local in Chromium, and write pictures of it to target/console/
ifeq ($(BROWSER),)
	@echo 'NOT CHECKED: the console. No Chromium is installed.' >&2
else
	$(require_cargo)
# make test sets LOCAL on the command line after it has built these two programs. Otherwise they are built here.
	$(if $(filter command line,$(origin LOCAL)),,cargo build --locked -p reservation-worker-local -p reservation-worker-ops)
	cargo build --profile process --locked --bins -p reservation-worker -p reservation-worker-functions
	cd tests/console && LOCAL=$(abspath $(TARGET))/debug/reservation-worker-local \
	  DEAD_LETTERS=$(abspath $(TARGET))/debug/dead-letters FUNCTION_BINARIES=$(or $(FUNCTION_BINARIES),$(abspath $(TARGET))/process) \
	  ../../.tools/console/bin/python -m unittest --quiet
endif

FIREFOX := $(firstword $(foreach name,firefox-esr firefox,$(shell command -v $(name))))
test-console-firefox: ## test the console of make local in Firefox
	@test -n '$(FIREFOX)' || { echo 'error: no Firefox is installed' >&2; exit 1; }
	$(MAKE) --no-print-directory test-console BROWSER=$(FIREFOX)

# This runs only in a terminal, because the recorder needs one. The prerequisite test-console builds the function, so the
# recording shows no build.
pictures: export PATH := $(CURDIR)/.tools/console/bin:$(CURDIR)/$(VENV)/bin:$(PATH)
pictures: test-console ## make new pictures for the README: the console, and a recording of make demo
	mkdir -p docs/pictures
	cp target/console/live-1280.png docs/pictures/console.png
	termtosvg docs/pictures/demo.svg --screen-geometry 80x30 --min-frame-duration 300 --max-frame-duration 1000 \
	  --loop-delay 5000 --command '$(abspath $(TARGET))/debug/reservation-worker-local demo'

# The architecture of this machine, so that the tests can run the function. The default of the template is arm64.
ARCHITECTURE := $(if $(filter aarch64 arm64,$(shell uname -m)),arm64,x86_64)
REGION := ap-northeast-2
SAM_BUILD := .aws-sam/build/Worker/bootstrap
LAMBDA_BUILD := $(TARGET)/lambda
BINARIES := .aws-sam/binaries
test_artifact = cp $(1) $(BINARIES)/reservation-worker && FUNCTION_BINARIES=$(BINARIES) cargo test --locked --test process
# cargo lambda passes these options to the compiler. The variable RUSTFLAGS would replace them, so a build that sets it
# repeats them.
TRIPLE := $(if $(filter arm64,$(ARCHITECTURE)),aarch64,x86_64)-unknown-linux-gnu
CPU := -C target-cpu=$(if $(filter arm64,$(ARCHITECTURE)),neoverse-n1,haswell)

# Profile-guided optimisation: make artifact PGO=1, make build PGO=1. A function that counts how often each part of its
# code runs is trained with all kinds of events, and the compiler optimises for what it counted. The training runs the
# function, so the profile is for the architecture of this machine.
PGO_FOLDER := $(abspath $(TARGET))/pgo
PROFILE := $(if $(PGO),$(PGO_FOLDER)/reservation-worker.profdata)
pgo_flags = -C profile-use=$(PGO_FOLDER)/$(1).profdata -C link-arg=-Wl,-T,$(PGO_FOLDER)/$(1).ld
use_profile = $(if $(PROFILE),RUSTFLAGS='$(CPU) $(call pgo_flags,reservation-worker)')
# Fails if the compiler has recognised hardly any function of the profile.
check_profile = $(if $(PROFILE),'$(dir $(LLVM_PROFDATA))llvm-size' -A $(1) | awk '{ size[$$1] = $$2 } END { \
  if (size[".text.hot"] * 10 < size[".text"] || !size[".text.idle"]) \
    { print "error: the profile does not fit to the code"; exit 1 } }' >&2)
LLVM_PROFDATA ?= $(shell rustc --print target-libdir 2>/dev/null)/../bin/llvm-profdata
require_llvm_tools = @test -x '$(LLVM_PROFDATA)' || \
  { echo "error: llvm-tools are missing: rustup component add llvm-tools" >&2; exit 1; }
# The profile names functions by hashes. Cargo computes the same hashes as in cargo lambda build only if the same packages
# are selected and if these variables are set, as cargo lambda does.
AS_CARGO_LAMBDA := CARGO_TARGET_APPLIES_TO_HOST=false CARGO_UNSTABLE_TARGET_APPLIES_TO_HOST=true \
  __CARGO_TEST_CHANNEL_OVERRIDE_DO_NOT_USE_THIS=nightly
select = $(if $(filter reservation-worker,$(1)),-p $(1),-p reservation-worker-functions) --bin $(1)
SOURCES = $(shell git ls-files Cargo.toml Cargo.lock build.rs proto src crates local benches/functions 2>/dev/null)
$(PGO_FOLDER)/%.profdata: $(SOURCES) tools/code_order.py
	$(require_cargo)
	$(require_llvm_tools)
	$(AS_CARGO_LAMBDA) RUSTFLAGS='$(CPU) -C profile-generate' cargo build --release --locked --target $(TRIPLE) \
	  --target-dir $(PGO_FOLDER)/instrumented $(call select,$*)
	rm -rf $(PGO_FOLDER)/raw/$*
	LLVM_PROFILE_FILE=$(PGO_FOLDER)/raw/$*/%m.profraw $(LOCAL) train $(if $(filter minimal_function,$*),--expired) \
	  $(PGO_FOLDER)/instrumented/$(TRIPLE)/release/$*
# Cargo does not notice a new profile, so what was built with the old one is removed.
	rm -rf $(PGO_FOLDER)/optimised $(TARGET)/$(TRIPLE)/release
	'$(LLVM_PROFDATA)' merge --output $@ $(PGO_FOLDER)/raw/$*
	{ '$(LLVM_PROFDATA)' show --all-functions --counts --output $(PGO_FOLDER)/$*.txt $@ && \
	  python3 tools/code_order.py < $(PGO_FOLDER)/$*.txt > $(PGO_FOLDER)/$*.ld; } || { rm $@; exit 1; }

artifact build deploy deploy-built: export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
artifact build deploy deploy-built: export SAM_CLI_TELEMETRY := 0
artifact: $(DEPLOY_TOOLS) $(PROFILE) ## build the function for deployment, with sam and with cargo lambda, and run the process tests on both
	$(require_cargo)
	$(call locked,)
	mkdir -p $(BINARIES)
	cargo lambda build --release --locked --package reservation-worker-functions --bin panicking_handler
	cp $(LAMBDA_BUILD)/panicking_handler/bootstrap $(BINARIES)/panicking_handler
	$(use_profile) cargo lambda build --release --locked --bin reservation-worker --output-format zip
	python3 -m zipfile --extract $(LAMBDA_BUILD)/reservation-worker/bootstrap.zip .aws-sam/zip
	chmod +x .aws-sam/zip/bootstrap
	$(call check_profile,.aws-sam/zip/bootstrap)
	$(call test_artifact,.aws-sam/zip/bootstrap)
	@ls -l $(LAMBDA_BUILD)/reservation-worker/bootstrap.zip
	$(call sam_build,--parameter-overrides Architecture=$(ARCHITECTURE))
	$(call check_profile,$(SAM_BUILD))
	$(call test_artifact,$(SAM_BUILD))

ENV := dev
# Also writes the parameters of each environment, so that deploy-built needs no Python package.
sam_build = $(use_profile) sam build $(1) && python .ci/parameters.py $(SAM_BUILD) .aws-sam/build
# The architecture that samconfig.toml names for this environment; the template's default is arm64.
DEPLOYED = $(or $(shell sed -n '/^\[$(ENV)\.deploy/,/^\[/s/.*"Architecture=\(.*\)".*/\1/p' samconfig.toml),arm64)
same-processor:
	@test "$(DEPLOYED)" = "$(ARCHITECTURE)" || { echo "error: PGO=1 runs the function, so it needs a machine with the" \
	  "processor $(DEPLOYED). This one has $(ARCHITECTURE)." >&2; exit 1; }
build: $(if $(PGO),same-processor) $(DEPLOY_TOOLS) $(PROFILE) ## build the function for deployment to ENV=dev or ENV=prod, with the architecture in samconfig.toml
	$(require_cargo)
	$(call locked,)
	$(call sam_build,--config-env $(ENV))
	$(call check_profile,$(SAM_BUILD))

deploy: build ## build the function, and deploy the stack of ENV=dev or ENV=prod in samconfig.toml
	@$(MAKE) --no-print-directory deploy-built

# The three variables are outputs of pipeline.yaml. Without them, sam uses the permissions of the user and its own bucket.
deploy-built: ## deploy the function that make build or make artifact has built; this installs nothing
	$(call require,sam,make build)
	sam deploy --config-env $(ENV) --parameter-overrides $$(cat .aws-sam/build/parameters.$(ENV)) \
	  $(if $(ARTIFACT_BUCKET),--no-resolve-s3 --s3-bucket $(ARTIFACT_BUCKET)) \
	  $(if $(CLOUDFORMATION_ROLE_ARN),--role-arn $(CLOUDFORMATION_ROLE_ARN)) \
	  $(if $(SIGNING_PROFILE),--signing-profiles Worker=$(SIGNING_PROFILE))

VERSION_OF_CODE = $(shell sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)
release: ## make the commit and the tag of the release VERSION=1.2.3; pushing the tag publishes it
	$(require_cargo)
	@.ci/release "$(VERSION)"

DEAD_LETTERS = dist/dead-letters-$(VERSION_OF_CODE)-$(ARCHITECTURE)

# To check that a tag names the version of the code: make package TAG=v1.2.3
package: ## build and test what a release contains, for the processor of this machine, and write it to dist/
	@test -z "$(TAG)" -o "$(TAG)" = "v$(VERSION_OF_CODE)" || \
	  { echo "error: the tag is $(TAG), but the version of the code is $(VERSION_OF_CODE)" >&2; exit 1; }
	@$(MAKE) --no-print-directory artifact sbom ops-binaries
	rm -rf dist && mkdir dist
	cp $(LAMBDA_BUILD)/reservation-worker/bootstrap.zip dist/reservation-worker-$(VERSION_OF_CODE)-$(ARCHITECTURE).zip
	cp $(SBOM) dist/reservation-worker-$(ARCHITECTURE).cdx.json
	mkdir $(DEAD_LETTERS)
	cp -r $(OPS_BINARIES)/man $(OPS_BINARIES)/completions.* LICENSE $(DEAD_LETTERS)
	cp $(OPS_BINARIES)/dead-letters-$(subst _,-,$(ARCHITECTURE)) $(DEAD_LETTERS)/dead-letters
	tar -C dist -czf $(DEAD_LETTERS).tar.gz $(notdir $(DEAD_LETTERS)) && rm -r $(DEAD_LETTERS)
	cp .aws-sam/dead-letters.cdx.json dist/dead-letters-$(ARCHITECTURE).cdx.json

checksums: ## write the hashes of the files in dist/ to dist/SHA256SUMS
	cd dist && rm -f SHA256SUMS && sha256sum -- * > ../SHA256SUMS && mv ../SHA256SUMS .

docs: ## write the tables in docs/ that are generated from the code
	$(require_cargo)
	WRITE_DOCS=1 cargo test --locked --test suite docs::

fmt: ## format the code
	$(require_cargo)
	cargo fmt --all

# The PGO builds of the benchmark. Like its builds without PGO, they do not use cargo lambda.
PGO_BINARIES := $(PGO_FOLDER)/binaries
PGO_PROGRAMS := reservation-worker minimal_function
pgo-binaries: $(PGO_PROGRAMS:%=$(PGO_FOLDER)/%.profdata)
	mkdir -p $(PGO_BINARIES)
	$(foreach program,$(PGO_PROGRAMS),$(AS_CARGO_LAMBDA) RUSTFLAGS="$(CPU) $(call pgo_flags,$(program))" \
	  cargo build --release --locked --target $(TRIPLE) --target-dir $(PGO_FOLDER)/optimised $(call select,$(program)) && \
	  cp $(PGO_FOLDER)/optimised/$(TRIPLE)/release/$(program) $(PGO_BINARIES) &&) true

# To compare with another version of the function: make bench BEFORE=path/to/binary
# To measure one part and only print it: make bench ONLY=batch-100. With few rounds: make bench ROUNDS=6
# The output of a function goes to a temporary file. It is in memory, so that a slow disk does not change the measurements.
bench: export TMPDIR := $(firstword $(wildcard /dev/shm) /tmp)
bench: export PGO_BINARIES := $(if $(wildcard $(LLVM_PROFDATA)),$(PGO_BINARIES))
bench: $(if $(wildcard $(LLVM_PROFDATA)),pgo-binaries) ## compare the function with a minimal one and one in Go for 25 minutes, and write docs/performance/
	$(require_cargo)
	cargo bench --locked --bench performance

clean-tools: ## remove the installed tools
	rm -rf .tools

# Makes a virtual environment for Python.
define make_venv
	$(call require,python3,https://www.python.org/downloads)
	@python3 -c 'import sys; sys.version_info >= (3, 10) or sys.exit("error: python3 is Python " + \
	  sys.version.split()[0] + ", but Python 3.10 or newer is needed; see https://www.python.org/downloads")'
	python3 -m venv $(1)
endef

# Python packages are installed only as wheels whose hashes are in a lock file, which names the dependencies as well.
# No code of a package runs here.
install = $(1)/bin/pip install --quiet --disable-pip-version-check --require-hashes --no-deps --only-binary :all: -r $(2) && \
  $(1)/bin/pip check --disable-pip-version-check >&2

$(TOOLS): tools/base.txt
# Most targets that need these tools need Cargo, too. Without it, nothing is installed.
	$(require_cargo)
	$(call make_venv,$(VENV))
	$(call install,$(VENV),$<)
	@touch $@

$(CONSOLE_TOOLS): tools/console.txt
	$(call make_venv,.tools/console)
	$(call install,.tools/console,$<)
	@touch $@

$(CHECKOV): tools/checkov.txt
	$(call make_venv,.tools/checkov)
	$(call install,.tools/checkov,$<)
	@touch $@

# PyPI has no package that contains actionlint. Go checks its modules against the hashes in go.sum.
$(ACTIONLINT): tools/actionlint/go.mod tools/actionlint/go.sum
	$(call require,go,https://go.dev/dl)
	cd tools/actionlint && go build -mod=readonly -o ../../$@ github.com/rhysd/actionlint/cmd/actionlint

$(FUZZ):
	$(require_cargo)
	cargo install cargo-fuzz --version $(FUZZ_VERSION) --locked --root .tools

$(DEPLOY_TOOLS): tools/deploy.txt $(TOOLS)
	$(call install,$(VENV),$<)
	@touch $@

# Releases of packages that are younger than seven days are not used: a malicious release is usually found within days.
# To update the packages that no .in file pins: make lock UPGRADE=--upgrade
lock: export PATH := $(CURDIR)/.tools/lock/bin:$(PATH)
lock: ## write the lock files tools/*.txt from tools/*.in
	$(call make_venv,.tools/lock)
	$(call install,.tools/lock,tools/lock.txt)
	@set -e; compile() { uv pip compile --quiet --universal --python-version 3.10 --generate-hashes --only-binary :all: \
	  --no-annotate --no-header --exclude-newer '7 days' $(UPGRADE) $$1.in --output-file $$1.txt $$2; }; cd tools; \
	  compile lock; compile checkov; compile console; compile deploy; compile base '--constraints deploy.txt'
