package bench

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
)

// Machine says where a figure was measured. What the system does not tell is
// empty.
type Machine struct {
	CPUs   int    `json:"cpus"`
	Model  string `json:"model,omitempty"`        // of the CPU
	Memory uint64 `json:"memory_bytes,omitempty"` // all of it
	OS     string `json:"os"`
	Arch   string `json:"arch"`
	Kernel string `json:"kernel,omitempty"`
	// FileSystem is the type of the file system of Config.Dir.
	FileSystem string `json:"file_system,omitempty"`
	Go         string `json:"go"`
}

// thisMachine reads what /proc has to tell; dir is a directory on the disk that
// matters.
func thisMachine(dir string) Machine {
	m := Machine{CPUs: runtime.NumCPU(), OS: runtime.GOOS, Arch: runtime.GOARCH, Go: runtime.Version(), FileSystem: fileSystem(dir)}
	if text, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		m.Kernel = strings.TrimSpace(string(text))
	}
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		m.Model = procField(string(text), "model name")
	}
	if text, err := os.ReadFile("/proc/meminfo"); err == nil {
		kib, _, _ := strings.Cut(procField(string(text), "MemTotal"), " ")
		if n, err := strconv.ParseUint(kib, 10, 54); err == nil {
			m.Memory = n << 10
		}
	}
	return m
}

// procField returns the value of the first line "name: value" of a /proc file,
// or "".
func procField(text, name string) string {
	_, rest, _ := strings.Cut("\n"+text, "\n"+name)
	line, _, _ := strings.Cut(rest, "\n")
	return strings.TrimLeft(line, "\t :")
}

func (m Machine) String() string {
	return fmt.Sprintf("%d CPUs (%s), %d GiB, %s/%s %s, %s, %s",
		m.CPUs, m.Model, (m.Memory+1<<29)>>30, m.OS, m.Arch, m.Kernel, m.FileSystem, m.Go)
}
