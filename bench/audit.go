package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// audit checks a server's books against what it acknowledged during a run:
// every acknowledgement has to be in the journal of its source account exactly
// once, nothing else may be there, every debit has its credit, and every balance
// has to follow from its journal. Memory is a bit per payment and leg, and
// sixteen bytes per later event.
//
// It reads the journals as clients do, through the accounts' entries, back to a
// payment that it makes itself before the run.
type audit struct {
	cfg    Config
	nodes  *nodes
	client client
	mark   mark
	index  uint64 // of the log, that reads have to reflect

	mu     sync.Mutex
	found  seqSet   // payments and authorizations in the journals of their sources
	events []uint64 // later events there, by eventHash
	debits,
	credits seqSet // legs that moved money, by the seq of the event
	v Verification
}

// mark is the payment made before the run.
type mark struct {
	Seq     uint64 `json:"seq"`
	Created string `json:"created_at"`
}

const (
	auditConnections = 64 // of the generator, for the first page of each journal
	auditReaders     = 8  // of further pages, at once
	shownFaults      = 100
)

// beginAudit makes the payment that the journals are read back to.
func beginAudit(ctx context.Context, cfg Config, nodes *nodes) (*audit, error) {
	a := &audit{cfg: cfg, nodes: nodes, client: newClient(auditReaders)}
	source, destination := newPattern(cfg.Source, cfg.Accounts), newPattern(cfg.Destination, cfg.Accounts)
	body := map[string]string{
		"source":      source.id(0),
		"destination": destination.id(uint64(destination.count(cfg.Accounts) - 1)),
		"amount":      "1",
		"currency":    cfg.Currency,
	}
	resp, err := a.client.do(ctx, http.MethodPost, cfg.Targets[0]+"/v1/payments", body, "Idempotency-Key", cfg.KeyPrefix+"-audit")
	if err == nil && resp.status != http.StatusCreated {
		err = fmt.Errorf("status %d: %s", resp.status, resp.body)
	}
	if err == nil {
		err = json.Unmarshal(resp.body, &a.mark)
	}
	if err == nil && a.mark.Seq == 0 {
		err = errors.New("its answer has no seq")
	}
	if err != nil {
		a.close()
		return nil, fmt.Errorf("verify: payment before the run: %w", err)
	}
	return a, nil
}

func (a *audit) close() { a.client.close() }

// finish reads the books and compares them with what was acknowledged. An error
// means that they could not be read.
func (a *audit) finish(ctx context.Context, t *tally) (*Verification, error) {
	began := time.Now()
	defer a.report()()
	v := &a.v
	if err := a.resolve(ctx, t); err != nil {
		return nil, fmt.Errorf("verify: unknown outcomes: %w", err)
	}
	v.Acknowledged = t.acks.count()
	if err := a.readBooks(ctx, v.Acknowledged); err != nil {
		return nil, fmt.Errorf("verify: %w", err)
	}
	a.compare(&t.acks)
	if err := a.compareNodes(ctx); err != nil {
		return nil, fmt.Errorf("verify: %w", err)
	}
	v.OK = v.Lost == 0 && v.Twice == 0 && v.Unasked == 0 && len(v.Faults) == 0
	v.Took = time.Since(began).Seconds()
	return v, nil
}

// report tells every second how far it is, until the function that it returns is
// called.
func (a *audit) report() (stop func()) {
	if a.cfg.Progress == nil {
		return func() {}
	}
	done := make(chan struct{})
	var wait sync.WaitGroup
	wait.Go(func() {
		ticker := time.NewTicker(time.Second)
		defer ticker.Stop()
		for {
			select {
			case <-done:
				return
			case <-ticker.C:
			}
			a.mu.Lock()
			entries := a.v.Entries
			a.mu.Unlock()
			a.cfg.Progress(Progress{Verifying: true, Entries: entries})
		}
	})
	return func() { close(done); wait.Wait() }
}

// resolve asks for the keys of what was left open, and takes what was made for
// acknowledged.
func (a *audit) resolve(ctx context.Context, t *tally) error {
	for _, d := range t.open {
		resp, err := a.client.do(ctx, http.MethodGet, a.cfg.Targets[0]+"/v1/idempotency-keys/"+d.key, nil)
		switch {
		case err != nil:
			return err
		case resp.status == http.StatusNotFound:
			a.v.ResolvedNot++
			continue
		case resp.status != http.StatusOK:
			return fmt.Errorf("key %s: status %d: %s", d.key, resp.status, resp.body)
		}
		var first struct {
			Status int
			Body   json.RawMessage
		}
		if err := json.Unmarshal(resp.body, &first); err != nil {
			return fmt.Errorf("key %s: %w", d.key, err)
		}
		if first.Status >= 300 {
			a.v.ResolvedNot++
			continue
		}
		a.v.ResolvedMade++
		t.acks.add(d.kind, d.id, paymentSeq(first.Body))
	}
	return nil
}

// fault notes what is wrong.
func (a *audit) fault(format string, args ...any) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch n := len(a.v.Faults); {
	case n < shownFaults-1:
		a.v.Faults = append(a.v.Faults, fmt.Sprintf(format, args...))
	case n == shownFaults-1:
		a.v.Faults = append(a.v.Faults, "and more")
	}
}

// compare holds what was found against what was acknowledged.
func (a *audit) compare(k *acks) {
	v := &a.v
	const shown = 5
	lost, first := k.seqs.without(&a.found, shown)
	if lost > 0 {
		a.fault("%d acknowledged payments are not in the journal, the first with seq %v", lost, first)
	}
	unasked, first := a.found.without(&k.seqs, shown)
	if unasked > 0 {
		a.fault("%d payments are in the journal that were acknowledged to nobody, the first with seq %v", unasked, first)
	}
	v.Found = a.found.count() - unasked
	if len(k.again) > 0 {
		a.fault("%d payments were acknowledged to two requests each, the first with seq %d", len(k.again), k.again[0])
	}
	if k.blind > 0 {
		a.fault("%d acknowledgements had no seq", k.blind)
	}
	common, lostEvents, moreEvents := compareSorted(sorted(k.events), sorted(a.events))
	if lostEvents > 0 {
		a.fault("%d acknowledged captures, voids or refunds are not in the journal", lostEvents)
	}
	if moreEvents > 0 {
		a.fault("%d captures, voids or refunds are in the journal that were acknowledged to nobody, or twice", moreEvents)
	}
	v.Found += common
	v.Lost = lost + lostEvents
	v.Unasked = unasked + moreEvents
	if newPattern(a.cfg.Destination, 1).world() {
		v.Unchecked = append(v.Unchecked, "the credits of the payments: their destination is outside, whose total is checked by each node")
		return
	}
	if n, first := a.debits.without(&a.credits, shown); n > 0 {
		a.fault("%d debits have no credit, the first with seq %v", n, first)
	}
	if n, first := a.credits.without(&a.debits, shown); n > 0 {
		a.fault("%d credits have no debit, the first with seq %v", n, first)
	}
}

func sorted(values []uint64) []uint64 {
	slices.Sort(values)
	return values
}

// compareSorted counts what two sorted lists have in common, and what only one has.
func compareSorted(a, b []uint64) (common, onlyA, onlyB uint64) {
	for len(a) > 0 && len(b) > 0 {
		switch {
		case a[0] == b[0]:
			common++
			a, b = a[1:], b[1:]
		case a[0] < b[0]:
			onlyA++
			a = a[1:]
		default:
			onlyB++
			b = b[1:]
		}
	}
	return common, onlyA + uint64(len(a)), onlyB + uint64(len(b))
}

// settleTimeout is how long the nodes may take to apply what is committed.
const settleTimeout = 15 * time.Second

// compareNodes checks that all nodes have the same digest at one index, and lets
// each add up its accounts.
func (a *audit) compareNodes(ctx context.Context) error {
	if len(a.nodes.bases) == 0 {
		a.v.Unchecked = append(a.v.Unchecked, "digests and totals: no admin listener answers")
		return nil
	}
	if err := a.compareDigests(ctx); err != nil {
		return err
	}
	for _, base := range a.nodes.bases {
		var report struct {
			OK         bool
			Currencies map[string]struct{ Sum string }
			Faults     []string
		}
		if err := a.nodes.client.call(ctx, http.MethodPost, base+"/admin/v1/verify", nil, &report); err != nil {
			return err
		}
		for currency, total := range report.Currencies {
			if total.Sum != "0" {
				a.fault("%s: the accounts in %s add up to %s, not 0", base, currency, total.Sum)
			}
		}
		if !report.OK {
			a.fault("%s: its verification failed: %v", base, report.Faults)
		}
	}
	return nil
}

func (a *audit) compareDigests(ctx context.Context) error {
	deadline := time.Now().Add(settleTimeout)
	for {
		var states []nodeStatus
		for _, base := range a.nodes.bases {
			s, err := a.nodes.status(ctx, base)
			if err != nil {
				return err
			}
			states = append(states, s)
		}
		first, level := states[0], true
		for _, s := range states[1:] {
			level = level && s.Applied == first.Applied
			if s.Applied == first.Applied && s.Digest != first.Digest {
				a.fault("at index %d node %s has the digest %s, node %s %s", s.Applied, first.Node, first.Digest, s.Node, s.Digest)
				return nil
			}
		}
		if level {
			return nil
		}
		if time.Now().After(deadline) {
			a.fault("the nodes have not applied the same after %v: %+v", settleTimeout, states)
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// summary says in one line how the books are.
func (v *Verification) summary() string {
	if v.OK {
		return fmt.Sprintf("%d acknowledgements, each found once; %d accounts, %d entries", v.Acknowledged, v.Accounts, v.Entries)
	}
	return strings.Join(v.Faults, "; ")
}
