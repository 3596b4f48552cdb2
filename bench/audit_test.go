package bench

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// fakeAdmin is an admin listener over a fake's book.
type fakeAdmin struct {
	digest  string
	sum     string
	asked   []string
	applied uint64
	refused func() // called when a transfer is
}

func startFakeAdmin(t *testing.T, a *fakeAdmin) (base string) {
	t.Helper()
	answerJSON := func(w http.ResponseWriter, v any) {
		if err := json.NewEncoder(w).Encode(v); err != nil {
			t.Error(err)
		}
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /admin/v1/status", func(w http.ResponseWriter, _ *http.Request) {
		answerJSON(w, map[string]any{"node": "n1", "role": "leader", "applied_index": a.applied, "digest": a.digest, "version": "v9", "shards": 2})
	})
	mux.HandleFunc("POST /admin/v1/verify", func(w http.ResponseWriter, _ *http.Request) {
		answerJSON(w, map[string]any{"ok": a.sum == "0", "currencies": map[string]any{"USD": map[string]any{"accounts": 1, "sum": a.sum}}})
	})
	mux.HandleFunc("POST /admin/v1/snapshots", func(w http.ResponseWriter, _ *http.Request) {
		a.asked = append(a.asked, "snapshot")
		answerJSON(w, map[string]any{"id": "1-2-3", "bytes": 77, "took_ms": 5})
	})
	mux.HandleFunc("POST /admin/v1/leader-transfer", func(w http.ResponseWriter, r *http.Request) {
		var in struct{ To string }
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
			t.Error(err)
		}
		a.asked = append(a.asked, "transfer to "+in.To)
		w.WriteHeader(http.StatusConflict)
		answerJSON(w, map[string]any{"code": "cannot_transfer", "detail": "there is one node"})
		a.refused()
	})
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) {
		if _, err := w.Write([]byte(metricsText)); err != nil {
			t.Error(err)
		}
	})
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s.URL
}

// verified runs a verified load that takes in all kinds of operations.
func verified(t *testing.T, f *fake, cfg Config) Result {
	t.Helper()
	cfg.Targets, cfg.Verify = []string{f.target()}, true
	if cfg.Requests == 0 {
		cfg.Requests = 400
	}
	if cfg.Accounts == 0 {
		cfg.Accounts = 20
	}
	r, err := Run(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if r.Verification == nil {
		t.Fatal("no verification")
	}
	return r
}

const wholeMix = "pay=40,authorize=20,capture=15,void=5,refund=10,read=10"

func TestVerify(t *testing.T) {
	for name, cfg := range map[string]Config{
		"payments":       {},
		"batches":        {Batch: 9, Requests: 60},
		"to the outside": {Accounts: 1},
		"two families":   {Source: "a-{n}", Destination: "b-{n}"},
		"whole mix":      {Mix: wholeMix, Duplicates: 0.2},
		"open loop":      {Rate: 20_000, Mix: wholeMix},
		"many accounts":  {Accounts: 1500},
	} {
		t.Run(name, func(t *testing.T) {
			f := startFake(t)
			f.misbehave = func(_ string, nth int) fault {
				if len(f.seen)%10 == 0 && nth == 1 {
					return cutAfter
				}
				return none
			}
			cfg.Targets, cfg.Admins = []string{f.target()}, []string{startFakeAdmin(t, &fakeAdmin{digest: "d", sum: "0"})}
			if err := Setup(t.Context(), cfg); err != nil {
				t.Fatal(err)
			}
			funded := len(f.payments)
			r := verified(t, f, cfg)
			v := r.Verification
			if !v.OK || len(v.Faults) > 0 || r.Verdict.Outcome == OutcomeBooksWrong {
				t.Fatalf("verification %+v, verdict %+v", v, r.Verdict)
			}
			made := uint64(len(f.payments) - funded - 1) // the payment before the run
			if v.Acknowledged != made || v.Found != made || r.Unknown.Resolved == 0 {
				t.Errorf("the server made %d: %+v, %+v", made, v, r.Unknown)
			}
			if cfg.Mix == wholeMix {
				for _, o := range r.Operations {
					if o.Accepted == 0 {
						t.Errorf("no %s in %+v", o.Kind, r.Operations)
					}
				}
			}
			if d := r.Duplicates; d.Wrong != 0 || d.Sent != d.Replayed || (d.Sent > 0) != (cfg.Duplicates > 0) {
				t.Errorf("duplicates: %+v", d)
			}
		})
	}
}

// TestVerifyFinds falsifies the books in every way that a verification has to
// find: after a payment whose lines are on later pages of the journals, and after
// one of the last, whose lines are on the first pages, which are read otherwise.
func TestVerifyFinds(t *testing.T) {
	for page, at := range map[string]int{"first page": 396, "later page": 100} {
		t.Run(page, func(t *testing.T) { testVerifyFinds(t, at) })
	}
}

func testVerifyFinds(t *testing.T, at int) {
	source := func(f *fake, p operation) *bookAccount { return f.book.account(p.Source) }
	for name, test := range map[string]struct {
		falsify func(f *fake, p operation)
		admin   fakeAdmin
		want    string
		twice   bool
	}{
		"lost": {falsify: func(f *fake, p operation) {
			a := source(f, p)
			last := a.entries[len(a.entries)-1]
			a.entries = a.entries[:len(a.entries)-1]
			a.posted += amount([]byte(last.Amount))
		}, want: "1 acknowledged payments are not in the journal"},
		"twice": {falsify: func(f *fake, p operation) {
			p.Key += "-again"
			f.book.execute(p, 0)
		}, want: "1 payments are in the journal that were acknowledged to nobody"},
		"balance": {falsify: func(f *fake, p operation) {
			source(f, p).posted++
			f.book.execute(p, 0)
		}, want: "does not follow from seq"},
		"broken chain": {falsify: func(f *fake, p operation) {
			a := source(f, p)
			a.entries[len(a.entries)-1].Posted = "77"
		}, want: "does not follow from seq"},
		"line doubled": {falsify: func(f *fake, p operation) {
			a := source(f, p)
			a.entries = append(a.entries, a.entries[len(a.entries)-1])
		}, want: "does not follow from seq", twice: true},
		"last balance": {falsify: func(f *fake, _ operation) {
			f.atEnd = func() { f.book.account("bench-03").Posted = "5" }
		}, want: "account bench-03 has posted 5"},
		"no credit": {falsify: func(f *fake, p operation) {
			a := f.book.account(p.Destination)
			last := a.entries[len(a.entries)-1]
			a.entries = a.entries[:len(a.entries)-1]
			a.posted -= amount([]byte(last.Amount))
		}, want: "1 debits have no credit"},
		"account gone": {falsify: func(f *fake, _ operation) {
			f.atEnd = func() { delete(f.book.accounts, "bench-07") }
		}, want: "19 accounts bench-##, want 20"},
		"account listed twice": {falsify: func(f *fake, _ operation) {
			f.atEnd = func() {
				delete(f.book.accounts, "bench-07")
				f.book.accounts["bench-07-again"] = f.book.account("bench-08")
			}
		}, want: "account bench-08 is listed after a later one, or twice", twice: true},
		"books do not add up": {admin: fakeAdmin{sum: "-3"}, want: "add up to -3, not 0"},
		"digests differ":      {admin: fakeAdmin{sum: "0", digest: "other"}, want: "node n1 other"},
	} {
		t.Run(name, func(t *testing.T) {
			f := startFake(t)
			count := 0
			f.executed = func(p operation) {
				if count++; count == at && test.falsify != nil {
					test.falsify(f, p)
				}
			}
			sound := startFakeAdmin(t, &fakeAdmin{sum: "0"})
			cfg := Config{Admins: []string{sound, startFakeAdmin(t, &test.admin)}}
			if test.admin.sum == "" {
				cfg.Admins = cfg.Admins[:1]
			}
			r := verified(t, f, cfg)
			if r.Verification.OK || r.Verdict.Outcome != OutcomeBooksWrong ||
				!strings.Contains(strings.Join(r.Verification.Faults, "; "), test.want) {
				t.Errorf("want %q in %+v, verdict %+v", test.want, r.Verification, r.Verdict)
			}
			if n := r.Verification.Twice; (n > 0) != test.twice {
				t.Errorf("%d found twice", n)
			}
		})
	}
}

// TestVerifyUnresolved has connections lost for good: their keys are asked for.
func TestVerifyUnresolved(t *testing.T) {
	f := startFake(t)
	if err := Setup(t.Context(), Config{Targets: []string{f.target()}, Accounts: 20}); err != nil {
		t.Fatal(err)
	}
	f.misbehave = func(key string, _ int) fault {
		switch {
		case strings.HasSuffix(key, "03"):
			return silent // made
		case strings.HasSuffix(key, "05"):
			return cutBefore // not made
		}
		return none
	}
	r := verified(t, f, Config{Requests: 40, Connections: 4, Patience: 50 * time.Millisecond})
	v := r.Verification
	if !v.OK || v.ResolvedMade != 1 || v.ResolvedNot != 1 || r.Unknown.Unresolved != 2 {
		t.Errorf("verification %+v, unknown %+v", v, r.Unknown)
	}
	if r.Verdict.Outcome != OutcomeSLOMissed || !strings.Contains(r.Verdict.Reasons[0], "2 requests were never answered") {
		t.Errorf("verdict %+v", r.Verdict)
	}
}

// TestDuplicateAnsweredOtherwise: a retry that gets another answer makes the
// books wrong.
func TestDuplicateAnsweredOtherwise(t *testing.T) {
	f := startFake(t)
	f.misbehave = func(_ string, nth int) fault {
		if nth == 2 {
			return otherAnswer
		}
		return none
	}
	r, err := Run(t.Context(), Config{Targets: []string{f.target()}, Requests: 200, Connections: 2, Duplicates: 0.5})
	if err != nil {
		t.Fatal(err)
	}
	if d := r.Duplicates; d.Wrong == 0 || len(d.Examples) == 0 || r.Verdict.Outcome != OutcomeBooksWrong {
		t.Errorf("duplicates %+v, verdict %+v", d, r.Verdict)
	}
}

func TestChaos(t *testing.T) {
	f := startFake(t)
	ctx, end := context.WithCancel(t.Context())
	admin := &fakeAdmin{sum: "0", refused: end}
	r, err := Run(ctx, Config{
		Targets: []string{f.target()}, Admins: []string{startFakeAdmin(t, admin)}, Connections: 2,
		Duration: time.Hour, Chaos: []string{"transfer-leader=n2@20ms", "snapshot@1ms"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(admin.asked, ", "); got != "snapshot, transfer to n2" {
		t.Errorf("asked for %s", got)
	}
	if len(r.Chaos) != 2 || !strings.HasPrefix(r.Chaos[0].Detail, "1-2-3, 77 bytes") || !strings.Contains(r.Chaos[1].Error, "there is one node") {
		t.Errorf("chaos: %+v", r.Chaos)
	}
	if r.Verdict.Outcome != OutcomeInvalid || !strings.Contains(strings.Join(r.Verdict.Reasons, ""), "transfer-leader failed") {
		t.Errorf("verdict: %+v", r.Verdict)
	}
	if len(r.Nodes) != 1 || r.Nodes[0].ID != "n1" || r.Nodes[0].Version != "v9" {
		t.Errorf("nodes: %+v", r.Nodes)
	}
	_, err = Run(t.Context(), Config{Targets: []string{f.target()}, Chaos: []string{"snapshot@1ms"}})
	if err == nil || !strings.Contains(err.Error(), "admin listeners") {
		t.Errorf("error without admin listeners: %v", err)
	}
}
