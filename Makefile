# The commands of this repository for developers and CI. `make help` explains the targets.

LATCHKEY_CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/latchkey
CARGO_TARGET_DIR ?= $(LATCHKEY_CACHE)/target
# VERSION is passed in the environment, so that no shell interprets it.
export LATCHKEY_CACHE CARGO_TARGET_DIR VERSION

.DEFAULT_GOAL := help
.PHONY: help demo demo-down run test test-fast lint fmt fuzz generate bench bench-peers bench-operator test-oldest-kubernetes campaign-server campaign-operator images release cluster-up cluster-down

help: ## Explain the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | awk -F'\t' '{ printf "  make %-17s %s\n", $$1, $$2 }'

demo: ## Start a cluster, install the operator, create an AuthService and log in
	@scripts/demo

demo-down: ## Remove everything that make demo created
	@scripts/demo --down

run: ## Run the server alone with a private PostgreSQL, Redis and SMTP server
	@scripts/run-server

test: ## Run all checks: formatting, lints, unit, API, operator and cluster tests
	@scripts/test

test-fast: ## Run the tests for the inner loop: formatting, unit, settings and most API tests
	@scripts/test --fast

test-oldest-kubernetes: ## Run the operator tests with the API server of the oldest supported Kubernetes
	@scripts/test --oldest-kubernetes

lint: ## Check formatting and lints
	@scripts/test --lint

fmt: ## Format the Rust code
	@cargo fmt --all

fuzz: ## Fuzz the parsers of the server (TARGET=name SECONDS=60; scripts/fuzz --help explains)
	@scripts/fuzz $(if $(TARGET),'$(TARGET)' '$(or $(SECONDS),60)')

generate: ## Write the generated files: the CRD, its copy and README in the chart, the OpenAPI document
	@scripts/generate

bench: ## Measure the server and write docs/reference/performance.md (ten minutes; ARGS=--help explains)
	@scripts/bench $(ARGS)

bench-peers: ## Measure Keycloak and the server in the same run (ARGS=--help explains)
	@scripts/bench-peers $(ARGS)

bench-operator: ## Measure the operator with a thousand AuthServices and a thousand AuthClients (15 minutes)
	@scripts/bench-operator

campaign-server: ## Break everything around the server for a million requests and prove its promises (hours)
	@scripts/campaign-server

images: ## Print all container images of this release (REGISTRY=host/path: as pulled from there)
	@scripts/images $(if $(REGISTRY),'$(REGISTRY)')

campaign-operator: ## Cause a fault in each of 1,500 plans of the operator and require the undisturbed result (PLANS=N SEED=N)
	@scripts/campaign-operator

release: ## Build a release into dist/ (VERSION=x.y.z, ARGS=--help explains); publishes nothing
	@scripts/release "$$VERSION" $(ARGS)

cluster-up: ## Start the one-node test cluster, unless it is running
	@tests/cluster/up

cluster-down: ## Remove the test cluster and all its files
	@tests/cluster/down
