package main

import (
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// version is set by the linker; see the Makefile.
var version = ""

// buildVersion is the version that was linked in, or the revision that the
// binary was built from, or "devel".
func buildVersion() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				return s.Value
			}
		}
	}
	return "devel"
}

func versionCommand() *cobra.Command {
	var out printer
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := out.validate(); err != nil {
				return err
			}
			platform := runtime.GOOS + "/" + runtime.GOARCH
			body, err := json.Marshal(map[string]string{"version": buildVersion(), "go": runtime.Version(), "platform": platform})
			if err != nil {
				return err
			}
			return out.print(cmd.OutOrStdout(), body, func(w io.Writer) {
				fmt.Fprintf(w, "purser %s %s %s\n", buildVersion(), runtime.Version(), platform)
			})
		},
	}
	out.bind(cmd)
	return cmd
}
