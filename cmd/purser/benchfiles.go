package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"purser/bench"
	"purser/bench/compare"
	"purser/bench/report"
)

// The commands in this file work on results that bench run has written.

func benchReportCommand() *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use:   "report RESULT [LATER]",
		Short: "Draw a result, or two beside each other, as an HTML page",
		Long: `Draws a result of bench run --out as one HTML page with plots, the verdict
first. With a second result the page shows what changed from the first to the
second. The page needs no network and no other file.`,
		Example: `  purser bench report r.json
  purser bench report before.json after.json --out change.html`,
		Args: func(cmd *cobra.Command, args []string) error { return asUsage(cobra.RangeArgs(1, 2)(cmd, args)) },
		RunE: func(cmd *cobra.Command, args []string) error {
			runs, err := readRuns(args)
			if err != nil {
				return err
			}
			for i := range runs {
				runs[i].Name = filepath.Base(runs[i].Name)
			}
			write := func(w io.Writer) error { return report.Write(w, runs[0]) }
			if len(runs) == 2 {
				write = func(w io.Writer) error { return report.WriteTwo(w, runs[0], runs[1]) }
			}
			if out == "-" {
				return write(cmd.OutOrStdout())
			}
			if out == "" {
				last := args[len(args)-1]
				out = strings.TrimSuffix(last, filepath.Ext(last)) + ".html"
			}
			if err := writeFile(out, write); err != nil {
				return err
			}
			fmt.Fprintln(os.Stderr, "wrote", out)
			return nil
		},
	}
	cmd.Flags().StringVar(&out, "out", "", "file to write, - for standard output (default: the last result's name, ending in .html)")
	return cmd
}

func benchCompareCommand() *cobra.Command {
	var options compare.Options
	var p printer
	cmd := &cobra.Command{
		Use:   "compare BEFORE AFTER",
		Short: "Tell whether results are better, worse or no different",
		Long: `Compares results of bench run --out. Each side is one file, or several repeats:
names or patterns with commas between them. It prints medians, the change with
an interval that has it with the given confidence (by ranks: Hodges-Lehmann and
Mann-Whitney, nothing random), and says which side is better. Take at least four
repeats on each side, in turn; with fewer the intervals are of the seconds within
the runs, and know nothing of what differs from run to run.

Results of unlike machines or loads are refused with the name of what differs
(exit code 1), as are those whose verdict is INVALID or BOOKS WRONG.`,
		Example: `  purser bench compare before.json after.json
  purser bench compare 'before-*.json' 'after-*.json'
  purser bench compare a1.json,a2.json,a3.json,a4.json b1.json,b2.json,b3.json,b4.json -o json`,
		Args: func(cmd *cobra.Command, args []string) error { return asUsage(cobra.ExactArgs(2)(cmd, args)) },
		PreRunE: func(*cobra.Command, []string) error {
			return asUsage(errors.Join(p.validate(), options.Validate()))
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			var sides [2][]compare.Run
			for i, arg := range args {
				names, err := fileNames(arg)
				if err != nil {
					return err
				}
				if sides[i], err = readRuns(names); err != nil {
					return err
				}
			}
			c, err := compare.Compare(sides[0], sides[1], options)
			if err != nil {
				return err
			}
			if p.output == "json" {
				return c.JSON(cmd.OutOrStdout())
			}
			return c.Text(cmd.OutOrStdout())
		},
	}
	p.bind(cmd)
	cmd.Flags().Float64Var(&options.Confidence, "confidence", 0.95, "probability with which a change lies in its interval")
	cmd.Flags().Float64Var(&options.Margin, "margin", 0.02, "share of a change below which it is no difference")
	cmd.Flags().BoolVar(&options.Force, "force", false, "compare what does not compare, and say why it does not")
	return cmd
}

// fileNames resolves names and patterns with commas between them.
func fileNames(list string) (names []string, err error) {
	for name := range strings.SplitSeq(list, ",") {
		found, err := filepath.Glob(name)
		if err != nil {
			return nil, usage(fmt.Errorf("%s: %w", name, err))
		}
		if len(found) == 0 {
			found = []string{name} // its reader says what is wrong with it
		}
		names = append(names, found...)
	}
	return names, nil
}

func readRuns(names []string) (runs []compare.Run, err error) {
	for _, name := range names {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		r, err := bench.ReadResult(f)
		f.Close() // it was only read
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		runs = append(runs, compare.Run{Name: name, Result: r})
	}
	return runs, nil
}
