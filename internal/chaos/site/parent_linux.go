package site

import (
	"os/exec"
	"syscall"
)

// endWithParent has the process killed when this one ends in whatever way.
func endWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}
