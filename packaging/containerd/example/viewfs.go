// SPDX-License-Identifier: Apache-2.0

// Package viewfs makes a view of a container's boot artifacts, and removes it, as a containerd shim
// should: see ../README.md, whose rules it follows one by one.
package viewfs

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
)

const (
	program   = "urunc-viewfs" // found on PATH
	directory = "/run/urunc-viewfs"

	attempts = 10 // at a mountpoint where another process mounts at the same time

	umountNoFollow = 0x8 // UMOUNT_NOFOLLOW, which package syscall lacks
)

// View holds the ready line of a view.
type View struct {
	ID          string     `json:"id"`
	Mountpoint  string     `json:"mountpoint"`
	Passthrough bool       `json:"passthrough"`
	ElapsedUS   int64      `json:"elapsed_us"`
	Artifacts   []Artifact `json:"artifacts,omitempty"` // with resolve=ready
}

// Artifact is one file of a view.
type Artifact struct {
	Role   string `json:"role"`
	Path   string `json:"path"`
	Layer  int    `json:"layer"`
	Origin string `json:"origin"`
	Size   int64  `json:"size"`
}

// Code says what kind of failure an Error is: errors.Is(err, viewfs.ErrNotApplicable).
type Code string

// The codes of the ready line.
const (
	ErrUsage         Code = "EUSAGE"
	ErrNotApplicable Code = "ENOTAPPLICABLE" // fall back without a warning
	ErrLayer         Code = "ELAYER"
	ErrConfig        Code = "ECONFIG"
	ErrNoArtifact    Code = "ENOARTIFACT"
	ErrArtifact      Code = "EARTIFACT"
	ErrMount         Code = "EMOUNT"
	ErrSystem        Code = "ESYSTEM"
)

func (code Code) Error() string { return string(code) }

// Error is the daemon's reason for a failed mount.
type Error struct {
	Code    Code   `json:"code"`
	Message string `json:"message"`
}

func (e *Error) Error() string { return e.Message }

// Unwrap returns the code.
func (e *Error) Unwrap() error { return e.Code }

// MakeView mounts the view of a container, before `urunc create` runs.
//
// The mounts are the Rootfs of the task's create request, or what the snapshotter's Mounts() or
// View() returned: whatever marshals to JSON as those do. The chain is the image's chain id, which
// is the parent of the container's snapshot; it finds the image in the artifact store where the
// mounts have no directories, and may be "". The options are mount options, such as mode=0444. No
// failure is a reason to fail the container: it boots as it would without a view.
//
// It may be called again for the same container. It ends with ctx, and at the latest with the
// daemon's own time limit.
func MakeView(ctx context.Context, namespace, id, chain string, mounts any, options ...string) (*View, error) {
	mountpoint, err := Mountpoint(namespace, id)
	if err != nil {
		return nil, err
	}
	input, err := json.Marshal(mounts)
	if err != nil {
		return nil, err
	}
	args := []string{"--mounts=-", "--id=" + id, "--ready-fd=3"}
	if chain != "" {
		args = append(args, "--chain="+chain)
	}
	for _, option := range options {
		args = append(args, "-o", option)
	}
	view, err := mount(ctx, mountpoint, input, args)
	if errors.Is(err, ErrMount) && ctx.Err() == nil {
		// Another view is there: of a container of that name whose deletion was skipped.
		if err := Delete(namespace, id); err != nil {
			return nil, err
		}
		view, err = mount(ctx, mountpoint, input, args)
	}
	return view, err
}

// Delete removes a container's view, dead or alive, if there is one. It may be called at any time,
// by any process, and again. A running monitor keeps its files of the view until it ends.
func Delete(namespace, id string) error {
	mountpoint, err := Mountpoint(namespace, id)
	if err != nil {
		return err
	}
	for attempt := 0; ; attempt++ {
		for err == nil { // another one may be below
			err = syscall.Unmount(mountpoint, syscall.MNT_DETACH|umountNoFollow)
		}
		if err != syscall.EINVAL && err != syscall.ENOENT {
			return fmt.Errorf("unmount %s: %w", mountpoint, err)
		}
		// Never RemoveAll: another process may have mounted there just now. Then rmdir says EBUSY.
		err = syscall.Rmdir(mountpoint)
		if err == nil || err == syscall.ENOENT {
			return nil
		}
		if err != syscall.EBUSY || attempt == attempts {
			return fmt.Errorf("remove %s: %w", mountpoint, err)
		}
		err = nil
	}
}

// Mountpoint is where a container's view goes: out of the bundle, which is removed with all that is
// in it. containerd's ids are unique only within one of its namespaces; no name of either begins with
// a dot, which leaves room for the daemon's own.
func Mountpoint(namespace, id string) (string, error) {
	for _, name := range []string{namespace, id} {
		if name == "" || name[0] == '.' || strings.ContainsRune(name, '/') {
			return "", fmt.Errorf("%q is no name for a directory", name)
		}
	}
	return filepath.Join(directory, namespace, id), nil
}

// mount makes the mountpoint and the view on it, or leaves nothing.
func mount(ctx context.Context, mountpoint string, input []byte, args []string) (*View, error) {
	if err := os.MkdirAll(filepath.Dir(mountpoint), 0o700); err != nil {
		return nil, err
	}
	// MkdirAll would ask what is mounted there, which may be dead.
	if err := os.Mkdir(mountpoint, 0o700); err != nil && !os.IsExist(err) {
		return nil, err
	}
	view, err := spawn(ctx, input, append(args, "--", program, mountpoint)...)
	if err != nil {
		// Stays where another view is mounted.
		_ = syscall.Rmdir(mountpoint)
	}
	return view, err
}

// spawn runs the program until it has told the outcome. All its descriptors are files, for which
// exec.Cmd starts no goroutines that Wait would wait for. What it could say on stderr is in the
// ready line.
func spawn(ctx context.Context, input []byte, args ...string) (*View, error) {
	stdin, err := filledPipe(input)
	if err != nil {
		return nil, err
	}
	defer stdin.Close()
	ready, writer, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer ready.Close()

	cmd := exec.Command(program, args...)
	cmd.Stdin = stdin
	cmd.ExtraFiles = []*os.File{writer} // descriptor 3
	// A shim that is killed during the call must leave no view. The signal comes when the thread ends
	// that started the program, so that this one must not end before.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err = cmd.Start()
	writer.Close()
	if err != nil {
		return nil, err
	}
	line, err := readLine(ctx, ready, cmd.Process)
	// The exit status adds nothing to the line, and the reaper of a shim may have taken it.
	_ = cmd.Wait()
	if err != nil {
		return nil, fmt.Errorf("%s ended without a ready line: %w", program, err)
	}
	view, err := parse(line)
	if err != nil && ctx.Err() != nil {
		return nil, fmt.Errorf("%w: %v", ctx.Err(), err)
	}
	return view, err
}

// filledPipe returns the end to read input from. The reader may stop before the end.
func filledPipe(input []byte) (*os.File, error) {
	reader, writer, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	go func() {
		defer writer.Close()
		_, _ = writer.Write(input)
	}()
	return reader, nil
}

// readLine waits for the ready line. When ctx ends first it asks the process to give up: with
// SIGTERM, on which it removes what it has made and says so; SIGKILL might leave a view.
func readLine(ctx context.Context, ready *os.File, process *os.Process) ([]byte, error) {
	done := make(chan struct{})
	defer close(done)
	go func() {
		select {
		case <-ctx.Done():
			_ = process.Signal(syscall.SIGTERM)
		case <-done:
		}
	}()
	return bufio.NewReader(ready).ReadBytes('\n')
}

func parse(line []byte) (*View, error) {
	var answer struct {
		Ready bool   `json:"ready"`
		Error *Error `json:"error"`
		View
	}
	if err := json.Unmarshal(line, &answer); err != nil {
		return nil, fmt.Errorf("ready line: %w", err)
	}
	if answer.Ready {
		return &answer.View, nil
	}
	if answer.Error == nil {
		return nil, fmt.Errorf("ready line: %q", line)
	}
	return nil, answer.Error
}
