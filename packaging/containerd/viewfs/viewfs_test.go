// SPDX-License-Identifier: Apache-2.0

package viewfs

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"reflect"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// The test program is the fake, too: $VIEWFS_FAKE says what it does.
func TestMain(m *testing.M) {
	if dir := os.Getenv("VIEWFS_ATTACH"); dir != "" {
		if err := attachAndRead(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if what := os.Getenv("VIEWFS_FAKE"); what != "" {
		os.Exit(fake(what))
	}
	os.Exit(m.Run())
}

func fake(what string) int {
	ready := os.NewFile(3, "ready")
	input, _ := io.ReadAll(os.Stdin)
	if record := os.Getenv("VIEWFS_RECORD"); record != "" {
		text, _ := json.Marshal(map[string]any{"args": os.Args[1:], "input": string(input)})
		_ = os.WriteFile(record, text, 0o600)
	}
	if len(os.Args) > 2 && os.Args[1] == "resolve" && what != "resolved" {
		what = "unfilled"
	}
	switch what {
	case "filled":
		fmt.Println(`{"progress":{"bytes":1,"of":2}}` + "\n" + `{"chain":"sha256:0","added":true}`)
	case "unfilled":
		fmt.Println(`{"chain":"sha256:0","error":{"code":"ENOTAPPLICABLE","message":"no urunc.json"}}`)
	case "ready":
		fmt.Fprintln(os.Stderr, `{"level":"warning","msg":"one thing","more":1}`)
		fmt.Fprintln(os.Stderr, "no JSON")
		fmt.Fprintln(ready, `{"ready":true,"id":"a","mountpoint":"/m","passthrough":true,"elapsed_us":1,`+
			`"image":{"layers":3},"connection":39,`+
			`"artifacts":[{"role":"binary","path":"/k","layer":2,"origin":"/l/k","size":3}]}`)
	case "deaf":
		signal.Ignore(syscall.SIGTERM)
		time.Sleep(time.Minute)
	case "slow":
		asked := make(chan os.Signal, 1)
		signal.Notify(asked, syscall.SIGTERM)
		<-asked
		fmt.Fprintln(ready, `{"ready":false,"error":{"code":"ESYSTEM","message":"interrupted"}}`)
	case "stays":
		fmt.Fprintln(ready, `{"ready":false,"error":{"code":"ELAYER","message":"x"}}`)
		signal.Ignore(syscall.SIGTERM)
		time.Sleep(time.Minute)
	case "mute":
	case "version":
		fmt.Println(`{"version":"0.2.0","features":{"build":{"libfuse":"3.14.0","arguments":["chain"],` +
			`"options":["mode"]},"kernel":{"release":"6.18","passthrough":true,"sandbox":["seccomp"]}}}`)
	case "old version":
		fmt.Println("urunc-viewfs 0.1.0")
	case "resolved":
		fmt.Println(`{"bootable":true,"layers":1,"artifacts":[{"role":"binary","path":"/k","layer":0,"origin":"/l/k","size":3}]}`)
	default: // a code
		fmt.Fprintf(ready, `{"ready":false,"error":{"code":%q,"message":"why"}}`+"\n", what)
	}
	return 0
}

func client(t *testing.T, what string) *Client {
	t.Helper()
	t.Setenv("VIEWFS_FAKE", what)
	return &Client{Program: os.Args[0], Control: os.Args[0], Dir: filepath.Join(t.TempDir(), "views")}
}

var request = Request{Namespace: "default", ID: "web-1", Mounts: []any{}}

func leftNothing(t *testing.T, c *Client) {
	t.Helper()
	if entries, _ := os.ReadDir(filepath.Join(c.Dir, "default")); len(entries) != 0 {
		t.Errorf("left: %v", entries)
	}
}

func TestAReadyLineIsAView(t *testing.T) {
	c := client(t, "ready")
	record := filepath.Join(t.TempDir(), "record")
	t.Setenv("VIEWFS_RECORD", record)
	var logged []Entry
	c.Logger = func(entry Entry) { logged = append(logged, entry) }
	c.Options = []string{"mode=0444"}
	c.Store = "/a,b"
	wanted := request
	wanted.Mounts = []map[string]any{{"Type": "overlay", "Options": []string{"lowerdir=/a:/b"}}}
	wanted.Chain = "sha256:00"
	wanted.Annotations = map[string]string{
		annotationPrefix + "unikernelType": "unikraft",
		annotationPrefix + "hypervisor":    "qemu",
		annotationPrefix + "binary":        "/k",
	}
	view, err := c.Make(context.Background(), wanted)
	if err != nil {
		t.Fatal(err)
	}
	if view.Mountpoint != "/m" || !view.Passthrough || *view.Artifacts[0].Layer != 2 || view.Image.Layers != 3 ||
		view.Connection != 39 {
		t.Errorf("%+v", view)
	}
	said := []Entry{{"warning", "one thing"}, {"warning", "no JSON"}}
	if !reflect.DeepEqual(logged, said) {
		t.Errorf("%+v", logged)
	}
	text, _ := os.ReadFile(record)
	for _, part := range []string{
		`"mode=0444"`, `"binary=/k"`, `"store=/a\\,b"`, `"--chain=sha256:00"`, `"--mounts=-"`, `"--id=web-1"`,
		`"timeout=`, `lowerdir=/a:/b`, filepath.Join(c.Dir, "default/web-1"),
	} {
		if !strings.Contains(string(text), part) {
			t.Errorf("%s is not in %s", part, text)
		}
	}
}

func TestEachSourceOfARequestIsAnArgument(t *testing.T) {
	c := client(t, "ready")
	record := filepath.Join(t.TempDir(), "record")
	t.Setenv("VIEWFS_RECORD", record)
	for _, row := range []struct {
		request Request
		want    []string
		input   string
	}{
		{Request{Mounts: []string(nil)}, []string{"--mounts=-"}, "null"},
		{Request{Mounts: []int{1}, Bundle: "/b"}, []string{"--mounts=-"}, "[1]"},
		{Request{Bundle: "/b"}, []string{"--bundle=/b"}, ""},
		{Request{Bundle: "/b", Chain: "sha256:0"}, []string{"--chain=sha256:0", "--bundle=/b"}, ""},
		{Request{Chain: "sha256:0"}, []string{"--chain=sha256:0"}, ""},
		{Request{Manifest: "sha256:1", Content: "/c"}, []string{"--content=/c", "--manifest=sha256:1"}, ""},
	} {
		row.request.Namespace, row.request.ID = "default", "web-1"
		if _, err := c.Make(context.Background(), row.request); err != nil {
			t.Fatal(err)
		}
		var said struct {
			Args  []string
			Input string
		}
		text, _ := os.ReadFile(record)
		_ = json.Unmarshal(text, &said)
		var got []string
		for _, word := range said.Args {
			for _, name := range []string{"mounts", "bundle", "chain", "content", "manifest"} {
				if strings.HasPrefix(word, "--"+name+"=") {
					got = append(got, word)
				}
			}
		}
		if !reflect.DeepEqual(got, row.want) || said.Input != row.input {
			t.Errorf("%q %q, not %q %q", got, said.Input, row.want, row.input)
		}
	}
}

func TestARequestWithoutAnImageIsNotApplicable(t *testing.T) {
	c := client(t, "ready")
	_, err := c.Make(context.Background(), Request{Namespace: "default", ID: "web-1"})
	if !errors.Is(err, ErrNotApplicable) {
		t.Error(err)
	}
	leftNothing(t, c)
}

func TestAClientMayBeSharedByGoroutines(t *testing.T) {
	c := client(t, "ready")
	var logged atomic.Int32
	c.Logger = func(Entry) { logged.Add(1) }
	errs := make(chan error)
	const calls = 4
	for n := 0; n < calls; n++ {
		wanted := request
		wanted.ID = fmt.Sprint("web-", n)
		go func() {
			_, err := c.Make(context.Background(), wanted)
			errs <- err
		}()
	}
	for n := 0; n < calls; n++ {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if logged.Load() != 2*calls {
		t.Error(logged.Load())
	}
}

func TestErrorsAreToldByCode(t *testing.T) {
	for _, code := range []Code{ErrUsage, ErrNotApplicable, ErrLayer, ErrConfig, ErrNoArtifact,
		ErrArtifact, ErrDigest, ErrMount, ErrSystem} {
		c := client(t, string(code))
		view, err := c.Make(context.Background(), request)
		if view != nil || !errors.Is(err, code) || err.Error() != "why" {
			t.Errorf("%s: %v %v", code, view, err)
		}
		if IsQuiet(err) != (code == ErrNotApplicable) {
			t.Errorf("%s: quiet", code)
		}
		leftNothing(t, c)
	}
}

func TestAProgramThatIsMissingIsNotInstalled(t *testing.T) {
	for _, program := range []string{"/nowhere/urunc-viewfs", "urunc-viewfs-not-there"} {
		c := &Client{Program: program, Dir: t.TempDir()}
		_, err := c.Make(context.Background(), request)
		if !errors.Is(err, ErrNotInstalled) || !IsQuiet(err) {
			t.Error(err)
		}
		leftNothing(t, c)
		if _, err = c.Probe(context.Background()); !errors.Is(err, ErrNotInstalled) {
			t.Error(err)
		}
	}
}

func TestAContextBoundsACall(t *testing.T) {
	for _, what := range []string{"deaf", "slow", "stays"} {
		c := client(t, what)
		ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
		start := time.Now()
		_, err := c.Make(ctx, request)
		cancel()
		if took := time.Since(start); took > 300*time.Millisecond+grace+5*time.Second {
			t.Errorf("%s: %v", what, took)
		}
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v", what, err)
		}
		leftNothing(t, c)
	}
}

func TestATimeoutBoundsAProgramThatIgnoresIt(t *testing.T) {
	c := client(t, "deaf")
	c.Timeout = 200 * time.Millisecond
	if _, err := c.Make(context.Background(), request); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	leftNothing(t, c)
}

func TestAProgramThatSaysNothingIsAnError(t *testing.T) {
	c := client(t, "mute")
	if view, err := c.Make(context.Background(), request); view != nil || err == nil || IsQuiet(err) {
		t.Error(view, err)
	}
	leftNothing(t, c)
}

func TestANameThatLeadsElsewhereIsRejected(t *testing.T) {
	c := client(t, "ready")
	for _, name := range []string{"", ".", "..", ".index", "a/b", "a\x00"} {
		if _, err := c.Make(context.Background(), Request{Namespace: "default", ID: name}); err == nil {
			t.Errorf("%q", name)
		}
		if err := c.Remove(context.Background(), name, "web-1"); err == nil {
			t.Errorf("%q", name)
		}
	}
}

func TestProbeAsksUntilItIsAnswered(t *testing.T) {
	c := client(t, "old version")
	if features, err := c.Probe(context.Background()); features != nil || err == nil || IsQuiet(err) {
		t.Fatal(features, err)
	}
	t.Setenv("VIEWFS_FAKE", "version")
	for range [2]int{} {
		features, err := c.Probe(context.Background())
		if err != nil || features.Version != "0.2.0" || features.Kernel.Sandbox[0] != "seccomp" {
			t.Fatal(features, err)
		}
		for name, want := range map[string]bool{
			"--chain": true, "chain": false, "mode": true, "--mode": false, "--content": false, "": false,
		} {
			if features.Knows(name) != want {
				t.Errorf("%q", name)
			}
		}
		c.Program = "/nowhere"
	}
}

func TestResolveGivesTheArtifacts(t *testing.T) {
	artifacts, err := client(t, "resolved").Resolve(context.Background(), request)
	if err != nil || len(artifacts) != 1 || artifacts[0].Path != "/k" {
		t.Error(artifacts, err)
	}
}

func TestAnnotationsAreAllOrNothing(t *testing.T) {
	encode := func(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }
	whole := func(binary, initrd string) map[string]string {
		return map[string]string{
			annotationPrefix + "unikernelType": "unikraft", annotationPrefix + "hypervisor": "qemu",
			annotationPrefix + "binary": binary, annotationPrefix + "initrd": initrd,
		}
	}
	rows := []struct {
		annotations map[string]string
		want        []string
	}{
		{nil, nil},
		{map[string]string{annotationPrefix + "binary": "/k"}, nil},
		{whole("", "/i"), nil},
		{whole("/k", ""), []string{"binary=/k"}},
		{whole("/k", "/i"), []string{"binary=/k", "initrd=/i"}},
		{whole(encode("/unikernel/k"), encode("boot/i")), []string{"binary=/unikernel/k", "initrd=boot/i"}},
		// Base64 of what is no path is a path as it is.
		{whole("kernel12", ""), []string{"binary=kernel12"}},
		{whole("/a,b\\", ""), []string{`binary=/a\,b\\`}},
	}
	for _, row := range rows {
		if got := BootOptions(row.annotations); !reflect.DeepEqual(got, row.want) {
			t.Errorf("%v: %q, not %q", row.annotations, got, row.want)
		}
	}
}

// What a newer program may add: keys of any type anywhere, roles, and codes.
func TestAnOlderClientUnderstandsANewerLine(t *testing.T) {
	line := `{"ready":true,"id":"a","mountpoint":"/m","passthrough":true,"elapsed_us":1,"image":{"chain":"sha256:0",` +
		`"signed":{"by":["x"]}},"survives":true,"sandbox":["seccomp"],"handed":{"fd":null},"connection":7,` +
		`"artifacts":[{"role":"device_tree","path":"/k","origin":"/o","size":3,"verity":{"digest":"x"}}]}`
	view, err := ParseLine([]byte(line + "\n"))
	if err != nil || view.Mountpoint != "/m" || view.Image.Chain != "sha256:0" || view.Connection != 7 ||
		view.Artifacts[0].Path != "/k" || view.Artifacts[0].Layer != nil {
		t.Errorf("%+v %v", view, err)
	}
	line = `{"ready":false,"error":{"code":"ENEW","message":"what is new","hint":{}},"retry_after":[3]}`
	view, err = ParseLine([]byte(line))
	if view != nil || err.Error() != "what is new" || !errors.Is(err, Code("ENEW")) || IsQuiet(err) {
		t.Errorf("%v %v", view, err)
	}
	for _, known := range []Code{ErrUsage, ErrNotApplicable, ErrLayer, ErrConfig, ErrNoArtifact,
		ErrArtifact, ErrDigest, ErrMount, ErrSystem} {
		if errors.Is(err, known) {
			t.Error(known)
		}
	}
	line = `{"version":"9.1","features":{"build":{"arguments":["chain"],"compiler":{}},"host":[],` +
		`"kernel":{"landlock":9,"rust":true}},"contract":3}`
	features, err := parseFeatures([]byte(line))
	if err != nil || !features.Knows("--chain") || features.Kernel.Landlock != 9 {
		t.Errorf("%+v %v", features, err)
	}
	line = `{"bootable":true,"image":{},"artifacts":[{"role":"binary","path":"/k","size":3,"new":1}],"new":{}}`
	answer, err := parseResolved([]byte(line))
	if err != nil || answer.Artifacts[0].Path != "/k" {
		t.Errorf("%+v %v", answer, err)
	}
}

func FuzzParseLine(f *testing.F) {
	for _, line := range []string{
		`{"ready":true,"mountpoint":"/m"}`, `{"ready":false,"error":{"code":"ELAYER","message":"x"}}`,
		`{"ready":false}`, `{`, ``, `null`, `{"ready":false,"error":{}}`, `{"ready":true,"artifacts":[null]}`,
	} {
		f.Add([]byte(line))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		view, err := ParseLine(line)
		if (view == nil) == (err == nil) {
			t.Errorf("%q: %v %v", line, view, err)
		}
	})
}

// With the programs that $VIEWFS_PROGRAMS names.
func realClient(t *testing.T) *Client {
	t.Helper()
	programs := os.Getenv("VIEWFS_PROGRAMS")
	if programs == "" {
		t.Skip("no $VIEWFS_PROGRAMS")
	}
	place := t.TempDir()
	return &Client{
		Program: filepath.Join(programs, "urunc-viewfs"), Control: filepath.Join(programs, "viewfsctl"),
		Dir: filepath.Join(place, "views"), Store: filepath.Join(place, "sto,re"),
	}
}

// layerWithKernel is a directory, and the annotations that name what is in it.
func layerWithKernel(t *testing.T) (string, map[string]string) {
	t.Helper()
	layer := t.TempDir()
	if err := os.WriteFile(filepath.Join(layer, "k"), []byte("kernel"), 0o644); err != nil {
		t.Fatal(err)
	}
	return layer, map[string]string{
		annotationPrefix + "unikernelType": "unikraft", annotationPrefix + "hypervisor": "qemu",
		annotationPrefix + "binary": "/k",
	}
}

func TestTheProgramItself(t *testing.T) {
	c := realClient(t)
	ctx := context.Background()
	layer, annotations := layerWithKernel(t)
	wanted := Request{
		Namespace: "default", ID: "web-1", Annotations: annotations,
		Mounts: []Mount{{"bind", layer, []string{"rbind", "ro"}}},
	}
	features, err := c.Probe(ctx)
	if err != nil || !features.Knows("--chain") || !features.Knows("binary") || features.Knows("--colour") {
		t.Fatal(features, err)
	}
	artifacts, err := c.Resolve(ctx, wanted)
	if err != nil || len(artifacts) != 1 || artifacts[0].Size != 6 {
		t.Fatal(artifacts, err)
	}
	for range [2]int{} { // the second call finds the view
		view, err := c.Make(ctx, wanted)
		if err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(filepath.Join(view.Mountpoint, "k"))
		if err != nil || string(text) != "kernel" {
			t.Error(string(text), err)
		}
	}
	for range [2]int{} {
		if err := c.Remove(ctx, "default", "web-1"); err != nil {
			t.Error(err)
		}
	}
	leftNothing(t, c)
	wanted.Mounts = []Mount{{"ext4", "/dev/nothing", nil}}
	if _, err = c.Make(ctx, wanted); !errors.Is(err, ErrNotApplicable) {
		t.Error(err)
	}
	leftNothing(t, c)
}
