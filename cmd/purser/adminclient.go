package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
)

// adminClient talks to the admin listener of a running server.
type adminClient struct {
	base   string
	output string
}

// bind adds the flags that every command on a running server has.
func (c *adminClient) bind(cmd *cobra.Command) {
	cmd.PersistentFlags().StringVar(&c.base, "admin", "http://127.0.0.1:8081", "base URL of the server's admin listener")
	cmd.PersistentFlags().StringVarP(&c.output, "output", "o", "table", "table or json")
}

func (c *adminClient) validate() error {
	if c.output != "table" && c.output != "json" {
		return usage(fmt.Errorf("output %q is neither table nor json", c.output))
	}
	return nil
}

// call sends a request, decodes the JSON of the response into view, and returns
// it as it came.
func (c *adminClient) call(ctx context.Context, method, path string, view any) (body []byte, err error) {
	if err := c.validate(); err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, nil)
	if err != nil {
		return nil, usage(fmt.Errorf("admin address: %w", err))
	}
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

// print writes a response's JSON indented, with every field that the server sent,
// also one that this program does not know; or it calls table, for people.
func (c *adminClient) print(w io.Writer, body []byte, table func(w io.Writer)) error {
	if c.output == "json" {
		var out bytes.Buffer
		if err := json.Indent(&out, bytes.TrimSpace(body), "", "  "); err != nil {
			return err
		}
		out.WriteByte('\n')
		_, err := out.WriteTo(w)
		return err
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	table(t)
	return t.Flush()
}

// The views are what tables show of the server's answers.

type memberView struct {
	ID       string `json:"id"`
	RaftAddr string `json:"raft_addr"`
	APIAddr  string `json:"api_addr"`
	Voter    bool   `json:"voter"`
	Lag      uint64 `json:"lag"`
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
}

func statusCommand() *cobra.Command {
	var c adminClient
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show the state of a running server",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var s statusView
			body, err := c.call(cmd.Context(), http.MethodGet, "/admin/v1/status", &s)
			if err != nil {
				return err
			}
			return c.print(cmd.OutOrStdout(), body, func(w io.Writer) {
				fmt.Fprintf(w, "node\t%s\nrole\t%s\nleader\t%s\nterm\t%d\ncommit index\t%d\napplied index\t%d\ndigest\t%s\nshards\t%d\nversion\t%s\n",
					s.Node, s.Role, s.Leader, s.Term, s.CommitIndex, s.AppliedIndex, s.Digest, s.Shards, s.Version)
				for _, m := range s.Members {
					fmt.Fprintf(w, "member\t%s\traft=%s\tapi=%s\tvoter=%t\tlag=%d\n", m.ID, m.RaftAddr, m.APIAddr, m.Voter, m.Lag)
				}
			})
		},
	}
	c.bind(cmd)
	return cmd
}

type snapshotView struct {
	ID        string    `json:"id"`
	Index     uint64    `json:"index"`
	Term      uint64    `json:"term"`
	Bytes     int64     `json:"bytes"`
	CreatedAt time.Time `json:"created_at"`
}

func (s snapshotView) row(w io.Writer) {
	fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%s\n", s.ID, s.Index, s.Term, s.Bytes, s.CreatedAt.Format(time.RFC3339))
}

const snapshotHead = "ID\tINDEX\tTERM\tBYTES\tCREATED\n"

func snapshotCommand() *cobra.Command {
	var c adminClient
	cmd := group(&cobra.Command{
		Use:   "snapshot",
		Short: "Take and list snapshots",
	})
	c.bind(cmd)
	save := &cobra.Command{
		Use:   "save [FILE]",
		Short: "Take a snapshot now, and download it as a tar archive if FILE is given",
		Args:  atMostOneArg,
		RunE: func(cmd *cobra.Command, args []string) error {
			var s snapshotView
			body, err := c.call(cmd.Context(), http.MethodPost, "/admin/v1/snapshots", &s)
			if err != nil {
				return err
			}
			if len(args) == 1 {
				if err := c.download(cmd.Context(), s.ID, args[0]); err != nil {
					return err
				}
			}
			return c.print(cmd.OutOrStdout(), body, func(w io.Writer) {
				fmt.Fprint(w, snapshotHead)
				s.row(w)
			})
		},
	}
	list := &cobra.Command{
		Use:   "list",
		Short: "List the snapshots that the server keeps",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var out struct {
				Snapshots []snapshotView `json:"snapshots"`
			}
			body, err := c.call(cmd.Context(), http.MethodGet, "/admin/v1/snapshots", &out)
			if err != nil {
				return err
			}
			return c.print(cmd.OutOrStdout(), body, func(w io.Writer) {
				fmt.Fprint(w, snapshotHead)
				for _, s := range out.Snapshots {
					s.row(w)
				}
			})
		},
	}
	cmd.AddCommand(save, list)
	return cmd
}

// download stores a snapshot's archive in a file that must not exist yet, and
// leaves none behind if it cannot be had whole.
func (c *adminClient) download(ctx context.Context, id, path string) (err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+"/admin/v1/snapshots/"+id, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(resp.Body)
		return problem(resp.StatusCode, body)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = f.Close()
			_ = os.Remove(path)
		}
	}()
	if _, err := io.Copy(f, resp.Body); err != nil {
		return fmt.Errorf("download snapshot %s: %w", id, err)
	}
	if err := f.Sync(); err != nil {
		return err
	}
	return f.Close()
}

type verifyView struct {
	OK         bool                    `json:"ok"`
	Index      uint64                  `json:"index"`
	Currencies map[string]currencyView `json:"currencies"`
	Rows       uint64                  `json:"rows"`
	Faults     []string                `json:"faults"`
	FaultCount int                     `json:"fault_count"`
}

type currencyView struct {
	Accounts int    `json:"accounts"`
	Sum      string `json:"sum"`
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
			err = c.print(cmd.OutOrStdout(), body, func(w io.Writer) {
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
				fmt.Fprintf(w, "ok\t%t\tat index %d, %d rows\n", v.OK, v.Index, v.Rows)
			})
			if err == nil && !v.OK {
				return &exitError{code: exitBooks, err: fmt.Errorf("the books do not balance at index %d", v.Index)}
			}
			return err
		},
	}
	c.bind(cmd)
	cmd.Flags().BoolVar(&deep, "deep", false, "check every account, row and idempotency key against the journal, not only the sums against its running totals")
	return cmd
}
