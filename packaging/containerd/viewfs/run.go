// SPDX-License-Identifier: Apache-2.0

package viewfs

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"
)

const (
	// After SIGTERM, on which the program removes what it has made and says so.
	grace = time.Second
	// After SIGKILL, for the kernel to close what the program held.
	lastWait = 100 * time.Millisecond

	answerMax = 1 << 20 // bytes
)

// Entry is a line that a program wrote to stderr until the call was over.
type Entry struct {
	Level   string `json:"level"` // of logrus; "warning" for a line that is no JSON
	Message string `json:"msg"`
}

// call is one run of a program, which answers on descriptor 3, in one line, or on stdout, in full.
type call struct {
	program  string
	args     []string
	input    []byte
	stdout   bool
	socket   *mountSocket // is descriptor 3; nil: a pipe is
	isolated bool         // what it mounts, and what it starts, ends with it
	log      func(Entry)  // receives what it writes to stderr
}

// answerReader is where an answer comes from.
type answerReader interface {
	io.Reader
	SetReadDeadline(time.Time) error
}

// signal asks the program to end. Without a handler the first process of a PID namespace, which an
// isolated one is, knows no other.
func (call *call) signal() syscall.Signal {
	if call.isolated {
		return syscall.SIGKILL
	}
	return syscall.SIGTERM
}

// run runs the program until it has answered. All its descriptors are files, for which exec.Cmd
// starts no goroutines that Wait would wait for. The exit status adds nothing to the answer, and the
// reaper of a shim may have taken it.
func (c *Client) run(ctx context.Context, call call) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	var files [3]pipe // input, answer, log
	for i := range files {
		var err error
		if files[i].reader, files[i].writer, err = os.Pipe(); err != nil {
			return nil, err
		}
		defer files[i].close()
	}
	input, answer, log := &files[0], &files[1], &files[2]
	cmd := exec.Command(call.program, call.args...)
	cmd.Stdin, cmd.Stderr = input.reader, log.writer
	reader := answerReader(answer.reader)
	switch {
	case call.stdout:
		cmd.Stdout = answer.writer
	case call.socket != nil:
		reader = call.socket
		cmd.ExtraFiles = []*os.File{call.socket.theirs}
	default:
		cmd.ExtraFiles = []*os.File{answer.writer} // descriptor 3
	}
	// A shim that is killed during the call must leave no view. The signal comes when the thread ends
	// that started the program, so that this one must not end before.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: call.signal()}
	if call.isolated {
		cmd.SysProcAttr.Unshareflags = syscall.CLONE_NEWNS
		cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWPID
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := cmd.Start(); err != nil {
		return nil, notInstalled(err)
	}
	input.reader.Close()
	answer.writer.Close()
	if call.socket != nil {
		call.socket.theirs.Close()
	}
	log.writer.Close()
	go feed(input.writer, call.input)
	logged := make(chan struct{})
	go func() {
		copyLog(log.reader, call.log)
		close(logged)
	}()

	text, err := readAnswer(ctx, reader, cmd, &call)
	_ = log.reader.SetReadDeadline(time.Now().Add(lastWait))
	<-logged
	return text, err
}

// notInstalled makes ErrNotInstalled of an error that means it.
func notInstalled(err error) error {
	if errors.Is(err, exec.ErrNotFound) || errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%w: %v", ErrNotInstalled, err)
	}
	return err
}

type pipe struct{ reader, writer *os.File }

// close may follow the close of either end.
func (p *pipe) close() {
	p.reader.Close()
	p.writer.Close()
}

// feed writes what the program reads from stdin; it may stop before the end.
func feed(writer *os.File, input []byte) {
	_, _ = writer.Write(input)
	writer.Close()
}

// readAnswer waits for the answer, and for the end of the process, which ends once it has answered.
// When ctx ends first it asks the process to give up, and kills it after a while. A process that a
// broken filesystem keeps from ending is left behind, killed.
func readAnswer(ctx context.Context, reader answerReader, cmd *exec.Cmd, call *call) ([]byte, error) {
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(ended)
	}()
	over, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		stop(ctx, over, cmd.Process, call.signal(), reader)
		close(stopped)
	}()
	text, err := readText(reader, !call.stdout)
	select {
	case <-ended:
	case <-stopped:
	}
	close(over)
	<-stopped
	if ctx.Err() != nil && (err != nil || call.stdout) {
		return nil, ctx.Err() // what is there may not be all
	}
	return text, err
}

// stop ends the process and the reading when ctx ends, unless that is over before.
func stop(ctx context.Context, over <-chan struct{}, process *os.Process, signal os.Signal, reader answerReader) {
	select {
	case <-over:
		return
	case <-ctx.Done():
	}
	_ = process.Signal(signal)
	select {
	case <-over:
		return
	case <-time.After(grace):
	}
	_ = process.Kill()
	_ = reader.SetReadDeadline(time.Now().Add(lastWait))
	select {
	case <-over:
	case <-time.After(lastWait):
	}
}

func readText(reader io.Reader, line bool) ([]byte, error) {
	limited := bufio.NewReader(io.LimitReader(reader, answerMax))
	if !line {
		return io.ReadAll(limited)
	}
	text, err := limited.ReadBytes('\n')
	if err != nil {
		return nil, fmt.Errorf("ended without a ready line: %w", err)
	}
	return text, nil
}

// copyLog hands each line that the program writes to stderr to log.
func copyLog(reader io.Reader, log func(Entry)) {
	lines := bufio.NewScanner(reader)
	for lines.Scan() {
		entry := Entry{Level: "warning", Message: strings.TrimSpace(lines.Text())}
		if bytes.HasPrefix(lines.Bytes(), []byte("{")) {
			_ = json.Unmarshal(lines.Bytes(), &entry)
		}
		log(entry)
	}
	_, _ = io.Copy(io.Discard, reader)
}

func (c *Client) log(entry Entry) {
	if c.Logger != nil {
		c.Logger(entry)
	}
}
