# Everything a developer or an operator does with this tree. The build tag sends
# raft's own metrics to the sink that /metrics reads.
TAGS        := hashicorpmetrics
GO          ?= go
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
BENCHSTAT   := golang.org/x/perf/cmd/benchstat@v0.0.0-20260908200009-22c9c6c9d4da
VERSION     := $(shell git describe --tags --always --dirty 2>/dev/null)
LDFLAGS     := -X main.version=$(VERSION)

export GOFLAGS := -tags=$(TAGS) -buildvcs=false
export CGO_ENABLED ?= 0

.PHONY: build run cluster test planted check fmt vet staticcheck race crash chaos fuzz bench bench-cluster bench-micro bench-wal bench-postgres clean

build:
	$(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/purser ./cmd/purser

# One durable node on loopback with funded accounts, in ./data.
run: build
	./bin/purser dev --data-dir data

# Three nodes on loopback, in ./data-cluster.
cluster: build
	deploy/cluster.sh

# Packages that are tested at a time: they wait for timers and disks more than for
# CPUs.
PACKAGES ?= 4

test:
	$(GO) test -p $(PACKAGES) -count=1 -timeout 30m ./...
	cd bench/pgcompare && $(GO) test -count=1 ./...

# Plants faults in the program, one after another, and shows which test finds each.
planted:
	cd internal/planted && $(GO) test -tags=$(TAGS),planted -count=1 -timeout 15m

check: fmt vet staticcheck race

fmt:
	@out=$$(gofmt -l $$(git ls-files '*.go')); if [ -n "$$out" ]; then echo "not gofmt-clean:"; echo "$$out"; exit 1; fi

# The comparisons are modules of their own, so that nothing else depends on what
# they depend on.
vet:
	$(GO) vet ./...
	$(GO) vet -tags=$(TAGS),planted ./internal/planted
	cd bench/walcompare && $(GO) vet ./...
	cd bench/pgcompare && $(GO) vet ./...

staticcheck:
	$(GO) run $(STATICCHECK) ./...

# The race detector needs cgo. -short leaves out the runs that make crash and
# make test do in full.
race:
	CGO_ENABLED=1 $(GO) test -p $(PACKAGES) -race -short -count=1 -timeout 30m ./...

# Longer than CI has time for: the crash and damage sweeps and the kill test, ten
# times with other seeds.
crash:
	$(GO) test -count=10 -timeout 2h -run 'Crash|Damage|Torn|Inject|Kill' ./wal ./internal/store ./raftfsm ./cmd/purser

# RUNS clusters of three processes, ATONCE side by side, each with faults FOR some
# time that follow from its seed: SEED, and those after it. 0 draws one.
RUNS   ?= 200
FOR    ?= 60s
ATONCE ?= 3
SEED   ?= 0
chaos:
	$(GO) test ./internal/chaos -count=1 -timeout 12h -run TestChaos -v -args -runs=$(RUNS) -for=$(FOR) -at-once=$(ATONCE) -seed=$(SEED)

# Every fuzz target for FUZZTIME.
FUZZTIME ?= 30s
fuzz:
	@set -e; for pkg in $$($(GO) list ./...); do \
		for target in $$($(GO) test -list '^Fuzz' $$pkg | grep '^Fuzz' || true); do \
			echo "$$pkg $$target"; \
			$(GO) test -run xxx -fuzz "^$$target$$" -fuzztime $(FUZZTIME) $$pkg; \
		done; \
	done

# The standard table, each row beside its ceiling; ROWS="hot,single" chooses, see
# `purser bench table --help`. DURATION is that of one run, SUSTAINED the number of
# payments of the row of that name, DIR where the servers keep their data meanwhile.
ROUNDS    ?= 5
DURATION  ?= 10s
SUSTAINED ?= 100M
DIR       ?= .
bench: build
	./bin/purser bench table --rounds $(ROUNDS) --rows "$(ROWS)" --duration $(DURATION) --sustained $(SUSTAINED) --dir $(DIR) --results bench/results

# One node beside three on this machine.
bench-cluster: build
	.ci/bench-cluster

# The Go benchmarks, COUNT times, with what benchstat makes of them. OLD names the
# output of an earlier run to compare with.
BENCH ?= .
PKG   ?= ./...
COUNT ?= 6
OLD   ?=
bench-micro:
	@mkdir -p bin
	$(GO) test -run xxx -bench '$(BENCH)' -benchmem -count $(COUNT) $(PKG) >bin/bench-micro.txt
	GOFLAGS= $(GO) run $(BENCHSTAT) $(OLD) bin/bench-micro.txt

# The log against others, in a module of its own.
bench-wal:
	cd bench/walcompare && $(GO) run . -rounds 5

# PostgreSQL does the same work, driven by the same generator. It installs
# nothing: it says what to install where there is no PostgreSQL.
bench-postgres: build
	cd bench/pgcompare && $(GO) run . -purser ../../bin/purser

clean:
	rm -rf bin
