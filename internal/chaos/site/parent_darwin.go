package site

import (
	"os/exec"
	"syscall"
)

// endWithParent cannot be had here: a test that is killed leaves its processes.
func endWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
}
