SHELL       := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

GO   ?= go
NPM  ?= npm
NODE ?= node

# golangci-lint is built once a version, outside of the tree, from its own go.mod: its dependencies are none of ours.
GOLANGCI_VERSION := v2.15.0
GOLANGCI_DIR     := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/hotline/golangci-lint-$(GOLANGCI_VERSION)
GOLANGCI         := $(GOLANGCI_DIR)/golangci-lint

# So is govulncheck.
GOVULNCHECK_VERSION := v1.9.0
GOVULNCHECK_DIR     := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/hotline/govulncheck-$(GOVULNCHECK_VERSION)
GOVULNCHECK         := $(GOVULNCHECK_DIR)/govulncheck

# Everything that needs more than the root module's three requirements is a module of its own.
NESTED := $(sort $(patsubst ./%/go.mod,%,$(shell find . -mindepth 2 -name go.mod -not -path '*/node_modules/*' -not -path '*/testdata/*')))

# How long each fuzz target runs: a duration, or a number of inputs such as 10000x.
FUZZTIME ?= 10s
# How long the torture goes on, and from which seed: none is another each time.
TORTURE_TIME ?= 1m
SEED         ?=
# How many storms of each kind make storms runs.
STORMS ?= 500
# How long each storm of make faults goes on; SEED is its seed, too.
FAULTS_TIME ?= 5s
# How long the frame fuzzer goes on.
HOSTILE_TIME ?= 1m
# How long the soak takes, and with how many clients.
SOAK_TIME    ?= 30m
SOAK_CLIENTS ?= 2000
# Which benchmarks run.
BENCH ?= .
# How often each sample of bench-peers is taken, and which workloads; none are all.
ROUNDS ?= 5
ONLY   ?=
# Users' programs that the library has to go on compiling and serving, where they are checked out beside it.
PROGRAMS_DIR ?= ../shared/programs
PROGRAMS     ?= p01client p01server p02chat p03shop p04dash p05game p06board p07alerts p08test p09server p10tenants p11tutorial

ITEST_DIR   := internal/itest
BROWSER_DIR := internal/itest/browser
JS_DIR      := js
BENCH_DIR   := internal/bench

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "  %-12s %s\n", $$1, $$2 }'

.PHONY: test
test: ## Run the tests of the root module
	$(GO) test ./...

.PHONY: race
race: ## Run them under the race detector
	@GO='$(GO)' .ci/race -timeout 20m ./...

.PHONY: promises
promises: ## Run the tests of the promises at full length, on an idle machine
	HOTLINE_FULL=1 $(GO) test -count=1 -v -timeout 30m -run 'TestP[1-8]|TestSlow|TestKernel' .

.PHONY: lint
lint: $(GOLANGCI) ## Check format, vet, golangci-lint, go.mod and go.sum, in every module
	@unformatted=$$(gofmt -l .); if [ -n "$$unformatted" ]; then echo "gofmt -w needed:"; echo "$$unformatted"; exit 1; fi
	@for module in . $(NESTED); do \
		echo "lint $$module"; \
		( cd "$$module"; $(GO) mod tidy -diff; $(GO) mod verify; $(GO) vet ./...; $(GOLANGCI) run ./... ); \
	done
	@for os in darwin windows; do echo "vet for $$os"; GOOS=$$os $(GO) vet ./...; done

$(GOLANGCI):
	@mkdir -p $(GOLANGCI_DIR)
	GOBIN=$(GOLANGCI_DIR) $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_VERSION)

$(GOVULNCHECK):
	@mkdir -p $(GOVULNCHECK_DIR)
	GOBIN=$(GOVULNCHECK_DIR) $(GO) install golang.org/x/vuln/cmd/govulncheck@$(GOVULNCHECK_VERSION)

.PHONY: security
security: $(GOLANGCI) $(GOVULNCHECK) ## Run gosec and staticcheck, which lint has too, and govulncheck, whose database is on the network
	@for module in . $(NESTED); do \
		echo "security $$module"; \
		( cd "$$module"; $(GOLANGCI) run --enable-only gosec,staticcheck ./... ); \
	done
	@curl -fsS -o /dev/null --max-time 20 https://vuln.go.dev/index/db.json || { echo 'vuln.go.dev is out of reach: govulncheck is left out'; exit 0; }; \
	for module in . $(NESTED); do \
		echo "govulncheck $$module"; \
		( cd "$$module"; $(GOVULNCHECK) ./... ); \
	done

.PHONY: models
models: ## Run the model checkers to their full bounds, with their counterexamples
	$(GO) test -count=1 -v ./internal/model

.PHONY: fuzz
fuzz: ## Run every fuzz target for FUZZTIME (10s)
	@GO='$(GO)' FUZZTIME='$(FUZZTIME)' .ci/fuzz . $(NESTED)

.PHONY: torture
torture: ## Put hub and clients under every fault for TORTURE_TIME (1m), from SEED on; SABOTAGE=1 must make it fail
	HOTLINE_TORTURE='$(TORTURE_TIME)' HOTLINE_SEED='$(SEED)' HOTLINE_SABOTAGE='$(SABOTAGE)' \
		$(GO) test -race -count=1 -timeout 0 -run '^TestTorture$$' -v .

.PHONY: storms
storms: ## Run STORMS (500) storms of each kind over one hub and over several, in fake time, each from another seed
	HOTLINE_SEED= HOTLINE_RUNS='$(STORMS)' $(GO) test -count=1 -timeout 0 -run '^Test(P[2-8]|Cluster)' .

.PHONY: faults
faults: ## Put hub and clients behind toxiproxy, nginx, haproxy and a bad network, FAULTS_TIME (5s) each, from SEED; writes internal/itest/faults.md
	cd internal/itest; HOTLINE_TABLE=1 HOTLINE_FAULTS='$(FAULTS_TIME)' HOTLINE_SEED='$(SEED)' $(GO) test -count=1 -timeout 0 ./faults

.PHONY: hostile
hostile: ## Attack a hub with frames and messages that are wrong, for HOSTILE_TIME (1m), from SEED on
	cd $(ITEST_DIR); HOTLINE_HOSTILE='$(HOSTILE_TIME)' HOTLINE_SEED='$(SEED)' $(GO) test -race -count=1 -timeout 0 -run '^TestHostile$$' -v ./hostile

.PHONY: soak
soak: ## Load a hub for SOAK_TIME (30m) with SOAK_CLIENTS (2000), look again after 5 minutes, and draw what it used into internal/itest/soak.md
	cd $(ITEST_DIR); HOTLINE_TABLE=1 HOTLINE_SOAK='$(SOAK_TIME)' HOTLINE_SOAK_CLIENTS='$(SOAK_CLIENTS)' HOTLINE_SEED='$(SEED)' \
		$(GO) test -count=1 -timeout 0 -run '^TestSoak$$' -v ./soak

.PHONY: bench
bench: ## Run the benchmarks that match BENCH
	$(GO) test -run '^$$' -bench '$(BENCH)' -benchmem ./...

.PHONY: bench-peers
bench-peers: ## Measure hotline beside its peers, into internal/bench/results.md; ROUNDS; ONLY=burst,latency prints those
	cd $(BENCH_DIR)/node; $(NPM) ci --no-audit --no-fund
	cd $(BENCH_DIR); $(GO) run . -rounds '$(ROUNDS)' $(if $(ONLY),-only '$(ONLY)',-md results.md -svg burst.svg)

.PHONY: cover
cover: ## Measure coverage across packages, into coverage.out
	$(GO) test -coverpkg=./... -coverprofile=coverage.out ./...
	@$(GO) tool cover -func=coverage.out | tail -n 1

.PHONY: nested
nested: ## Vet and test every nested module
	cd $(BENCH_DIR)/node; $(NPM) ci --no-audit --no-fund
	@[ -d $(BROWSER_DIR)/node_modules ] || { cd $(BROWSER_DIR); $(NPM) ci --no-audit --no-fund; }
	@for module in $(NESTED); do \
		echo "nested $$module"; \
		( cd "$$module"; $(GO) vet ./...; $(GO) test ./... ); \
	done

.PHONY: interop
interop: ## Have WebSocket clients that others wrote speak with a hub, and write the table of it
	@[ -d $(BROWSER_DIR)/node_modules ] || { cd $(BROWSER_DIR); $(NPM) ci --no-audit --no-fund; }
	cd internal/itest; HOTLINE_TABLE=1 $(GO) test -count=1 ./interop

.PHONY: programs
programs: ## Vet and test the users' programs of PROGRAMS_DIR, where they are
	@if [ -x '$(PROGRAMS_DIR)/check' ]; then \
		[ -z '$(strip $(PROGRAMS))' ] || '$(PROGRAMS_DIR)/check' . $(PROGRAMS); \
	elif [ -n "$${CI:-}" ]; then \
		echo '$(PROGRAMS_DIR)/check is missing'; exit 1; \
	else \
		echo 'skipped: no $(PROGRAMS_DIR)/check'; \
	fi

.PHONY: js
js: ## Test the browser client in Node: types, package, rules, and against a hub
	cd $(JS_DIR); $(NPM) ci --no-audit --no-fund; $(NPM) test

.PHONY: browser
browser: ## Run the tests in Chromium, in Firefox, and with third-party JavaScript clients
	@if [ -f $(BROWSER_DIR)/package.json ]; then \
		cd $(BROWSER_DIR); $(NPM) ci --no-audit --no-fund; $(NODE) --test --test-concurrency=2 --test-reporter=spec --test-timeout=180000; \
	else \
		echo 'no $(BROWSER_DIR)'; \
	fi

.PHONY: ci
ci: ## Run everything that decides whether a change lands
	.ci/run
