package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"text/tabwriter"

	"github.com/spf13/cobra"
)

// printer writes a command's data in the form that its flag asks for.
type printer struct{ output string }

func (p *printer) bind(cmd *cobra.Command) {
	cmd.PersistentFlags().StringVarP(&p.output, "output", "o", "table", "table or json")
}

func (p *printer) validate() error {
	if p.output != "table" && p.output != "json" {
		return usage(fmt.Errorf("output %q is neither table nor json", p.output))
	}
	return nil
}

// print writes JSON indented, a server's with every field that it sent, also one
// that this program does not know; or it calls table, for people.
func (p *printer) print(w io.Writer, body []byte, table func(w io.Writer)) error {
	if p.output == "json" {
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

// printView is print for what a command made itself.
func (p *printer) printView(w io.Writer, v interface{ table(w io.Writer) }) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return p.print(w, body, v.table)
}

// sortedKeys returns the keys of m in order.
func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
