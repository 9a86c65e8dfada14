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

// Entry is a line that the program logged.
type Entry struct {
	Level   string `json:"level"`
	Message string `json:"msg"`
}

// call is one run of a program, which answers on descriptor 3, in one line, or on stdout, in full.
type call struct {
	program string
	args    []string
	input   []byte
	stdout  bool
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
	if call.stdout {
		cmd.Stdout = answer.writer
	} else {
		cmd.ExtraFiles = []*os.File{answer.writer} // descriptor 3
	}
	// A shim that is killed during the call must leave no view. The signal comes when the thread ends
	// that started the program, so that this one must not end before.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := cmd.Start(); err != nil {
		if errors.Is(err, exec.ErrNotFound) || errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("%w: %v", ErrNotInstalled, err)
		}
		return nil, err
	}
	input.reader.Close()
	answer.writer.Close()
	log.writer.Close()
	go feed(input.writer, call.input)
	logged := make(chan struct{})
	go c.copyLog(log.reader, logged)

	text, err := readAnswer(ctx, answer.reader, cmd, !call.stdout)
	_ = log.reader.SetReadDeadline(time.Now().Add(lastWait))
	<-logged
	return text, err
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

// readAnswer waits for the answer, and for the end of the process. When ctx ends first it asks the
// process to give up, and ends it after a while.
func readAnswer(ctx context.Context, reader *os.File, cmd *exec.Cmd, line bool) ([]byte, error) {
	over := make(chan struct{})
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		select {
		case <-over:
			return
		case <-ctx.Done():
		}
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-over:
			return
		case <-time.After(grace):
		}
		_ = cmd.Process.Kill()
		_ = reader.SetReadDeadline(time.Now().Add(lastWait))
	}()
	text, err := readText(reader, line)
	// The process ends once it has answered; what does not is ended with ctx.
	_ = cmd.Wait()
	close(over)
	<-stopped
	if err != nil && ctx.Err() != nil {
		err = ctx.Err()
	}
	return text, err
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

// copyLog hands each line that the program logs to the Logger.
func (c *Client) copyLog(reader io.Reader, done chan<- struct{}) {
	defer close(done)
	lines := bufio.NewScanner(reader)
	for lines.Scan() {
		entry := Entry{Level: "info", Message: strings.TrimSpace(lines.Text())}
		if bytes.HasPrefix(lines.Bytes(), []byte("{")) {
			_ = json.Unmarshal(lines.Bytes(), &entry)
		}
		if c.Logger != nil {
			c.Logger(entry)
		}
	}
	_, _ = io.Copy(io.Discard, reader)
}
