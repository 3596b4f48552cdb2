package transport

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"purser/internal/ledger"
)

// TestMinIndex: a read waits for the index that it names, on this node when it
// takes what the node has.
func TestMinIndex(t *testing.T) {
	s, p, _ := newNode(t)
	p.set("", true)
	s.fund("alice", "100") // index 2
	p.await = func(context.Context, uint64) error {
		t.Error("waits for what is there")
		return nil
	}
	for _, query := range []string{
		"min_index=0", "min_index=2", "consistency=stale&min_index=2", "min_index=1&consistency=stale", "consistency=linearizable&min_index=%32",
	} {
		for _, path := range []string{"/v1/accounts", "/v1/accounts/alice", "/v1/accounts/alice/entries", "/v1/payments/pay_0000000000002", "/v1/idempotency-keys/fund-alice"} {
			if a := s.do("GET", path+"?"+query, ""); a.status != 200 || a.header.Get("Purser-Index") != "2" {
				t.Errorf("%s?%s: %d, index %s", path, query, a.status, a.header.Get("Purser-Index"))
			}
		}
	}
	for _, bad := range []string{"", "-1", "x", "1.0", "9223372036854775808"} {
		s.wantProblem(s.do("GET", "/v1/accounts/alice?min_index="+bad, ""), codeInvalidRequest, "min_index")
		s.wantProblem(s.do("GET", "/v1/accounts/alice?consistency=stale&min_index="+bad, ""), codeInvalidRequest, "min_index")
	}
	s.wantProblem(s.do("PUT", "/v1/accounts/a?min_index=1", `{"currency":"USD"}`), codeInvalidRequest, "min_index")
	wantBehind(s, s.do("GET", "/v1/accounts/alice?min_index=3", ""), 2, 3)
}

// wantBehind fails unless a says that the node has applied less than is wanted.
func wantBehind(s *site, a answer, applied, wanted int) {
	s.t.Helper()
	s.wantProblem(a, codeOverloaded, "")
	for _, index := range []int{applied, wanted} {
		if !strings.Contains(a.str("detail"), fmt.Sprintf("index %d", index)) {
			s.t.Errorf("the detail does not name %d: %s", index, a.str("detail"))
		}
	}
	if a.header.Get("Purser-Index") != fmt.Sprint(applied) {
		s.t.Errorf("Purser-Index %s, want %d", a.header.Get("Purser-Index"), applied)
	}
}

// TestMinIndexIsAwaited: on a follower that is behind, until it is not, or the
// time is over.
func TestMinIndexIsAwaited(t *testing.T) {
	s, p, _ := newNode(t, func(o *Options) { o.MinIndexTimeout = time.Millisecond })
	p.set("", true)
	s.fund("alice", "100") // index 2
	p.set("nowhere:1", false)
	const path = "/v1/accounts/alice?consistency=stale&min_index=4"
	p.await = func(_ context.Context, index uint64) error {
		if index != 4 {
			t.Errorf("awaits %d", index)
		}
		s.book.mu.Lock()
		defer s.book.mu.Unlock()
		s.book.index = 5
		return nil
	}
	if a := s.do("GET", path, ""); a.status != 200 || a.header.Get("Purser-Index") != "5" {
		t.Errorf("%d, index %s: %s", a.status, a.header.Get("Purser-Index"), a.body)
	}
	p.await = func(ctx context.Context, _ uint64) error {
		<-ctx.Done()
		return fmt.Errorf("await: %w", ctx.Err())
	}
	wantBehind(s, s.do("GET", "/v1/accounts/alice?consistency=stale&min_index=6", ""), 5, 6)
	for err, want := range map[error]code{
		ledger.ErrDraining: codeDraining, errors.New("the state is gone"): codeInternal, nil: codeOverloaded,
	} {
		p.await = func(context.Context, uint64) error { return err }
		s.wantProblem(s.do("GET", "/v1/accounts/alice?consistency=stale&min_index=6", ""), want, "")
	}
}

// TestMinIndexAlone: a node without a cluster has nothing to wait for.
func TestMinIndexAlone(t *testing.T) {
	s := newSite(t)
	s.fund("alice", "100")
	wantBehind(s, s.do("GET", "/v1/accounts/alice?consistency=stale&min_index=3", ""), 2, 3)
}

// TestShutdownEndsWaits: a read that waits for an index does not hold up the end.
func TestShutdownEndsWaits(t *testing.T) {
	s, p, _ := newNode(t, func(o *Options) { o.MinIndexTimeout = time.Hour })
	entered := make(chan struct{})
	p.await = func(ctx context.Context, _ uint64) error {
		close(entered)
		<-ctx.Done()
		return ctx.Err()
	}
	got := make(chan answer)
	go func() { got <- s.do("GET", "/v1/accounts?consistency=stale&min_index=3", "") }()
	<-entered
	if err := s.server.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	s.wantProblem(<-got, codeDraining, "")
}

// TestMinIndexThroughAFollower: a linearizable read takes it to the leader.
func TestMinIndexThroughAFollower(t *testing.T) {
	follower, leader, _ := newPair(t)
	leader.fund("alice", "100")
	if a := follower.do("GET", "/v1/accounts/alice?min_index=2", ""); a.status != 200 {
		t.Errorf("%d %s", a.status, a.body)
	}
	wantBehind(leader, follower.do("GET", "/v1/accounts/alice?min_index=3", ""), 2, 3)
}
