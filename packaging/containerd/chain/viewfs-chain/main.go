// SPDX-License-Identifier: Apache-2.0

// Command viewfs-chain does for scripts what package chain does:
//
//	viewfs-chain [OPTION...] show NAMESPACE ID
//	viewfs-chain [OPTION...] fill NAMESPACE ID
//
// "show" prints what containerd knows of the container as JSON, which `urunc-viewfs --mounts=-`
// accepts. "fill" fills the artifact store with the container's image. The exit status is 0 if that
// is done, 1 for a usage error, and 2 for all else.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/containerd/containerd/v2/client"

	"urunc-viewfs.invalid/chain"
	"urunc-viewfs.invalid/viewfs"
)

type options struct {
	address string
	timeout time.Duration
	views   viewfs.Client
}

func run(options *options, command, namespace, id string) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, options.timeout)
	defer cancel()
	// The client would try again until the time is over, and not say what is wrong.
	socket, err := net.DialTimeout("unix", options.address, options.timeout)
	if err != nil {
		return fmt.Errorf("containerd does not answer: %w", err)
	}
	socket.Close()
	containerd, err := client.New(options.address, client.WithTimeout(options.timeout))
	if err != nil {
		return err
	}
	defer containerd.Close()
	found, err := chain.Find(ctx, containerd, namespace, id)
	if err != nil {
		return err
	}
	if command == "fill" {
		return chain.Fill(ctx, containerd, &options.views, found)
	}
	encoder := json.NewEncoder(os.Stdout)
	encoder.SetIndent("", "  ")
	return encoder.Encode(found)
}

func usage() {
	fmt.Fprintln(flag.CommandLine.Output(), "usage: viewfs-chain [OPTION...] show|fill NAMESPACE ID")
	flag.PrintDefaults()
}

func main() {
	var options options
	flag.Usage = usage
	flag.StringVar(&options.address, "address", "/run/containerd/containerd.sock", "containerd's `socket`")
	flag.StringVar(&options.views.Control, "viewfsctl", "", "the `program` viewfsctl (default: on PATH)")
	flag.StringVar(&options.views.Store, "store", "", "the `directory` of the artifact store")
	flag.DurationVar(&options.timeout, "timeout", time.Minute, "give up after that long")
	flag.CommandLine.Init("viewfs-chain", flag.ContinueOnError)
	err := flag.CommandLine.Parse(os.Args[1:])
	if err == flag.ErrHelp {
		return
	}
	command := flag.Arg(0)
	if err != nil || flag.NArg() != 3 || command != "show" && command != "fill" {
		if err == nil {
			usage()
		}
		os.Exit(1)
	}
	if err := run(&options, command, flag.Arg(1), flag.Arg(2)); err != nil {
		fmt.Fprintf(os.Stderr, "viewfs-chain: %s %s: %v\n", flag.Arg(1), flag.Arg(2), err)
		os.Exit(2)
	}
}
