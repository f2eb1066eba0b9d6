# Every go.mod of the repository, the root first; each target that must hold
# everywhere walks this one list.
MODULES := $(shell find . -name go.mod -not -path './.git/*' -exec dirname {} \; | sort)
# What users import: the packages whose API and coverage are recorded.
PUBLIC := . ./conn ./framing ./framing/envelope ./retry ./pool ./pool/backend ./pool/engine ./pool/puddlepool ./pool/slotpool ./pool/pooltest ./pool/pipeline ./pool/resolve ./pool/balance ./server ./server/debugpage

GO ?= go
FUZZTIME ?= 60s
DURATION ?= 10m
# Flags of the report, for example BENCH="-rounds 5" or BENCH=-short.
BENCH ?=
# Packages that make mutants changes, and its flags, for example
# MUTANTS="-n 50 -seed 2" for a sample; without, it tries all and takes hours.
MUTATE ?= server conn pool pool/pipeline
MUTANTS ?=
# Flags of the chaos suite, for example CHAOS=-short or CHAOS="-case partition".
CHAOS ?=
MINCOVER ?= 90
STATICCHECK := $(CURDIR)/bin/staticcheck

# each runs its argument in every module, and stops at the first that fails.
each = @set -e; for m in $(MODULES); do echo "--- $$m: $(1)"; (cd $$m && $(1)); done

.DEFAULT_GOAL := help
.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' Makefile

# Tests mostly wait, so modules are tested JOBS at a time; 1 is one after another.
# The order is that of MODULES, but what takes longest begins first.
JOBS ?= 4
TESTED := . ./internal/benchmarks ./internal/conformance
TESTED += $(filter-out $(TESTED),$(MODULES))
at_once = @$(MAKE) --no-print-directory -j $(JOBS)

.PHONY: test
test: ## run the tests of every module; conn and server also as where ReadLoop does not work
	$(at_once) $(TESTED:%=test/%) test/noloop

.PHONY: $(TESTED:%=test/%) test/noloop
$(TESTED:%=test/%): test/%:
	cd $* && $(GO) test -shuffle=on ./...
test/noloop:
	$(GO) test -shuffle=on -tags gtcp_noloop ./conn ./server

.PHONY: race
race: ## run the tests of every module under the race detector, but those that only start programs built without it
	$(at_once) $(TESTED:%=race/%)

.PHONY: $(TESTED:%=race/%)
race/./internal/benchmarks: SHORT := -short
$(TESTED:%=race/%): race/%:
	cd $* && GTCP_WINDOWS=off $(GO) test -race -shuffle=on $(SHORT) ./...

.PHONY: lint
lint: fmt tidy vet staticcheck ## format, go.mod, vet and staticcheck, all as checks

.PHONY: fmt
fmt: ## fail on a file gofmt would change
	@out=$$(gofmt -l .); [ -z "$$out" ] || { echo "gofmt these:"; echo "$$out"; exit 1; }

.PHONY: tidy
tidy: ## fail if go mod tidy would change a go.mod or go.sum
	$(call each,$(GO) mod tidy -diff)

.PHONY: vet
vet: ## go vet in every module
	$(call each,$(GO) vet ./...)

.PHONY: staticcheck
staticcheck: $(STATICCHECK) ## the pinned staticcheck in every module
	$(call each,$(STATICCHECK) ./...)

$(STATICCHECK): internal/tools/go.mod internal/tools/go.sum
	$(GO) -C internal/tools build -o $@ honnef.co/go/tools/cmd/staticcheck

.PHONY: cross
cross: ## build and vet, tests included, for windows, darwin and 32-bit linux
	GOOS=windows GOARCH=amd64 $(GO) vet ./...
	GOOS=darwin GOARCH=arm64 $(GO) vet ./...
	GOOS=linux GOARCH=386 $(GO) vet ./...

.PHONY: windows
windows: ## run every package's tests as Windows builds under wine, where it is installed
	GTCP_WINDOWS=all $(GO) -C internal/conformance test -count=1 -timeout 30m -v -run '^TestWindowsUnderWine$$' .

.PHONY: api
api: ## record the public API in docs/api.txt
	@$(GO) -C internal/tools run ./apisnap -root $(CURDIR) $(PUBLIC) > docs/api.txt

.PHONY: api-check
api-check: ## fail if the public API is not the recorded one
	@$(GO) -C internal/tools run ./apisnap -root $(CURDIR) $(PUBLIC) | diff -u docs/api.txt - || \
		{ echo "the public API changed: run make api, and say so in CHANGELOG.md"; exit 1; }

.PHONY: cover
cover: ## fail if a public package has less than MINCOVER percent statement coverage
	@$(GO) test -cover $(PUBLIC) | awk -v min=$(MINCOVER) '{print} \
		/^FAIL|no test files/ {bad=1} \
		match($$0, /coverage: [0-9.]+%/) {c=substr($$0, RSTART+10, RLENGTH-11); if (c+0 < min) {bad=1; print "  ^ below " min "%"}} \
		END {exit bad}'

.PHONY: fuzz
fuzz: ## run each fuzz target for FUZZTIME
	@set -e; for p in $$($(GO) list ./...); do \
		for f in $$($(GO) test -list '^Fuzz' $$p | grep '^Fuzz' || true); do \
			echo "--- $$p $$f"; $(GO) test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x $$p; \
		done; done

.PHONY: bench
bench: ## compare with peers, in less than ten minutes, and write docs/benchmarks.md with its charts
	$(GO) -C internal/benchmarks run ./report $(BENCH)

.PHONY: charts
charts: ## draw the charts of docs/benchmarks.md and docs/chaos.md again, from their tables
	$(GO) -C internal/benchmarks run ./report -charts
	$(GO) -C internal/benchmarks run ./chaos -charts

.PHONY: load-page
load-page: ## run the commands of docs/load-testing.md and docs/tuning.md, and write their output and charts
	$(GO) -C examples/load test -count=1 -timeout 10m -run '^TestPages$$' . -update

.PHONY: soak
soak: ## break the Client's connections for DURATION, a pipeline's as long, then stress the pools as long
	GTCP_SOAK=$(DURATION) $(GO) test -count=1 -timeout 0 -v -run '^TestClientSoak$$' .
	GTCP_SOAK=$(DURATION) $(GO) test -race -count=1 -timeout 0 -v -run '^TestSoakOfNumberedCalls$$' ./pool/pipeline
	POOLTEST_STRESS=$(DURATION) $(GO) test -race -count=1 -timeout 0 -v -run '^TestConformance$$/^stress$$' \
		./pool/puddlepool ./pool/slotpool ./examples/custompool

.PHONY: chaos
chaos: ## break a network under load in every way, beside peers, and write docs/chaos.md with its chart (needs root)
	$(GO) -C internal/benchmarks run ./chaos $(CHAOS)

.PHONY: mutants
mutants: ## change MUTATE's code in small ways, one at a time, and list what no test notices
	$(GO) -C internal/tools build -o $(CURDIR)/bin/mutants ./mutants
	bin/mutants $(MUTANTS) $(MUTATE)

.PHONY: ci
ci: lint cross api-check test race ## all that CI checks: lint, cross, api-check, test, race

.PHONY: clean
clean: ## remove what the targets built
	rm -rf bin
