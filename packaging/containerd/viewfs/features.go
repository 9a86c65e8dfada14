// SPDX-License-Identifier: Apache-2.0

package viewfs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// Features is what the program and this kernel can do.
type Features struct {
	Version string // of the program
	Build   Build
	Kernel  Kernel
}

// Build is what the program was built with.
type Build struct {
	Libfuse   string   `json:"libfuse"`   // its version
	Arguments []string `json:"arguments"` // the long ones that the program knows: "chain"
	Options   []string `json:"options"`   // the mount options that it knows: "mode"
}

// Kernel is what the kernel that runs has, as far as a process can tell without mounting.
type Kernel struct {
	Release     string   `json:"release"`
	DevFuse     bool     `json:"dev_fuse"` // there is a /dev/fuse, for this user
	Openat2     bool     `json:"openat2"`
	Passthrough bool     `json:"passthrough"` // by its version; a view's ready line is certain
	Landlock    int      `json:"landlock"`    // its version; 0: there is none
	Sandbox     []string `json:"sandbox"`     // the measures that are available
}

// Knows says whether the program knows a long argument, as "--chain", or a mount option, as "mode".
func (f *Features) Knows(name string) bool {
	names := f.Build.Options
	if strings.HasPrefix(name, "--") {
		names, name = f.Build.Arguments, name[2:]
	}
	for _, known := range names {
		if known == name {
			return true
		}
	}
	return false
}

// Probe asks the program for its version and features; ErrNotInstalled if there is no program. A
// Client asks until it has been answered once. The answer is shared: do not change it.
func (c *Client) Probe(ctx context.Context) (*Features, error) {
	if known := c.known.Load(); known != nil {
		return known, nil
	}
	ctx, cancel := context.WithTimeout(ctx, c.timeout())
	defer cancel()
	text, err := c.run(ctx, call{
		program: c.program(), args: []string{"--version=json"}, stdout: true, log: c.log,
	})
	if err != nil {
		return nil, err
	}
	features, err := parseFeatures(text)
	if err == nil {
		c.known.Store(features)
	}
	return features, err
}

func parseFeatures(text []byte) (*Features, error) {
	var answer struct {
		Version  string
		Features struct {
			Build  Build
			Kernel Kernel
		}
	}
	err := json.Unmarshal(text, &answer)
	if err == nil && answer.Version == "" {
		err = errors.New("it names no version")
	}
	if err != nil {
		return nil, fmt.Errorf("--version=json: %w", err)
	}
	return &Features{answer.Version, answer.Features.Build, answer.Features.Kernel}, nil
}
