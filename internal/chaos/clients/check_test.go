package clients

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"go.uber.org/goleak"
)

// patience bounds every wait. It is far above what any of them takes.
const patience = 2 * time.Minute

// enough movements for everything to have happened.
const enough = 1_200

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// run has clients at work on f until it has told its lies and they have done
// enough, and stops them.
func run(t *testing.T, f *fake) (*Load, context.Context) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	l, err := Start(ctx, Config{APIs: f.addrs, Admins: f.addrs, Clients: 16, Seed: 7})
	if err != nil {
		t.Fatal(err)
	}
	lies := 3
	switch f.lie {
	case honest, lieNode, lieDigest: // which are told to those who check
		lies = 0
	case lieNotApplied: // of which only those tell that are not retried
		lies = 40
	}
	for l.Acknowledged() < enough || f.toldLies() < lies {
		wait(ctx, time.Millisecond)
		if ctx.Err() != nil {
			t.Fatalf("%d acknowledged, %d lies told", l.Acknowledged(), f.toldLies())
		}
	}
	if err := l.Stop(ctx); err != nil {
		t.Fatal(err)
	}
	f.skip(time.Minute) // all short holds lapse
	return l, ctx
}

func TestHonestClusterPasses(t *testing.T) {
	f := newFake(t, honest)
	f.flaky = true
	l, ctx := run(t, f)
	r, err := l.Check(ctx)
	if err != nil {
		t.Fatal(err)
	}
	t.Log(r)
	if r.Acknowledged != l.Acknowledged() || r.Acknowledged < enough || r.Reads == 0 || r.Replayed == 0 || r.Entries == 0 {
		t.Errorf("%+v", r)
	}
	if r.ByRetry == 0 || r.ByKey == 0 || r.Unresolved != 0 || r.Linearizable["Ok"] != aloneAccounts {
		t.Errorf("%+v", r)
	}
	for _, k := range []kind{pay, batch, authorize, capture, void, refund, retry, reuse, read, stale, follow, list, lookup} {
		if len(r.Counts[string(k)]) == 0 {
			t.Errorf("nothing of kind %s was done", k)
		}
	}
	if r.LongestGap <= 0 || r.LongestGap > patience {
		t.Errorf("the longest gap is %v", r.LongestGap)
	}
}

// TestLiesAreNamed has the cluster lie in one way at a time. The short form has
// the worst of them.
func TestLiesAreNamed(t *testing.T) {
	for _, tt := range []struct {
		lie   lie
		want  fault
		short bool
	}{
		{lieLost, faultLost, true},
		{lieDoubled, faultUnasked, true},
		{lieAgain, faultReplay, false},
		{lieAgainHidden, faultUnasked, true},
		{lieReplayBytes, faultReplay, false},
		{lieReuse, faultReuse, false},
		{lieForgetful, faultReplay, false},
		{lieNotApplied, faultNotApplied, false},
		{lieOverdraft, faultOverdrawn, true},
		{lieRefusal, faultRefusal, false},
		{lieSkimmed, faultChain, false},
		{lieWorldSum, faultSum, false},
		{lieEarly, faultRules, false},
		{lieStale, faultStaleRead, true},
		{lieBehind, faultBehindIndex, false},
		{lieNeverWas, faultNeverWas, false},
		{lieTorn, faultTorn, false},
		{lieNode, faultNodes, false},
		{lieDigest, faultNodes, false},
	} {
		t.Run(string(tt.lie), func(t *testing.T) {
			if testing.Short() && !tt.short {
				t.Skip("not in the short form")
			}
			load, ctx := run(t, newFake(t, tt.lie))
			r, err := load.Check(ctx)
			t.Log(r)
			requireNamed(t, err, tt.want)
		})
	}
}

func requireNamed(t *testing.T, err error, want fault) {
	t.Helper()
	if err == nil {
		t.Fatalf("nothing was found, want: %s", want)
	}
	if !strings.Contains(err.Error(), string(want)+" (") {
		t.Errorf("want: %s\nfound: %.3000s", want, err)
	}
}

// TestForgedHistories checks the books of an honest cluster against a history with
// something in it that cannot be.
func TestForgedHistories(t *testing.T) {
	l, ctx := run(t, newFake(t, honest))
	b, err := l.collect(ctx)
	if err != nil {
		t.Fatal(err)
	}
	check := func(ops []*operation) (*check, map[porcupine.CheckResult]int) {
		k := newCheck(l.bank, ops, b)
		k.run()
		return k, k.checkLinearizable()
	}
	fresh := func() (ops []*operation) { // a copy, as a check writes into operations
		for _, o := range l.history.all() {
			c := *o
			ops = append(ops, &c)
		}
		return ops
	}
	k, results := check(fresh())
	if err := k.err(); err != nil || results[porcupine.Ok] != aloneAccounts {
		t.Fatalf("%v, %v", results, err)
	}
	first := func(ops []*operation, kind kind, account string) *operation {
		for _, o := range ops {
			if o.kind == kind && o.accepted() && strings.Contains(o.source+o.destination, account) {
				return o
			}
		}
		t.Fatalf("no %s of %s was accepted", kind, account)
		return nil
	}
	alone := l.bank.alone[0]

	t.Run("a payment called after everything else", func(t *testing.T) {
		ops := fresh()
		o := first(ops, pay, "hot")
		o.call, o.ret = int64(time.Hour), int64(time.Hour)+1
		k, _ := check(ops)
		requireNamed(t, k.err(), faultRealTime)
	})
	t.Run("a payment that nobody tells of", func(t *testing.T) {
		ops := fresh()
		*first(ops, pay, alone) = operation{kind: stale, tries: []try{{}}}
		k, results := check(ops)
		requireNamed(t, k.err(), faultUnasked)
		requireNamed(t, k.err(), faultGap)
		requireNamed(t, k.err(), faultLinearizable)
		if results[porcupine.Illegal] != 1 {
			t.Errorf("%v", results)
		}
	})
	t.Run("an index that falls", func(t *testing.T) {
		ops := fresh()
		o := first(ops, pay, "hot")
		a := *o.answer
		a.index += 1 << 40
		o.answer = &a
		k, _ := check(ops)
		requireNamed(t, k.err(), faultIndex)
	})
	t.Run("a node that begins anew", func(t *testing.T) {
		ops := fresh()
		i := slices.IndexFunc(ops, func(o *operation) bool { return o.kind == follow })
		ops[i].kind, ops[i].minIndex = stale, 0 // a client that saw something would have asked for it
		ops[i].answer = &answer{status: 404, problem: &problem{Code: "account_not_found"}}
		k, _ := check(ops)
		if err := k.err(); err != nil {
			t.Error(err)
		}
		ops[i].answer.index = 1 << 40 // which it would have to reflect
		k, _ = check(ops)
		requireNamed(t, k.err(), faultBehindIndex)
	})
	t.Run("an answer under two keys", func(t *testing.T) {
		ops := fresh()
		again := *first(ops, pay, "hot")
		k, _ := check(append(ops, &again))
		requireNamed(t, k.err(), faultDoubled)
		requireNamed(t, k.err(), faultLost)
	})
}

// TestUnresolvedOutcomes checks a run whose unknown outcomes stay unknown: they
// may be in the journal or not.
func TestUnresolvedOutcomes(t *testing.T) {
	f := newFake(t, honest)
	f.flaky = true
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	l, err := Start(ctx, Config{APIs: f.addrs, Clients: 8, Seed: 3})
	if err != nil {
		t.Fatal(err)
	}
	for l.Acknowledged() < enough {
		wait(ctx, time.Millisecond)
	}
	over, end := context.WithCancel(ctx)
	end()
	if err := l.Stop(over); !errors.Is(err, context.Canceled) {
		t.Fatalf("Stop without time to find outcomes: %v", err)
	}
	f.skip(time.Minute)
	r, err := l.Check(ctx)
	if err != nil {
		t.Error(err)
	}
	if r.Unresolved == 0 {
		t.Error("every outcome is known")
	}
}

func TestAwaitAcknowledgementAndWindow(t *testing.T) {
	f := newFake(t, honest)
	l, err := Start(t.Context(), Config{APIs: f.addrs, Clients: 4, Pause: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	took, err := l.AwaitAcknowledgement(t.Context(), began)
	if err != nil || took <= 0 || took > time.Since(began) {
		t.Errorf("%v, %v", took, err)
	}
	var all, some Window
	for some.Acknowledged == 0 || all.Acknowledged <= some.Acknowledged {
		wait(t.Context(), time.Millisecond)
		until := time.Now()
		some, all = l.Window(began, until, 0), l.Window(began, until)
	}
	if all.P50 <= 0 || all.P99 < all.P50 || all.Rate <= 0 {
		t.Errorf("%+v", all)
	}
	if err := l.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := l.AwaitAcknowledgement(t.Context(), time.Now()); err == nil {
		t.Error("an acknowledgement after the load was stopped")
	}
}
