package bench

import (
	"fmt"
	"os"
	"runtime"
	"strings"
)

// Machine says where a figure was measured.
type Machine struct {
	CPUs   int    `json:"cpus"`
	Model  string `json:"model,omitempty"` // of the CPU, where the system tells
	OS     string `json:"os"`
	Arch   string `json:"arch"`
	Kernel string `json:"kernel,omitempty"` // where the system tells
	Go     string `json:"go"`
}

// thisMachine reads what /proc has to tell; elsewhere those fields are empty.
func thisMachine() Machine {
	m := Machine{CPUs: runtime.NumCPU(), OS: runtime.GOOS, Arch: runtime.GOARCH, Go: runtime.Version()}
	if text, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		m.Kernel = strings.TrimSpace(string(text))
	}
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		_, rest, _ := strings.Cut(string(text), "model name")
		line, _, _ := strings.Cut(rest, "\n")
		m.Model = strings.TrimLeft(line, "\t :")
	}
	return m
}

func (m Machine) String() string {
	return fmt.Sprintf("%d CPUs (%s), %s/%s %s, %s", m.CPUs, m.Model, m.OS, m.Arch, m.Kernel, m.Go)
}
