// SPDX-License-Identifier: Apache-2.0

package viewfs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	defaultProgram = "urunc-viewfs"
	defaultControl = "viewfsctl"
	defaultDir     = "/run/urunc-viewfs"
	defaultTimeout = 10 * time.Second

	attempts       = 10  // at a mountpoint where another process mounts at the same time
	umountNoFollow = 0x8 // UMOUNT_NOFOLLOW, which package syscall lacks
)

// Client calls the programs. The zero value is ready to use, by several goroutines.
type Client struct {
	Program string        // urunc-viewfs, on PATH, if empty
	Control string        // viewfsctl, on PATH, if empty
	Dir     string        // views are mounted at Dir/NAMESPACE/ID; /run/urunc-viewfs if empty
	Store   string        // the artifact store; the programs' own default if empty
	Timeout time.Duration // of a call; 10 s if zero
	Options []string      // mount options of every view, such as mode=0444
	Logger  func(Entry)   // receives what the program logs; may be nil

	known atomic.Pointer[Features]
}

// Request says which view is wanted. The image is that of Mounts or of Bundle, if these have layer
// directories; else that of Chain or Manifest. At least one of the four is required.
type Request struct {
	Namespace string // of containerd
	ID        string // of the container

	// Mounts is the Rootfs of the request to create the task, or what the snapshotter's Mounts()
	// or View() returned: []mount.Mount, []*types.Mount, or what else marshals to the same JSON.
	Mounts any
	// Bundle is the directory of a bundle whose rootfs is mounted. It is ignored if Mounts is given.
	Bundle string

	// Annotations of the container's spec: see BootOptions. A bundle's own are read from it.
	Annotations map[string]string

	// Chain is the chain id that the container's snapshot has for its parent, "sha256:HEX". The
	// artifact store is searched for it.
	Chain string
	// Manifest is the digest of the image's manifest, "sha256:HEX", and Content the directory of the
	// content store that holds it and the image's layers. An image that the store lacks is filled
	// from there: see the option ingest=.
	Manifest, Content string

	Options []string // more mount options, with overlayfs's escapes
}

// Make mounts the view of a container, before it is created. Called again for the same container it
// returns the view that is there. When ctx ends, no view is left.
func (c *Client) Make(ctx context.Context, request Request) (*View, error) {
	mountpoint, err := c.Mountpoint(request.Namespace, request.ID)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, c.timeout()+grace)
	defer cancel()
	view, err := c.mount(ctx, mountpoint, request)
	if errors.Is(err, ErrMount) && ctx.Err() == nil {
		// Another view is there: of a container of that name whose deletion was skipped.
		if err := c.Remove(ctx, request.Namespace, request.ID); err != nil {
			return nil, err
		}
		view, err = c.mount(ctx, mountpoint, request)
	}
	return view, err
}

// Remove unmounts a container's view, dead or alive, if there is one. It may be called at any time,
// by any process, and again. A running monitor keeps its files of the view until it ends.
func (c *Client) Remove(ctx context.Context, namespace, id string) error {
	mountpoint, err := c.Mountpoint(namespace, id)
	if err != nil {
		return err
	}
	return remove(ctx, mountpoint)
}

// Resolve says what a view would hold, and mounts nothing. An image that could not boot is an error.
func (c *Client) Resolve(ctx context.Context, request Request) ([]Artifact, error) {
	answer, err := c.resolve(ctx, request)
	if answer == nil {
		return nil, err
	}
	return answer.Artifacts, err
}

func (c *Client) resolve(ctx context.Context, request Request) (*resolved, error) {
	args, input, err := c.arguments(ctx, request)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, c.timeout()+grace)
	defer cancel()
	args = append([]string{"resolve", "--json"}, args...)
	text, err := c.run(ctx, call{program: c.control(), args: args, input: input, stdout: true, log: c.log})
	if err != nil {
		return nil, err
	}
	return parseResolved(text)
}

// Mountpoint is where a container's view goes: out of the bundle, which is removed with all that is
// in it. containerd's ids are unique only within a namespace of containerd. No name of either begins
// with a dot, which leaves room for the program's own.
func (c *Client) Mountpoint(namespace, id string) (string, error) {
	for _, name := range []string{namespace, id} {
		if name == "" || name[0] == '.' || strings.ContainsAny(name, "/\x00") {
			return "", fmt.Errorf("%q is no name for a directory", name)
		}
	}
	return filepath.Join(orDefault(c.Dir, defaultDir), namespace, id), nil
}

// mount makes the mountpoint and the view on it, or leaves nothing.
func (c *Client) mount(ctx context.Context, mountpoint string, request Request) (*View, error) {
	args, input, err := c.arguments(ctx, request)
	if err != nil {
		return nil, err
	}
	// Where there is no program there is no directory either.
	program, err := exec.LookPath(c.program())
	if err != nil {
		return nil, notInstalled(err)
	}
	if err := os.MkdirAll(filepath.Dir(mountpoint), 0o700); err != nil {
		return nil, err
	}
	// MkdirAll would ask what is mounted there, which may be dead.
	if err := os.Mkdir(mountpoint, 0o700); err != nil && !os.IsExist(err) {
		return nil, err
	}
	args = append(args, "--id="+request.ID, "--ready-fd=3", "--log-format=json", "--",
		defaultProgram, mountpoint)
	line, err := c.run(ctx, call{program: program, args: args, input: input, log: c.log})
	var view *View
	if err == nil {
		view, err = ParseLine(line)
	}
	if ctx.Err() != nil && err != nil {
		// The program may have been killed between mounting and saying so.
		_ = remove(context.Background(), mountpoint)
		return nil, fmt.Errorf("%w: %v", ctx.Err(), err)
	}
	if err != nil {
		_ = syscall.Rmdir(mountpoint) // stays where another view is mounted
		return nil, err
	}
	return view, nil
}

// arguments are those that say what the image is, and what the program reads from stdin.
func (c *Client) arguments(ctx context.Context, request Request) ([]string, []byte, error) {
	options := append(append([]string{}, c.Options...), BootOptions(request.Annotations)...)
	options = append(append(options, request.Options...), timeoutOption(ctx, c.timeout()))
	args := c.optionArguments(options)
	sources := []struct{ name, value string }{
		{"--chain=", request.Chain}, {"--content=", request.Content}, {"--manifest=", request.Manifest},
	}
	for _, source := range sources {
		if source.value != "" {
			args = append(args, source.name+source.value)
		}
	}
	switch {
	case request.Mounts != nil:
		input, err := json.Marshal(request.Mounts)
		return append(args, "--mounts=-"), input, err
	case request.Bundle != "":
		return append(args, "--bundle="+request.Bundle), nil, nil
	case request.Chain == "" && request.Manifest == "":
		return nil, nil, &Error{ErrNotApplicable, "the request names no image"}
	}
	return args, nil, nil
}

// optionArguments are the arguments for mount options, and for the client's store.
func (c *Client) optionArguments(options []string) []string {
	if c.Store != "" {
		options = append(options, "store="+escape(c.Store))
	}
	var args []string
	for _, option := range options {
		args = append(args, "-o", option)
	}
	return args
}

// timeoutOption gives the program the time that is left of limit, in whole seconds.
func timeoutOption(ctx context.Context, limit time.Duration) string {
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) < limit {
		limit = time.Until(deadline)
	}
	seconds := (limit + time.Second - 1) / time.Second
	if seconds < 1 {
		seconds = 1
	}
	return fmt.Sprintf("timeout=%d", seconds)
}

func (c *Client) timeout() time.Duration {
	if c.Timeout <= 0 {
		return defaultTimeout
	}
	return c.Timeout
}

func (c *Client) program() string { return orDefault(c.Program, defaultProgram) }
func (c *Client) control() string { return orDefault(c.Control, defaultControl) }

func orDefault(value, otherwise string) string {
	if value == "" {
		return otherwise
	}
	return value
}

func remove(ctx context.Context, mountpoint string) error {
	for attempt := 0; ; attempt++ {
		var err error
		for err == nil && ctx.Err() == nil { // another one may be below
			err = syscall.Unmount(mountpoint, syscall.MNT_DETACH|umountNoFollow)
		}
		if ctx.Err() != nil {
			return ctx.Err()
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
	}
}
