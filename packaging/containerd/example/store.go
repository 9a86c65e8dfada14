// SPDX-License-Identifier: Apache-2.0

package viewfs

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
)

const storeProgram = "viewfsctl" // found on PATH

// Mount is one of containerd's, as it marshals to JSON.
type Mount struct {
	Type    string
	Source  string
	Options []string
}

// FillStore copies the boot artifacts of an image out of a read-only snapshot into the artifact
// store, under the image's chain id. The mounts are what the snapshotter's View() of the parent
// returned; never those of a container's own snapshot, which its guest writes to. The caller holds
// a lease meanwhile, and removes the View afterwards.
//
// The snapshot is mounted in a mount namespace of its own, which ends with the processes in it:
// nothing is left mounted, even if this process is killed.
func FillStore(ctx context.Context, chain string, mounts []Mount, options ...string) error {
	if len(mounts) != 1 {
		return fmt.Errorf("%d mounts: the View of one snapshot is one", len(mounts))
	}
	// The directory that is covered; only the processes below see it so.
	if err := os.MkdirAll(directory, 0o700); err != nil {
		return err
	}
	const script = `mount -t "$1" -o "$2" "$3" "$4" && shift 4 && exec "$@"`
	view := mounts[0]
	args := []string{"-c", script, "sh", view.Type, readOnly(view), view.Source, directory}
	args = append(args, storeProgram, "store", "add", "--chain="+chain, "--tree="+directory)
	for _, option := range options {
		args = append(args, "-o", option)
	}
	cmd := exec.CommandContext(ctx, "/bin/sh", args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	var said bytes.Buffer
	cmd.Stderr = &said
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%w: %s", err, strings.TrimSpace(said.String()))
	}
	return nil
}

// readOnly returns the mount's options such that nothing is written to its device. A journal that
// was not replayed stays so: containerd commits a snapshot after it unmounted it.
func readOnly(view Mount) string {
	options := []string{"ro"}
	for _, option := range view.Options {
		if option != "rw" && option != "ro" {
			options = append(options, option)
		}
	}
	switch view.Type {
	case "ext4":
		options = append(options, "noload")
	case "xfs":
		options = append(options, "norecovery")
	}
	return strings.Join(options, ",")
}
