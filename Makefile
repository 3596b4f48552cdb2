# Everything a developer or an operator does with this tree. The build tag sends
# raft's own metrics to the sink that /metrics reads.
TAGS        := hashicorpmetrics
GO          ?= go
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
VERSION     := $(shell git describe --tags --always --dirty 2>/dev/null)
LDFLAGS     := -X main.version=$(VERSION)

export GOFLAGS := -tags=$(TAGS) -buildvcs=false
export CGO_ENABLED ?= 0

.PHONY: build run test check fmt vet staticcheck race crash fuzz bench bench-wal clean

build:
	$(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/purser ./cmd/purser

# One durable node on loopback with funded accounts, in ./data.
run: build
	./bin/purser dev --data-dir data

test:
	$(GO) test -count=1 -timeout 12m ./...

check: fmt vet staticcheck race

fmt:
	@out=$$(gofmt -l $$(git ls-files '*.go')); if [ -n "$$out" ]; then echo "not gofmt-clean:"; echo "$$out"; exit 1; fi

vet:
	$(GO) vet ./...

staticcheck:
	$(GO) run $(STATICCHECK) ./...

# The race detector needs cgo. -short leaves out the runs that make crash and
# make test do in full.
race:
	CGO_ENABLED=1 $(GO) test -race -short -count=1 -timeout 12m ./...

clean:
	rm -rf bin
