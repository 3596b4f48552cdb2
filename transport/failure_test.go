package transport

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"purser/internal/ledger"
)

// TestDamagedRead: a read that meets a damaged record says so, instead of asking
// for another try, and the operator finds the record in the log.
func TestDamagedRead(t *testing.T) {
	var log bytes.Buffer
	s := newSite(t, func(o *Options) { o.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
	s.fund("alice", "100")
	damage := errors.New("store: row 6a01 is corrupt: checksum differs")
	paths := []string{
		"/v1/accounts/alice", "/v1/accounts", "/v1/accounts/alice/entries",
		"/v1/payments/pay_0000000000002", "/v1/idempotency-keys/fund-alice",
	}
	for i, path := range paths {
		log.Reset()
		path += "?consistency=stale"
		s.book.breakWith(fmt.Errorf("read: %w", damage))
		a := s.do("GET", path, "", "X-Request-Id", "mine")
		s.wantProblem(a, codeInternal, "")
		if !strings.Contains(a.str("detail"), "damaged") || strings.Contains(a.body, "6a01") {
			t.Errorf("%s: detail %q", path, a.str("detail"))
		}
		for _, word := range []string{"level=ERROR", damage.Error(), "request_id=mine", path} {
			if !strings.Contains(log.String(), word) {
				t.Errorf("%s: no %q in the log: %s", path, word, log.String())
			}
		}
		if got := testutil.ToFloat64(s.server.metrics.damagedReads); got != float64(i+1) {
			t.Errorf("%s: %v damaged reads counted, want %d", path, got, i+1)
		}
		s.book.breakWith(fmt.Errorf("the state is closed: %w", ledger.ErrDraining))
		s.wantProblem(s.do("GET", path, ""), codeDraining, "")
	}
	if got := testutil.ToFloat64(s.server.metrics.damagedReads); got != float64(len(paths)) {
		t.Errorf("%v damaged reads counted, want %d: a node that shuts down is no damage", got, len(paths))
	}
}

// TestGateFails: a Gate that cannot decide lets nothing in, and nothing is in
// doubt.
func TestGateFails(t *testing.T) {
	gate := &openGate{}
	s := newSite(t, func(o *Options) { o.Gate = gate })
	s.fund("alice", "100")
	gate.err = errors.New("the key server hangs")
	before := s.book.counts()
	s.wantProblem(s.post("/v1/payments", "k", "{"+aliceToBob+"}"), codeInternal, "")
	if s.book.counts() != before {
		t.Error("it was executed")
	}
}
