// SPDX-License-Identifier: Apache-2.0

package viewfs

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("not root")
	}
}

const someChain = "sha256:0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a"

// views counts the Views of a directory, bound, that are asked for and removed.
type views struct {
	source        string
	asked, there  atomic.Int32
	failed, stuck error
}

func (v *views) view(context.Context) (Mount, func(context.Context) error, error) {
	v.asked.Add(1)
	if v.failed != nil {
		return Mount{}, nil, v.failed
	}
	v.there.Add(1)
	remove := func(ctx context.Context) error {
		if ctx.Err() == nil {
			v.there.Add(-1)
		}
		return v.stuck
	}
	return Mount{"bind", v.source, []string{"rbind", "rw"}}, remove, nil
}

// The fakes answer "resolve" too, each as a store would that lacks the image.
func TestAFillSaysWhatFailedAndRemovesTheView(t *testing.T) {
	needRoot(t)
	failure := errors.New("the snapshotter's failure")
	for name, row := range map[string]struct {
		what          string
		source        string
		failed, stuck error
		want          string
	}{
		"filled":     {what: "filled"},
		"no image":   {what: "unfilled", want: "no urunc.json"},
		"mute":       {what: "mute", want: "no answer: "},
		"no JSON":    {what: "old version", want: "no answer: "},
		"no mount":   {what: "filled", source: "/nowhere/at/all", want: "/nowhere/at/all"},
		"no view":    {what: "filled", failed: failure, want: failure.Error()},
		"no removal": {what: "filled", stuck: failure, want: failure.Error()},
	} {
		from := &views{source: row.source, failed: row.failed, stuck: row.stuck}
		if from.source == "" {
			from.source = t.TempDir()
		}
		err := client(t, row.what).Fill(context.Background(), FillRequest{Chain: someChain, View: from.view})
		if row.want == "" && err != nil || row.want != "" && (err == nil || !strings.Contains(err.Error(), row.want)) {
			t.Errorf("%s: %v", name, err)
		}
		if from.asked.Load() != 1 || from.there.Load() != 0 {
			t.Errorf("%s: %v", name, from)
		}
	}
}

func TestAFillNeedsAChainIDAndAProgram(t *testing.T) {
	from := &views{}
	for _, chain := range []string{"", "sha256:0", someChain + "0", strings.ToUpper(someChain), "a" + someChain} {
		err := client(t, "filled").Fill(context.Background(), FillRequest{Chain: chain, View: from.view})
		if !errors.Is(err, ErrUsage) {
			t.Errorf("%q: %v", chain, err)
		}
	}
	c := &Client{Control: "/nowhere/viewfsctl"}
	err := c.Fill(context.Background(), FillRequest{Chain: someChain, View: from.view})
	if !errors.Is(err, ErrNotInstalled) || from.asked.Load() != 0 {
		t.Error(err, from)
	}
}

func TestAContextBoundsAFill(t *testing.T) {
	needRoot(t)
	c := client(t, "deaf")
	from := &views{source: t.TempDir()}
	ctx, cancel := context.WithTimeout(context.Background(), 500*time.Millisecond)
	defer cancel()
	start := time.Now()
	first := make(chan error)
	fill := func() { first <- c.Fill(ctx, FillRequest{Chain: someChain, View: from.view}) }
	go fill()
	go fill() // waits for the other one, and as long
	for range [2]int{} {
		if err := <-first; !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
	}
	if took := time.Since(start); took > grace+5*time.Second || from.there.Load() != 0 || from.asked.Load() != 1 {
		t.Error(took, from)
	}
}

func TestAViewIsMountedReadOnlyByItsType(t *testing.T) {
	for _, row := range []struct {
		view          Mount
		fstype, words string
	}{
		{Mount{"ext4", "/d", []string{"rw", "loop"}}, "ext4", "ro,loop,noload"},
		{Mount{"xfs", "/d", []string{"ro", "discard"}}, "xfs", "ro,discard,norecovery,nouuid"},
		{Mount{"overlay", "overlay", []string{"lowerdir=/a:/b"}}, "overlay", "ro,lowerdir=/a:/b"},
		{Mount{"bind", "/d", []string{"rbind", "ro"}}, "none", "ro,rbind,bind"},
		{Mount{"erofs", "/d", nil}, "erofs", "ro"},
	} {
		if fstype, words := readOnly(row.view); fstype != row.fstype || words != row.words {
			t.Errorf("%v: %s %s", row.view, fstype, words)
		}
	}
}

func TestAFilledImageHasAViewByItsChain(t *testing.T) {
	c := realClient(t)
	ctx := context.Background()
	layer, annotations := layerWithKernel(t)
	wanted := Request{Namespace: "default", ID: "web-1", Chain: someChain, Annotations: annotations}
	if _, err := c.Make(ctx, wanted); !errors.Is(err, ErrNotApplicable) {
		t.Fatal(err)
	}
	from := &views{source: layer}
	fill := FillRequest{Chain: someChain, View: from.view, Annotations: annotations}
	errs := make(chan error)
	const calls = 4
	for n := 0; n < calls; n++ {
		go func() { errs <- c.Fill(ctx, fill) }()
	}
	for n := 0; n < calls; n++ {
		if err := <-errs; err != nil {
			t.Fatal(err)
		}
	}
	if from.asked.Load() != 1 || from.there.Load() != 0 {
		t.Error(from)
	}
	view, err := c.Make(ctx, wanted)
	if err != nil || view.Image.Chain != someChain || view.Artifacts[0].Layer != nil {
		t.Fatal(view, err)
	}
	if text, err := os.ReadFile(filepath.Join(view.Mountpoint, "k")); err != nil || string(text) != "kernel" {
		t.Error(string(text), err)
	}
	if err := c.Remove(ctx, "default", "web-1"); err != nil {
		t.Error(err)
	}
	fill.Chain, fill.Annotations = "sha256:"+strings.Repeat("0b", 32), nil
	for n := 0; n < 2; n++ { // no urunc.json, which the store remembers
		if err := c.Fill(ctx, fill); !errors.Is(err, ErrNotApplicable) {
			t.Error(err)
		}
		if from.asked.Load() != 2 || from.there.Load() != 0 {
			t.Error(n, from)
		}
	}
	// What the store was not asked for is no answer.
	fill.Annotations = annotations
	if err := c.Fill(ctx, fill); err != nil || from.asked.Load() != 3 {
		t.Error(err, from)
	}
}
