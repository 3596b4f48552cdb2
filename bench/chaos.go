package bench

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// chaosEvent is something to do to the server at some time after the run's start.
type chaosEvent struct {
	action string // transfer-leader or snapshot
	node   string // that is to lead; empty: any
	at     time.Duration
}

func (e chaosEvent) String() string {
	name := e.action
	if e.node != "" {
		name += "=" + e.node
	}
	return name + "@" + e.at.String()
}

// ParseChaos checks an event: an action and its time, counted from the start of
// the warm-up.
//
//	transfer-leader@20s     the leader hands over to any voter
//	transfer-leader=n2@20s  to this one
//	snapshot@30s            the leader takes a snapshot
func ParseChaos(text string) error {
	_, err := parseChaos([]string{text})
	return err
}

// parseChaos returns the events in the order of their times.
func parseChaos(texts []string) ([]chaosEvent, error) {
	var events []chaosEvent
	for _, text := range texts {
		name, when, _ := strings.Cut(text, "@")
		action, node, named := strings.Cut(name, "=")
		at, err := time.ParseDuration(when)
		known := action == "transfer-leader" || action == "snapshot" && !named
		if !known || err != nil || at < 0 || named && node == "" {
			return nil, fmt.Errorf("chaos %q: want transfer-leader@20s, transfer-leader=NODE@20s or snapshot@30s", text)
		}
		events = append(events, chaosEvent{action, node, at})
	}
	slices.SortStableFunc(events, func(a, b chaosEvent) int { return int(a.at - b.at) })
	return events, nil
}

// chaosTimeout bounds one event.
const chaosTimeout = 60 * time.Second

// do makes the event happen and says how it went. It goes on when the load ends.
func (e chaosEvent) do(ctx context.Context, n *nodes, start time.Time) ChaosEvent {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), chaosTimeout)
	defer cancel()
	began := time.Now()
	done := ChaosEvent{Action: e.action, At: began.Sub(start).Seconds()}
	var err error
	done.Detail, err = e.ask(ctx, n)
	if err != nil {
		done.Error = err.Error()
	}
	done.Took = float64(time.Since(began).Microseconds()) / 1e3
	return done
}

func (e chaosEvent) ask(ctx context.Context, n *nodes) (detail string, err error) {
	leader, err := n.leader(ctx)
	if err != nil {
		return "", err
	}
	if e.action == "snapshot" {
		var info struct {
			ID    string
			Bytes int64
			Took  int64 `json:"took_ms"`
		}
		err = n.client.call(ctx, http.MethodPost, leader+"/admin/v1/snapshots", nil, &info)
		return fmt.Sprintf("%s, %d bytes, in %d ms", info.ID, info.Bytes, info.Took), err
	}
	in := map[string]string{}
	if e.node != "" {
		in["to"] = e.node
	}
	var out struct {
		Leader string
		Term   uint64
		Took   int64 `json:"took_ms"`
	}
	err = n.client.call(ctx, http.MethodPost, leader+"/admin/v1/leader-transfer", in, &out)
	return fmt.Sprintf("%s leads in term %d, after %d ms", out.Leader, out.Term, out.Took), err
}

// leader returns the admin listener of the node that leads, as soon as one does.
func (n *nodes) leader(ctx context.Context) (base string, err error) {
	for {
		for _, base := range n.bases {
			if s, err := n.status(ctx, base); err == nil && s.Role == "leader" {
				return base, nil
			}
		}
		select {
		case <-ctx.Done():
			return "", errors.Join(errors.New("no leader among the admin listeners"), ctx.Err())
		case <-time.After(50 * time.Millisecond):
		}
	}
}
