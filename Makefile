# mqttchat: what can be done here. `make` alone lists it.

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

CARGO ?= cargo
COMPOSE ?= docker compose
PORT ?= 9091

# The tests run with cargo-nextest where it is installed, else with Cargo's own runner.
NEXTEST := $(shell $(CARGO) nextest --version >/dev/null 2>&1 && echo yes)
ifeq ($(NEXTEST),yes)
RUN_TESTS := $(CARGO) nextest run --workspace --locked
ONE_AT_A_TIME :=
else
RUN_TESTS := $(CARGO) test --workspace --locked --no-fail-fast
ONE_AT_A_TIME := -- --test-threads=1
endif

# Always the whole workspace is selected, so that Cargo resolves features once and builds every crate once.
BUILD_SERVER := $(CARGO) build --workspace --bins --locked

.PHONY: help
help: ## Show this list
	@grep -hE '^[a-z0-9 -]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | \
		while IFS=$$'\t' read -r names text; do printf '  %-42s %s\n' "$$names" "$$text"; done

# --- running -----------------------------------------------------------------------------------

.PHONY: run build
run: build ## Build the release binary and run it on 127.0.0.1:9091 (PORT=… for another port)
	exec ./target/release/mqttchat --bind 127.0.0.1 --port $(PORT)

build: ## Build the release binary, target/release/mqttchat
	$(CARGO) build --release --locked --package mqttchat

# --- testing -----------------------------------------------------------------------------------

.PHONY: test test-unit test-component test-fuzz test-contract test-integration test-e2e test-chaos chaos-campaign test-js test-tools
.PHONY: test-system test-ui-acceptance test-functional
test: ## Run all tests: unit, component, fuzzing, contract, integration, end to end, chaos
	@$(MAKE) test-unit
	@$(MAKE) test-component
	@$(MAKE) test-fuzz
	@$(MAKE) test-contract
	@$(MAKE) test-integration
	@$(MAKE) test-e2e
	@$(MAKE) test-chaos

test-unit: test-js ## Tests inside the crates, their examples in the documentation, and the page's scripts
	$(RUN_TESTS) --lib --bins
	$(CARGO) test --workspace --locked --doc --quiet

test-component: test-tools ## Tests of one crate at a time through its public interface (crates/*/tests)
	$(RUN_TESTS) --exclude mqttchat-e2e --test '*'
	tests/autobahn.sh

test-fuzz: test-tools ## What strangers' bytes are parsed by, under a fuzzer for a moment (FUZZ_SECONDS=… for each target)
	@tests/fuzz.sh

test-contract: test-tools ## The client protocol and the HTTP API against the real server (docs/protocol.md, docs/api.md)
	$(BUILD_SERVER)
	$(RUN_TESTS) --test contract --test private --test foreign --test rooms --test sockjs --test toolkit --test api --test security
	tests/schemathesis.sh

test-integration: test-tools ## The real server with both brokers, crashes, stops and wrong settings
	$(BUILD_SERVER)
	$(RUN_TESTS) --test integration --test cluster

test-e2e: test-tools ## The page in real browsers
	$(BUILD_SERVER)
	$(RUN_TESTS) --test browser $(ONE_AT_A_TIME)

test-system test-ui-acceptance test-functional: test-e2e ## The same as test-e2e

# One run at a time, with what it says. CHAOS_SECONDS for more, CHAOS_SEED to replay, CHAOS_ONLY for one run, CHAOS_RATE
# for messages of each device in a second, CHAOS_KILLS for more kills.
test-chaos: test-tools ## People who talk while everything breaks, two minutes of it (CHAOS_SECONDS=… CHAOS_SEED=…)
	$(BUILD_SERVER)
	@tests/chaos.sh

chaos-campaign: test-tools ## The same until 100 kills and 200,000 messages are in, with a table in the end (half an hour)
	$(BUILD_SERVER)
	@tests/campaign.sh

# What they find goes to fuzz/artifacts; inputs that reach something new are kept below fuzz/target.
.PHONY: fuzz
fuzz: ## The same for longer, and with a sanitizer; needs nightly Rust and cargo-fuzz (FUZZ_SECONDS=… for each target)
	for target in $$($(CARGO) +nightly fuzz list); do \
		mkdir -p "fuzz/target/corpus/$$target"; \
		$(CARGO) +nightly fuzz run "$$target" "fuzz/target/corpus/$$target" "fuzz/corpus/$$target" -- \
			-max_total_time=$(or $(FUZZ_SECONDS),60) -max_len=4096; \
	done

# It changes copies of the code, and takes hours on a small machine (MUTANTS=… for some of the crates).
.PHONY: mutants
mutants: ## How many changes of protocol and authorization code the tests notice; at least 80 %; needs cargo-mutants
	@tests/mutants.sh

# What others wrote to test servers, and is for Python 2.7, which systems have no more (PYTHON2=… says where it is).
# Autobahn's cases are part of test-component too, by a runner for today's Python.
.PHONY: sockjs-suite autobahn
sockjs-suite: ## SockJS's own test suite (SUITE=… is a checkout of sockjs-protocol; RUNS=…); needs Python 2.7
	@tests/sockjs-suite.sh

autobahn: ## Autobahn's own test suite of WebSockets (AUTOBAHN_CASES=… for some of it); needs Python 2.7
	@tests/autobahn.sh wstest

# What later versions of Node have by themselves.
NODE_18 := --experimental-global-customevent --experimental-global-webcrypto

test-js: test-tools ## Tests of the page's scripts that need no browser
	cd static && npm ci --no-audit --no-fund && \
		if node --version | grep -q '^v18\.'; then export NODE_OPTIONS='$(NODE_18)'; fi && npm test

test-tools:
	@tests/tools.sh

# --- checking ----------------------------------------------------------------------------------

.PHONY: check fmt check-fmt check-clippy check-docs check-features check-dependencies check-page check-settings
check: check-fmt check-clippy check-docs check-features check-dependencies check-page check-settings ## Everything that can be said without running a test

check-fmt:
	$(CARGO) fmt --all -- --check
	$(CARGO) fmt --manifest-path fuzz/Cargo.toml -- --check

check-clippy:
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings

check-docs:
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc --workspace --no-deps --locked

check-features:
	$(CARGO) clippy --package mqttchat --no-default-features --locked -- -D warnings

check-dependencies:
	@tests/deny.sh

check-page: test-tools
	cd static && npm ci --no-audit --no-fund && npm run check

check-settings:
	$(BUILD_SERVER)
	file=$$(mktemp); trap 'rm -f "$$file"' EXIT; \
		./target/debug/mqttchat default-config > "$$file"; \
		./target/debug/mqttchat check-config --config "$$file"

fmt: ## Format the Rust code
	$(CARGO) fmt --all
	$(CARGO) fmt --manifest-path fuzz/Cargo.toml

# --- containers --------------------------------------------------------------------------------

# The same for the development file alone and, with -prod, for the production variant on top of it.
COMPOSE_DEV := $(COMPOSE) --file docker-compose.yml
COMPOSE_PROD := $(COMPOSE) --file docker-compose.yml --file docker/prod.yml --project-name mqttchat-prod

.PHONY: start start-prod stop stop-prod clean clean-prod check-logs check-logs-prod
.PHONY: check-logs-app check-logs-app-prod system-prune system-prune-prod
start: ## Start the server and Mosquitto with Compose (also: start-prod)
	$(COMPOSE_DEV) up --build --detach --wait

start-prod:
	$(COMPOSE_PROD) up --build --detach --wait

stop: ## Stop them; what they stored stays (also: stop-prod)
	$(COMPOSE_DEV) down

stop-prod:
	$(COMPOSE_PROD) down

clean: ## Stop them and delete everything they stored, and their images (also: clean-prod)
	$(COMPOSE_DEV) down --volumes --remove-orphans --rmi local

clean-prod:
	$(COMPOSE_PROD) down --volumes --remove-orphans --rmi local

check-logs: ## Show the logs of all services (also: check-logs-prod)
	$(COMPOSE_DEV) logs --timestamps

check-logs-prod:
	$(COMPOSE_PROD) logs --timestamps

check-logs-app: ## Show the server's log (also: check-logs-app-prod)
	$(COMPOSE_DEV) logs --timestamps app

check-logs-app-prod:
	$(COMPOSE_PROD) logs --timestamps app

system-prune: ## Delete stopped containers, networks and images of this project (also: system-prune-prod)
	docker system prune --force --all --filter label=com.docker.compose.project=mqttchat

system-prune-prod:
	docker system prune --force --all --filter label=com.docker.compose.project=mqttchat-prod
