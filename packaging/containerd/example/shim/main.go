// SPDX-License-Identifier: Apache-2.0

// Command shim does what a shim would around `urunc create` and `urunc delete`, and nothing else:
//
//	shim [-timeout=DURATION] create NAMESPACE ID [OPTION...] <MOUNTS
//	shim delete NAMESPACE ID
//
// MOUNTS are containerd's, as JSON. It says in a line of JSON what the container would boot from.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"viewfs"
)

// outcome of create. With a view urunc binds each artifact out of it; without one it copies them.
type outcome struct {
	View *viewfs.View `json:"view"`

	// Why there is none: for the log, at the level that suits.
	Level  string      `json:"level,omitempty"`
	Code   viewfs.Code `json:"code,omitempty"`
	Reason string      `json:"reason,omitempty"`
}

// create never fails: the container boots without a view, too.
func create(ctx context.Context, namespace, id string, mounts any, options []string) outcome {
	view, err := viewfs.MakeView(ctx, namespace, id, mounts, options...)
	if err == nil {
		return outcome{View: view}
	}
	made := outcome{Level: "warning", Reason: err.Error()}
	errors.As(err, &made.Code)
	if made.Code == viewfs.ErrNotApplicable {
		made.Level = "debug"
	}
	return made
}

// reap takes the status of every child that ends, as a containerd shim does.
func reap() {
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGCHLD)
	for range ended {
		for {
			pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil)
			if pid <= 0 || err != nil {
				break
			}
		}
	}
}

func run(timeout time.Duration, args []string) error {
	if len(args) == 3 && args[0] == "delete" {
		return viewfs.Delete(args[1], args[2])
	}
	if len(args) < 3 || args[0] != "create" {
		return errors.New("usage: shim [-timeout=DURATION] create|delete NAMESPACE ID [OPTION...]")
	}
	mounts, err := io.ReadAll(os.Stdin)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	made := create(ctx, args[1], args[2], json.RawMessage(mounts), args[3:])
	return json.NewEncoder(os.Stdout).Encode(made)
}

func main() {
	timeout := flag.Duration("timeout", 15*time.Second, "give up making a view after that long")
	flag.Parse()
	go reap()
	if err := run(*timeout, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "shim:", err)
		os.Exit(1)
	}
}
