// SPDX-License-Identifier: Apache-2.0

// Runs a command while a snapshotter's View of a committed snapshot is there, as a shim does that
// fills the artifact store: with a lease, and all of it undone afterwards.
//
// usage: snapshot-view ADDRESS NAMESPACE SNAPSHOTTER PARENT COMMAND [ARGUMENT...]
//
// The command gets the View's mounts on stdin, as JSON.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"time"

	"github.com/containerd/containerd"
	"github.com/containerd/containerd/leases"
	"github.com/containerd/containerd/namespaces"
)

// What a killed process leaves, containerd removes after that long.
const expiration = 5 * time.Minute

// undo keeps the first error.
func undo(err *error, function func() error) {
	if failed := function(); *err == nil {
		*err = failed
	}
}

func run(address, namespace, snapshotter, parent string, command []string) (err error) {
	client, err := containerd.New(address)
	if err != nil {
		return err
	}
	defer client.Close()
	ctx := namespaces.WithNamespace(context.Background(), namespace)
	ctx, done, err := client.WithLease(ctx, leases.WithRandomID(), leases.WithExpiration(expiration))
	if err != nil {
		return err
	}
	defer undo(&err, func() error { return done(ctx) })

	service := client.SnapshotService(snapshotter)
	key := fmt.Sprintf("urunc-viewfs-%d-%s", os.Getpid(), parent)
	mounts, err := service.View(ctx, key, parent)
	if err != nil {
		return err
	}
	defer undo(&err, func() error { return service.Remove(ctx, key) })

	input, err := json.Marshal(mounts)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Stdin = bytes.NewReader(input)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	return cmd.Run()
}

func main() {
	if len(os.Args) < 6 {
		fmt.Fprintln(os.Stderr, "usage: snapshot-view ADDRESS NAMESPACE SNAPSHOTTER PARENT COMMAND...")
		os.Exit(1)
	}
	if err := run(os.Args[1], os.Args[2], os.Args[3], os.Args[4], os.Args[5:]); err != nil {
		fmt.Fprintln(os.Stderr, "snapshot-view:", err)
		os.Exit(1)
	}
}
