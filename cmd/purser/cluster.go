package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"purser/internal/nodetls"
)

func clusterCommand() *cobra.Command {
	var c adminClient
	cmd := group(&cobra.Command{Use: "cluster", Short: "Members of a running cluster, who leads it, and their certificates"})
	cmd.AddCommand(membersCommand(&c), addCommand(&c), removeCommand(&c), transferCommand(&c), certsCommand())
	for _, sub := range cmd.Commands() {
		if sub.Name() != "certs" {
			c.bind(sub)
		}
	}
	return cmd
}

func membersCommand(c *adminClient) *cobra.Command {
	return &cobra.Command{
		Use:   "members",
		Short: "List the members",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.showStatus(cmd, writeMembers)
		},
	}
}

func writeMembers(w io.Writer, s *statusView) {
	fmt.Fprintln(w, "ID\tROLE\tRAFT\tAPI\tLAG\tREACHABLE\tFORMATS")
	for _, m := range s.Members {
		role := "voter"
		switch {
		case m.ID == s.Leader:
			role = "leader"
		case !m.Voter:
			role = "learner"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%d\n", m.ID, role, m.RaftAddr, m.APIAddr, orDash(m.Lag), orDash(m.Reachable), m.Formats)
	}
}

func addCommand(c *adminClient) *cobra.Command {
	in := struct {
		ID       string `json:"id"`
		RaftAddr string `json:"raft_addr"`
		APIAddr  string `json:"api_addr"`
		Voter    bool   `json:"voter"`
	}{}
	var learner bool
	cmd := &cobra.Command{
		Use:   "add",
		Short: "Make a node that waits to join a member, or a member a learner or a voter",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			in.Voter = !learner
			body, err := c.send(cmd.Context(), http.MethodPost, "/admin/v1/members", in, &struct{}{})
			if err != nil {
				return err
			}
			return c.print(cmd.OutOrStdout(), body, func(w io.Writer) { fmt.Fprintf(w, "added\t%s\n", in.ID) })
		},
	}
	cmd.Flags().StringVar(&in.ID, "id", "", "name of the node")
	cmd.Flags().StringVar(&in.RaftAddr, "raft-addr", "", "its raft address")
	cmd.Flags().StringVar(&in.APIAddr, "api-addr", "", "its API address")
	cmd.Flags().BoolVar(&learner, "learner", false, "it follows and never votes")
	return cmd
}

func removeCommand(c *adminClient) *cobra.Command {
	return &cobra.Command{
		Use:   "remove ID",
		Short: "Take a node out, for good: its id cannot be used again",
		Args:  oneArg,
		RunE: func(cmd *cobra.Command, args []string) error {
			body, err := c.call(cmd.Context(), http.MethodDelete, "/admin/v1/members/"+url.PathEscape(args[0]), &struct{}{})
			if err != nil {
				return err
			}
			return c.print(cmd.OutOrStdout(), body, func(w io.Writer) { fmt.Fprintf(w, "removed\t%s\n", args[0]) })
		},
	}
}

func transferCommand(c *adminClient) *cobra.Command {
	in := struct {
		To string `json:"to,omitempty"`
	}{}
	cmd := &cobra.Command{
		Use:   "transfer-leader",
		Short: "Hand the lead to another voter, and wait until it leads",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var done struct {
				Leader string `json:"leader"`
				Term   uint64 `json:"term"`
				TookMS int64  `json:"took_ms"`
			}
			body, err := c.send(cmd.Context(), http.MethodPost, "/admin/v1/leader-transfer", in, &done)
			if err != nil {
				return err
			}
			return c.print(cmd.OutOrStdout(), body, func(w io.Writer) {
				fmt.Fprintf(w, "leader\t%s\t(term %d, after %d ms)\n", done.Leader, done.Term, done.TookMS)
			})
		},
	}
	cmd.Flags().StringVar(&in.To, "to", "", "name of the node that is to lead (default: any)")
	return cmd
}

// certsCommand makes what --peer-tls-dir takes. It is for a start: an organisation
// with an authority of its own uses that.
func certsCommand() *cobra.Command {
	var dir string
	var nodes []string
	var replace bool
	cmd := &cobra.Command{
		Use:   "certs",
		Short: "Make an authority, if there is none, and certificates of nodes",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if len(nodes) == 0 {
				return usage(errors.New("--node is required"))
			}
			authority, err := nodetls.CreateAuthority(dir)
			if err != nil {
				return err
			}
			for _, node := range nodes {
				id, hosts, _ := strings.Cut(node, "=")
				request := nodetls.Request{NodeID: id, Replace: replace}
				if hosts != "" {
					request.Hosts = strings.Split(hosts, "+")
				}
				files, err := authority.Issue(request)
				if err != nil {
					return err
				}
				if _, err := fmt.Fprintln(cmd.OutOrStdout(), files.Cert); err != nil {
					return err
				}
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&dir, "dir", "certs", "directory of the authority and the certificates")
	cmd.Flags().StringSliceVar(&nodes, "node", nil, "node id, or id=host+host, for each node")
	cmd.Flags().BoolVar(&replace, "renew", false, "replace certificates that there are")
	return cmd
}
