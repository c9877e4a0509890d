# make demo   see it work; make test   see it proven; make help   the rest.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help build install tools demo test test-unit test-fuzz test-wasi test-shimtest test-containerd test-cache test-direct test-artifact test-docker test-servers test-k8s test-cgroup2 test-cgroup2-smoke test-apparmor test-sandbox test-deploy test-cri bench bench-runtimes bench-startup bench-wasi bench-servers figures lint clean

NAME := containerd-shim-wazero-v1
CGI := containerd-wazero-cgi
PREFIX ?= /usr/local
GO ?= go
TOOL := cd test/tools && $(GO) run .

help: ## this list
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/\1\t\2/p' Makefile | expand -t 20

build: ## bin/containerd-shim-wazero-v1, and bin/containerd-wazero-cgi for containers in CGI mode
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags='-s -w' -o bin/ ./cmd/$(NAME) ./cmd/$(CGI)

install: build ## copy both to /usr/local/bin
	install -D -m 0755 -t $(DESTDIR)$(PREFIX)/bin bin/$(NAME) bin/$(CGI)

tools: ## daemons and compilers that the tests need, built once into ~/.cache
	$(TOOL) all

demo: ## run the examples under a private containerd
	$(call suite,demo,test/demo)

# Each suite prints its time at the end, also when it fails.
define suite
	@begin=$$SECONDS; rc=0; echo "=== $(1)"; { $(2); } || rc=$$?; \
	echo "=== $(1): $$((SECONDS - begin)) s, exit status $$rc"; exit $$rc
endef

test: ## everything below but test-cgroup2, of which it runs the smoke test
	@begin=$$SECONDS; $(MAKE) --no-print-directory -k tools test-unit test-fuzz test-wasi test-shimtest test-containerd test-direct test-cache test-artifact test-docker test-servers test-k8s test-sandbox test-escape test-deploy test-cri test-cgroup2-smoke test-apparmor; \
	echo "=== all suites passed after $$((SECONDS - begin)) s"

test-unit: ## packages of this module
	$(call suite,unit,test/unit)

test-fuzz: ## every fuzz target with 2000 inputs; test/fuzz 10m for longer
	$(call suite,fuzz,test/fuzz 2000x)

test-wasi: build ## Go's own tests of its standard library as guests, and guests that call the host with nonsense
	$(call suite,wasi,test/wasi/run)

test-shimtest: build ## containerd's conformance suite for shims, with a native and a Wasm guest
	$(call suite,shimtest,test/shimtest/run)

test-containerd: build ## containerd 1.6 to 2.4
	$(call suite,containerd,cd test/integration && $(GO) test -count=1 -p 1 -timeout 30m ./containerd ./shim ./faults)

test-direct: build ## both launchers make the same containers, and what is left to runc
	$(call suite,direct,cd test/integration && $(GO) test -count=1 -timeout 15m ./direct)

test-cache: build ## compiled code: what is compiled when and where, damage, bounds, commands
	$(call suite,cache,cd test/integration && $(GO) test -count=1 -p 1 -timeout 30m ./compiled ./cache)

test-artifact: build ## images that are a module and no root file system, from a registry: ctr, CRI, Docker
	$(call suite,artifact,cd test/integration && $(GO) test -count=1 -timeout 30m ./artifact)

test-docker: build ## dockerd with its own network
	$(call suite,docker,cd test/integration && $(GO) test -count=1 -timeout 30m ./docker)

test-servers: build ## servers that were compiled to Wasm, behind docker run -p
	$(call suite,servers,cd test/integration && $(GO) test -count=1 -timeout 15m ./wasi)

test-escape: ## native code in the guest's place tries to get out of its container, by each launcher
	$(call suite,escape,cd test/integration && $(GO) test -count=1 -v -timeout 15m ./escape)

test-sandbox: build ## pods without a pause container, with containerd 2.1 to 2.4
	$(call suite,sandbox,cd test/integration && $(GO) test -count=1 -timeout 30m ./sandbox)

test-k8s: build ## pods on a real Kubernetes of one node
	$(call suite,k8s,cd test/integration && $(GO) test -count=1 -parallel 4 -timeout 30m ./kubernetes)

# As many virtual machines at a time as there are CPUs: each needs one.
CGROUP2 := cd test/integration && $(GO) test -count=1 -v -p 1 -timeout 60m

test-cgroup2: build ## containers, pods and packages with nothing but cgroup v2, in virtual machines
	$(call suite,cgroup2,$(CGROUP2) ./vm ./cgroup2)

test-cgroup2-smoke: build ## a few of those tests
	$(call suite,cgroup2-smoke,$(CGROUP2) -short ./cgroup2)

test-apparmor: build ## containers under profiles of AppArmor, by each launcher, in a virtual machine
	$(call suite,apparmor,cd test/integration && $(GO) test -count=1 -v -timeout 30m ./apparmor)

test-deploy: build ## deploy/: configurations with the containerds they are for, samples on a real Kubernetes
	$(call suite,deploy,cd test/integration && $(GO) test -count=1 -timeout 15m ./deploy)

test-cri: build ## critest, the conformance suite for runtimes of Kubernetes, on our handlers and on runc
	$(call suite,cri,cd test/integration && $(GO) test -count=1 -v -timeout 30m ./critest)

bench: bench-runtimes bench-startup ## both of these, on a quiet machine

bench-runtimes: build ## runtimes side by side on one containerd: ten minutes, or one with BENCH=-quick; BENCH='-docs ../../docs' writes docs/benchmarks.md
	$(call suite,bench-runtimes,cd bench/runtimes && $(GO) run . $(BENCH))

bench-startup: build ## start times of runners and memory of idle guests, for what the machine is worth now
	CGO_ENABLED=0 $(GO) run ./bench/startup -runner bin/$(NAME)

bench-wasi: ## what guests' calls for files cost, on our host and on wazero's own; a minute
	$(GO) run ./bench/wasi

bench-servers: build ## an HTTP server as a module, natively, and with wazero's own sockets: ten minutes, or one with BENCH=-quick; BENCH='-docs ../../docs' writes docs/server-benchmarks.md
	$(call suite,bench-servers,cd bench/servers && $(GO) run . $(BENCH))

figures: build ## time to the first output, and memory
	cd test/integration && $(GO) test -count=1 -v -run TestFigures ./containerd

lint: ## gofmt, vet, staticcheck
	$(call suite,lint,test/lint)

clean: ## what make build made; the cache of make tools stays
	rm -rf bin
