//go:build linux || darwin

package site

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"time"
)

// Status is what a node says of itself, as far as a test asks.
type Status struct {
	Node         string   `json:"node"`
	Role         string   `json:"role"`
	Leader       string   `json:"leader"`
	Term         uint64   `json:"term"`
	AppliedIndex uint64   `json:"applied_index"`
	Digest       string   `json:"digest"`
	Members      []Member `json:"members"`
}

// Member is one node of the cluster, as another one sees it.
type Member struct {
	ID    string `json:"id"`
	Voter bool   `json:"voter"`
}

// Voters returns how many nodes vote.
func (s *Status) Voters() (count int) {
	for _, m := range s.Members {
		if m.Voter {
			count++
		}
	}
	return count
}

// Has reports whether a node is a member.
func (s *Status) Has(id string) bool {
	return slices.ContainsFunc(s.Members, func(m Member) bool { return m.ID == id })
}

// client makes the calls. It opens a connection for each: the process that was
// there a moment ago may be gone.
var client = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

// call makes a call to the admin listener. A status from 400 on is an error with
// what the node says.
func (m *Machine) call(ctx context.Context, method, path string, in, out any) error {
	var content []byte
	if in != nil {
		var err error
		if content, err = json.Marshal(in); err != nil {
			return err
		}
	}
	resp, err := m.do(ctx, method, path, content)
	if err != nil {
		return err
	}
	body, err := io.ReadAll(resp.Body)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		return err
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(body, out)
}

func (m *Machine) do(ctx context.Context, method, path string, content []byte) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://"+m.admin+path, bytes.NewReader(content))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode >= http.StatusBadRequest {
		body, err := io.ReadAll(resp.Body)
		return nil, errors.Join(fmt.Errorf("%s %s of machine %d: %d %s", method, path, m.number, resp.StatusCode, body), err, resp.Body.Close())
	}
	return resp, nil
}

// Status asks the node where it stands.
func (m *Machine) Status(ctx context.Context) (s Status, err error) {
	err = m.call(ctx, http.MethodGet, "/admin/v1/status", nil, &s)
	return s, err
}

// Ready returns nil when the node takes requests.
func (m *Machine) Ready(ctx context.Context) error {
	return m.call(ctx, http.MethodGet, "/readyz", nil, nil)
}

// Transfer asks the node to have the lead handed over to node to, to any for "".
func (m *Machine) Transfer(ctx context.Context, to string) error {
	return m.call(ctx, http.MethodPost, "/admin/v1/leader-transfer", map[string]string{"to": to}, nil)
}

// Snapshot has the node take one.
func (m *Machine) Snapshot(ctx context.Context) error {
	return m.call(ctx, http.MethodPost, "/admin/v1/snapshots", nil, nil)
}

// Remove asks the node to have a member removed.
func (m *Machine) Remove(ctx context.Context, id string) error {
	return m.call(ctx, http.MethodDelete, "/admin/v1/members/"+id, nil, nil)
}

// Verify has the node check all its books.
func (m *Machine) Verify(ctx context.Context) error {
	var report struct {
		OK     bool     `json:"ok"`
		Faults []string `json:"faults"`
	}
	if err := m.call(ctx, http.MethodPost, "/admin/v1/verify?deep=true", nil, &report); err != nil {
		return err
	}
	if !report.OK {
		return fmt.Errorf("machine %d: the books are wrong: %q", m.number, report.Faults)
	}
	return nil
}

// VerifyBackup takes a snapshot, downloads it and has the program check it without
// a server.
func (m *Machine) VerifyBackup(ctx context.Context) (err error) {
	var taken struct {
		ID string `json:"id"`
	}
	if err := m.call(ctx, http.MethodPost, "/admin/v1/snapshots", nil, &taken); err != nil {
		return err
	}
	resp, err := m.do(ctx, http.MethodGet, "/admin/v1/snapshots/"+taken.ID, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, resp.Body.Close()) }()
	f, err := os.CreateTemp(m.dir, "backup-*.tar")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.Remove(f.Name())) }()
	_, err = io.Copy(f, resp.Body)
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	return run(ctx, m.site.cfg.Binary, "snapshot", "verify", "--deep", f.Name())
}

// askTime bounds a question that is only to find out who answers.
const askTime = 2 * time.Second

// Statuses asks all machines at the same time. Those that do not answer soon are
// nil.
func (s *Site) Statuses(ctx context.Context) (all [Size]*Status) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	done := make(chan struct{})
	for i, m := range s.Machines {
		go func() {
			defer func() { done <- struct{}{} }()
			if status, err := m.Status(ctx); err == nil {
				all[i] = &status
			}
		}()
	}
	for range s.Machines {
		<-done
	}
	return all
}

// Leader returns the machine whose node leads, nil for none: of several that say so
// the one with the highest term.
func (s *Site) Leader(ctx context.Context) (leader *Machine) {
	var term uint64
	for i, status := range s.Statuses(ctx) {
		if status != nil && status.Role == "leader" && status.Term >= term {
			leader, term = s.Machines[i], status.Term
		}
	}
	return leader
}
