package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"

	"github.com/spf13/cobra"
)

// adminClient talks to the admin listener of a running server.
type adminClient struct {
	base string
	printer
}

// bind adds the flags that every command on a running server has.
func (c *adminClient) bind(cmd *cobra.Command) {
	cmd.PersistentFlags().StringVar(&c.base, "admin", "http://127.0.0.1:8081", "base URL of the server's admin listener")
	c.printer.bind(cmd)
}

// call sends a request, decodes the JSON of the response into view, and returns
// it as it came.
func (c *adminClient) call(ctx context.Context, method, path string, view any) (body []byte, err error) {
	return c.send(ctx, method, path, nil, view)
}

// send is call with a JSON body, unless that is nil.
func (c *adminClient) send(ctx context.Context, method, path string, in, view any) (body []byte, err error) {
	if err := c.validate(); err != nil {
		return nil, err
	}
	var content []byte
	if in != nil {
		if content, err = json.Marshal(in); err != nil {
			return nil, err
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(content))
	if err != nil {
		return nil, usage(fmt.Errorf("admin address: %w", err))
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	if body, err = io.ReadAll(resp.Body); err != nil {
		return nil, fmt.Errorf("read the answer of %s: %w", path, err)
	}
	if resp.StatusCode >= http.StatusBadRequest {
		return nil, problem(resp.StatusCode, body)
	}
	if err := json.Unmarshal(body, view); err != nil {
		return nil, fmt.Errorf("read the answer of %s: %w", path, err)
	}
	return body, nil
}

// problem is the error that a server's problem document describes.
func problem(status int, body []byte) error {
	var p struct{ Code, Detail string }
	if json.Unmarshal(body, &p) != nil || p.Code == "" {
		return fmt.Errorf("the server answered %d", status)
	}
	return fmt.Errorf("the server answered %d %s: %s", status, p.Code, p.Detail)
}

// The views are what tables show of the server's answers.

type memberView struct {
	ID       string `json:"id"`
	RaftAddr string `json:"raft_addr"`
	APIAddr  string `json:"api_addr"`
	Voter    bool   `json:"voter"`
	Formats  int    `json:"formats"`

	// Only the leader knows these.
	Lag       *uint64 `json:"lag"`
	Reachable *bool   `json:"reachable"`
}

// orDash shows what a server may not know.
func orDash[T any](v *T) string {
	if v == nil {
		return "-"
	}
	return fmt.Sprint(*v)
}

type statusView struct {
	Node         string       `json:"node"`
	Role         string       `json:"role"`
	Leader       string       `json:"leader"`
	Term         uint64       `json:"term"`
	CommitIndex  uint64       `json:"commit_index"`
	AppliedIndex uint64       `json:"applied_index"`
	Digest       string       `json:"digest"`
	Members      []memberView `json:"members"`
	Shards       int          `json:"shards"`
	Version      string       `json:"version"`
	Cluster      string       `json:"cluster"`
	Format       int          `json:"format"`
	Formats      int          `json:"formats"`
	Forming      string       `json:"forming"`
	Diverged     string       `json:"diverged"`
}

// showStatus prints a server's status, of which table shows people a part.
func (c *adminClient) showStatus(cmd *cobra.Command, table func(w io.Writer, s *statusView)) error {
	var s statusView
	body, err := c.call(cmd.Context(), http.MethodGet, "/admin/v1/status", &s)
	if err != nil {
		return err
	}
	return c.print(cmd.OutOrStdout(), body, func(w io.Writer) { table(w, &s) })
}

func statusCommand() *cobra.Command {
	var c adminClient
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show the state of a running server",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.showStatus(cmd, writeStatus)
		},
	}
	c.bind(cmd)
	return cmd
}

func writeStatus(w io.Writer, s *statusView) {
	fmt.Fprintf(w, "node\t%s\nrole\t%s\nleader\t%s\nterm\t%d\ncommit index\t%d\napplied index\t%d\ndigest\t%s\nshards\t%d\nversion\t%s\n",
		s.Node, s.Role, s.Leader, s.Term, s.CommitIndex, s.AppliedIndex, s.Digest, s.Shards, s.Version)
	fmt.Fprintf(w, "cluster\t%s\nformat\t%d\treads up to %d\n", s.Cluster, s.Format, s.Formats)
	if s.Forming != "" {
		fmt.Fprintf(w, "forming\t%s\n", s.Forming)
	}
	if s.Diverged != "" {
		fmt.Fprintf(w, "diverged\t%s\n", s.Diverged)
	}
	for _, m := range s.Members {
		fmt.Fprintf(w, "member\t%s\traft=%s\tapi=%s\tvoter=%t\tlag=%s\n", m.ID, m.RaftAddr, m.APIAddr, m.Voter, orDash(m.Lag))
	}
}

type verifyView struct {
	OK         bool                    `json:"ok"`
	Index      uint64                  `json:"index"`
	Currencies map[string]currencyView `json:"currencies"`
	Rows       uint64                  `json:"rows"`
	Faults     []string                `json:"faults"`
	FaultCount int                     `json:"fault_count"`
	Deep       bool                    `json:"deep"`
}

type currencyView struct {
	Accounts int    `json:"accounts"`
	Sum      string `json:"sum"`
}

// table is for people.
func (v *verifyView) table(w io.Writer) {
	fmt.Fprintf(w, "CURRENCY\tACCOUNTS\tSUM\n")
	for _, code := range sortedKeys(v.Currencies) {
		fmt.Fprintf(w, "%s\t%d\t%s\n", code, v.Currencies[code].Accounts, v.Currencies[code].Sum)
	}
	for _, fault := range v.Faults {
		fmt.Fprintf(w, "fault\t%s\n", fault)
	}
	if more := v.FaultCount - len(v.Faults); more > 0 {
		fmt.Fprintf(w, "fault\tand %d more\n", more)
	}
	extent := "sums"
	if v.Deep {
		extent = "every row"
	}
	fmt.Fprintf(w, "ok\t%t\tat index %d, %d rows, checked by %s\n", v.OK, v.Index, v.Rows, extent)
}

// verdict is an error with an exit code of its own if the books do not balance.
func (v *verifyView) verdict() error {
	if v.OK {
		return nil
	}
	for _, c := range v.Currencies {
		if c.Sum != "0" {
			return &exitError{code: exitBooks, err: fmt.Errorf("the books do not balance at index %d", v.Index)}
		}
	}
	return &exitError{code: exitBooks, err: fmt.Errorf("the books are wrong, or cannot be read, at index %d: %d faults", v.Index, v.FaultCount)}
}

func verifyCommand() *cobra.Command {
	var c adminClient
	var deep bool
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Check that the books of a running server balance",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			path := "/admin/v1/verify"
			if deep {
				path += "?deep=true"
			}
			var v verifyView
			body, err := c.call(cmd.Context(), http.MethodPost, path, &v)
			if err != nil {
				return err
			}
			if err := c.print(cmd.OutOrStdout(), body, v.table); err != nil {
				return err
			}
			return v.verdict()
		},
	}
	c.bind(cmd)
	cmd.Flags().BoolVar(&deep, "deep", false, "check every account, row and idempotency key against the journal, not only the sums against its running totals")
	return cmd
}
