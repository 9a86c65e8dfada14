// SPDX-License-Identifier: Apache-2.0

// apply-layers DIRECTORY BLOB...: unpacks layers, the lowest first, by containerd's own applier, as
// every snapshotter but overlayfs uses it. A layer that is refused ends it with status 1.
package main

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/containerd/containerd/archive"
	"github.com/containerd/containerd/archive/compression"
)

func apply(directory, path string) error {
	blob, err := os.Open(path)
	if err != nil {
		return err
	}
	defer blob.Close()
	plain, err := compression.DecompressStream(blob)
	if err != nil {
		return err
	}
	if _, err = archive.Apply(context.Background(), directory, plain); err != nil {
		return err
	}
	// What is behind the archive is read, too: checksums there count.
	_, err = io.Copy(io.Discard, plain)
	return err
}

func main() {
	for i, path := range os.Args[2:] {
		if err := apply(os.Args[1], path); err != nil {
			fmt.Printf("layer %d: %v\n", i, err)
			os.Exit(1)
		}
	}
}
