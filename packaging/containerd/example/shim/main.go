// SPDX-License-Identifier: Apache-2.0

// Command shim does what a shim would around `urunc create` and `urunc delete`, and nothing else:
//
//	shim [-timeout=DURATION] [-chain=ID] [-content=STORE -manifest=DIGEST] \
//		create NAMESPACE ID [OPTION...] <MOUNTS
//	shim delete NAMESPACE ID
//
// MOUNTS are containerd's, as JSON. "create" says in a line of JSON what the container would boot
// from.
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

	"urunc-viewfs.invalid/viewfs"
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
func create(ctx context.Context, client *viewfs.Client, request viewfs.Request) outcome {
	view, err := client.Make(ctx, request)
	if err == nil {
		return outcome{View: view}
	}
	made := outcome{Level: "warning", Reason: err.Error()}
	errors.As(err, &made.Code)
	if viewfs.IsQuiet(err) {
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

func run(timeout time.Duration, request viewfs.Request, args []string) error {
	if len(args) < 3 || args[0] != "create" && args[0] != "delete" {
		return errors.New("usage: shim [FLAG...] create|delete NAMESPACE ID [OPTION]")
	}
	client := &viewfs.Client{}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	if args[0] == "delete" {
		return client.Remove(ctx, args[1], args[2])
	}
	mounts, err := io.ReadAll(os.Stdin)
	if err != nil {
		return err
	}
	request.Namespace, request.ID, request.Options = args[1], args[2], args[3:]
	request.Mounts = json.RawMessage(mounts)
	return json.NewEncoder(os.Stdout).Encode(create(ctx, client, request))
}

func main() {
	var request viewfs.Request
	timeout := flag.Duration("timeout", 15*time.Second, "give up after that long")
	flag.StringVar(&request.Chain, "chain", "", "the image's chain id")
	flag.StringVar(&request.Content, "content", "", "the `directory` of containerd's content store")
	flag.StringVar(&request.Manifest, "manifest", "", "the digest of the image's manifest")
	flag.Parse()
	go reap()
	if err := run(*timeout, request, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "shim:", err)
		os.Exit(1)
	}
}
