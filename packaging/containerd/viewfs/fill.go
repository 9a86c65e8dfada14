// SPDX-License-Identifier: Apache-2.0

package viewfs

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	fillTimeout = 5 * time.Minute       // of a fill whose context has no deadline
	undoTimeout = 10 * time.Second      // for the removal of a View
	lockPause   = 20 * time.Millisecond // between two attempts

	lockName = ".fill.lock" // in Client.Dir; a name that is no namespace's
	setLock  = 37           // F_OFD_SETLK, which package syscall lacks
)

var chainRule = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)

// Mount is one of containerd's mounts, such as a snapshotter's View() returns.
type Mount struct {
	Type    string
	Source  string
	Options []string
}

// FillRequest says which image the artifact store gets.
type FillRequest struct {
	// Chain is the image's chain id, "sha256:HEX", which is the name of its committed snapshot.
	Chain string
	// View asks the snapshotter for a View of that snapshot, and returns its mount and the function
	// that removes it; never a container's own snapshot, which its guest writes to. View is called
	// only if the store lacks the image. The removal is called whatever fails, with a context of its
	// own. The View is to have a lease that expires: this process may be killed meanwhile.
	View func(context.Context) (Mount, func(context.Context) error, error)

	// Annotations and Options name the artifacts, as those of a Request do.
	Annotations map[string]string
	Options     []string
}

// Fill copies the boot artifacts of an image into the artifact store, unless the store has them. An
// image that could not boot is an error. Of the calls for one chain on a host one works, and the
// others wait for it. The View is mounted read-only, where only the processes of this call see it:
// when the call is over, or this process is killed, nothing is left mounted. It ends with ctx, or
// after five minutes; then the removal of the View has ten seconds.
func (c *Client) Fill(ctx context.Context, request FillRequest) error {
	if !chainRule.MatchString(request.Chain) {
		return &Error{ErrUsage, fmt.Sprintf("%q is no chain id", request.Chain)}
	}
	if _, err := exec.LookPath(c.control()); err != nil {
		return notInstalled(err)
	}
	ctx, cancel := context.WithTimeout(ctx, fillTimeout)
	defer cancel()
	directory := orDefault(c.Dir, defaultDir)
	if err := os.MkdirAll(directory, 0o700); err != nil {
		return err
	}
	lock, err := lockChain(ctx, filepath.Join(directory, lockName), request.Chain)
	if err != nil {
		return err
	}
	defer lock.Close()
	answer, err := c.resolve(ctx, Request{
		Chain: request.Chain, Annotations: request.Annotations, Options: request.Options,
	})
	// The store may know already that the image is no unikernel.
	if !errors.Is(err, ErrNotApplicable) || answer.Image.Chain != "" {
		return err
	}
	view, remove, err := request.View(ctx)
	if err != nil {
		return err
	}
	err = c.fillFrom(ctx, view, directory, request)
	undo, cancelUndo := context.WithTimeout(context.Background(), undoTimeout)
	defer cancelUndo()
	if failed := remove(undo); err == nil {
		err = failed
	}
	return err
}

// lockChain locks a byte of a file that stands for the chain, until the file is closed.
func lockChain(ctx context.Context, path, chain string) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	// Chains that share a byte wait for each other, which does no harm.
	place, _ := strconv.ParseInt(chain[len("sha256:"):][:15], 16, 64)
	wanted := syscall.Flock_t{Type: syscall.F_WRLCK, Start: place, Len: 1}
	for {
		err = syscall.FcntlFlock(file.Fd(), setLock, &wanted)
		if err == nil {
			return file, nil
		}
		if err == syscall.EAGAIN || err == syscall.EACCES || err == syscall.EINTR {
			select {
			case <-time.After(lockPause):
				continue
			case <-ctx.Done():
				err = ctx.Err()
			}
		}
		file.Close()
		return nil, err
	}
}

// fillFrom mounts the View over the directory, for the processes of this call, and copies from there.
func (c *Client) fillFrom(ctx context.Context, view Mount, directory string, request FillRequest) error {
	// The shell stays, as the first of the processes, whose end is the end of all.
	const script = `mount -t "$1" -o "$2" "$3" "$4" && shift 4 && "$@"`
	fstype, mountOptions := readOnly(view)
	args := []string{"-c", script, "sh", fstype, mountOptions, view.Source, directory}
	args = append(args, c.control(), "store", "add", "--json", "--chain="+request.Chain,
		"--tree="+directory)
	options := append(append([]string{}, BootOptions(request.Annotations)...), request.Options...)
	options = append(options, timeoutOption(ctx, fillTimeout))
	args = append(args, c.optionArguments(options)...)
	said := ""
	text, err := c.run(ctx, call{
		program: "/bin/sh", args: args, stdout: true, isolated: true,
		log: func(entry Entry) {
			if said == "" {
				said = entry.Message
			}
			c.log(entry)
		},
	})
	if err != nil {
		return err
	}
	return parseFilled(text, said)
}

// parseFilled parses the last of the lines that "store add --json" writes; said is the first line on
// stderr, for a call that wrote none.
func parseFilled(text []byte, said string) error {
	lines := bytes.Split(bytes.TrimSpace(text), []byte("\n"))
	var answer struct {
		Chain string `json:"chain"`
		Error *Error `json:"error"`
	}
	err := json.Unmarshal(lines[len(lines)-1], &answer)
	if err != nil || answer.Chain == "" && answer.Error == nil {
		return fmt.Errorf("viewfsctl store add: no answer: %s", said)
	}
	if answer.Error != nil {
		return answer.Error
	}
	return nil
}

// readOnly gives type and options for mount(8) with which nothing is written to the View's device. A
// journal that was not replayed stays so: containerd commits a snapshot after it unmounted it.
func readOnly(view Mount) (fstype, list string) {
	options := []string{"ro"}
	for _, option := range view.Options {
		if option != "rw" && option != "ro" {
			options = append(options, option)
		}
	}
	fstype = view.Type
	switch view.Type {
	case "ext4":
		options = append(options, "noload")
	case "xfs":
		options = append(options, "norecovery", "nouuid")
	case "bind": // no type of mount(8)'s, but an option
		fstype = "none"
		options = append(options, "bind")
	}
	return fstype, strings.Join(options, ",")
}
