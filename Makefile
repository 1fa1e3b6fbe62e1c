# Everything a person or CI does with this repository. `make help` explains the targets.

LATCHKEY_CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/latchkey
CARGO_TARGET_DIR ?= $(LATCHKEY_CACHE)/target
# VERSION goes through the environment, so that no shell reads it as code.
export LATCHKEY_CACHE CARGO_TARGET_DIR VERSION

.DEFAULT_GOAL := help
.PHONY: help demo demo-down run test test-fast lint fmt generate bench bench-operator release cluster-up cluster-down

help: ## Explain the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | awk -F'\t' '{ printf "  make %-14s %s\n", $$1, $$2 }'

demo: ## The main job: a cluster, the operator by helm, an AuthService, a login against it
	@scripts/demo

demo-down: ## Remove what make demo left to be tried
	@scripts/demo --down

run: ## The server alone on private PostgreSQL and Redis, for trying the API in a browser
	@scripts/run-server

test: ## Everything: formatting, lints, unit, API, operator and cluster tests
	@scripts/test

test-fast: ## The inner loop: formatting, unit, settings and API tests; no cluster
	@scripts/test --fast

lint: ## Formatting and lints only
	@scripts/test --lint

fmt: ## Format the Rust code
	@cargo fmt --all

generate: ## Write the generated files: the CRD, its copy and README in the chart, the OpenAPI document
	@scripts/generate

bench: ## Print the figures that docs/reference/performance.md speaks of (several minutes)
	@scripts/bench

bench-operator: ## Print what a thousand AuthServices cost the operator and the API server (ten minutes)
	@scripts/bench-operator

release: ## Build a release into dist/ (VERSION=x.y.z, ARGS=--help explains); publishes nothing
	@scripts/release "$$VERSION" $(ARGS)

cluster-up: ## Bring up the one-node test cluster (safe to repeat)
	@tests/cluster/up

cluster-down: ## Remove the test cluster and every trace of it
	@tests/cluster/down
