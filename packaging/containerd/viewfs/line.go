// SPDX-License-Identifier: Apache-2.0

package viewfs

import (
	"encoding/json"
	"errors"
	"fmt"
)

// View holds the ready line of a view.
type View struct {
	ID          string     `json:"id"`
	Mountpoint  string     `json:"mountpoint"`         // "" of a detached view
	Detached    bool       `json:"detached,omitempty"` // it is mounted nowhere: see MakeDetached
	Passthrough bool       `json:"passthrough"`        // the kernel reads the layers' files directly
	ElapsedUS   int64      `json:"elapsed_us"`
	Image       Image      `json:"image"`
	Connection  uint32     `json:"connection"`          // in /sys/fs/fuse/connections
	Artifacts   []Artifact `json:"artifacts,omitempty"` // of a stored image, and with resolve=ready
	Missing     []string   `json:"missing,omitempty"`   // paths, where the artifacts are told
	Survives    bool       `json:"survives,omitempty"`  // its process: see the option survive=
}

// Image is what a view is made of: one of these.
type Image struct {
	Layers   int    `json:"layers,omitempty"` // how many directories
	Chain    string `json:"chain,omitempty"`  // of a stored image
	Manifest string `json:"manifest,omitempty"`
}

// Artifact is one file of a view.
type Artifact struct {
	Role   string `json:"role"`
	Path   string `json:"path"`
	Layer  *int   `json:"layer,omitempty"` // 0 is the topmost; nil of a stored image
	Origin string `json:"origin"`
	Size   int64  `json:"size"`
	Digest string `json:"digest,omitempty"` // "sha256:HEX": of a stored image, and of what is pinned
}

// Code says what kind of failure an Error is: errors.Is(err, viewfs.ErrNotApplicable). A newer
// program may have more of them.
type Code string

// The codes of the ready line.
const (
	ErrUsage         Code = "EUSAGE"
	ErrNotApplicable Code = "ENOTAPPLICABLE" // fall back without a warning
	ErrLayer         Code = "ELAYER"
	ErrConfig        Code = "ECONFIG"
	ErrNoArtifact    Code = "ENOARTIFACT"
	ErrArtifact      Code = "EARTIFACT"
	ErrDigest        Code = "EDIGEST"
	ErrMount         Code = "EMOUNT"
	ErrSystem        Code = "ESYSTEM"
)

func (code Code) Error() string { return string(code) }

// ErrNotInstalled says that there is no program: fall back without a warning.
var ErrNotInstalled = errors.New("urunc-viewfs is not installed")

// IsQuiet says whether a failure is none to log loudly: the container boots as it would without this
// package.
func IsQuiet(err error) bool {
	return errors.Is(err, ErrNotApplicable) || errors.Is(err, ErrNotInstalled)
}

// Error is the program's reason for a failed call.
type Error struct {
	Code    Code   `json:"code"`
	Message string `json:"message"`
}

func (e *Error) Error() string { return e.Message }

// Unwrap returns the code.
func (e *Error) Unwrap() error { return e.Code }

// ParseLine parses the ready line: the view, or the reason why there is none.
func ParseLine(line []byte) (*View, error) {
	var answer struct {
		Ready bool   `json:"ready"`
		Error *Error `json:"error"`
		View
	}
	if err := json.Unmarshal(line, &answer); err != nil {
		return nil, fmt.Errorf("ready line: %w", err)
	}
	if answer.Ready {
		return &answer.View, nil
	}
	if answer.Error == nil || answer.Error.Code == "" {
		return nil, fmt.Errorf("ready line: %q", line)
	}
	return nil, answer.Error
}

// resolved is the answer of "viewfsctl resolve".
type resolved struct {
	Bootable  bool       `json:"bootable"`
	Image     Image      `json:"image"` // of the store, if it has all answers; else empty
	Artifacts []Artifact `json:"artifacts"`
	Error     *Error     `json:"error"`
}

// parseResolved returns the reason why an image could not boot as an error, beside the answer.
func parseResolved(text []byte) (*resolved, error) {
	answer := &resolved{}
	if err := json.Unmarshal(text, answer); err != nil {
		return nil, fmt.Errorf("viewfsctl resolve: %w", err)
	}
	if answer.Error != nil {
		return answer, answer.Error
	}
	if !answer.Bootable {
		return nil, fmt.Errorf("viewfsctl resolve: %q", text)
	}
	return answer, nil
}
