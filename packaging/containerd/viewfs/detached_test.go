// SPDX-License-Identifier: Apache-2.0

package viewfs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// attachAndRead is the child that has the mount as descriptor 3: a monitor, in a namespace of its own.
func attachAndRead(dir string) error {
	mount := os.NewFile(3, "mount")
	if err := syscall.Mount("none", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return err
	}
	if err := Attach(mount, dir); err != nil {
		return err
	}
	mount.Close()
	text, err := os.ReadFile(filepath.Join(dir, "k"))
	fmt.Printf("%s", text)
	return err
}

// detached is a view of a layer with a kernel, held by the test.
func detached(t *testing.T) (*View, *os.File) {
	t.Helper()
	layer, annotations := layerWithKernel(t)
	view, mount, err := realClient(t).MakeDetached(context.Background(), Request{
		ID: "web-1", Annotations: annotations,
		Mounts: []Mount{{"bind", layer, []string{"rbind", "ro"}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if !view.Detached || view.Mountpoint != "" || view.Connection == 0 {
		t.Errorf("%+v", view)
	}
	return view, mount
}

// ended waits until the view's process is gone, and with it the connection.
func ended(t *testing.T, view *View) {
	t.Helper()
	connection := fmt.Sprintf("/sys/fs/fuse/connections/%d", view.Connection)
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); {
		if _, err := os.Stat(connection); os.IsNotExist(err) {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Error("the view goes on")
}

func TestADetachedViewIsAttachedInAnotherNamespace(t *testing.T) {
	root := []syscall.SysProcIDMap{{ContainerID: 0, HostID: 0, Size: 1}}
	for name, attributes := range map[string]*syscall.SysProcAttr{
		"mount": {Cloneflags: syscall.CLONE_NEWNS},
		"user": {
			Cloneflags:  syscall.CLONE_NEWNS | syscall.CLONE_NEWUSER,
			UidMappings: root, GidMappings: root,
		},
	} {
		t.Run(name, func(t *testing.T) {
			view, mount := detached(t)
			at := t.TempDir()
			child := exec.Command(os.Args[0])
			child.Env = append(os.Environ(), "VIEWFS_ATTACH="+at)
			child.ExtraFiles = []*os.File{mount}
			child.SysProcAttr = attributes
			child.Stderr = os.Stderr
			text, err := child.Output()
			if err != nil || string(text) != "kernel" {
				t.Error(string(text), err)
			}
			if left, _ := os.ReadDir(at); len(left) != 0 {
				t.Error("it is attached here, too")
			}
			mount.Close()
			ended(t, view)
		})
	}
}

func TestADetachedViewIsReadThroughTheDescriptor(t *testing.T) {
	view, mount := detached(t)
	child := exec.Command("cat", "/proc/self/fd/3/k")
	child.ExtraFiles = []*os.File{mount}
	text, err := child.Output()
	if err != nil || string(text) != "kernel" {
		t.Error(string(text), err)
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil || strings.Contains(string(mounts), fmt.Sprintf(" 0:%d ", view.Connection)) {
		t.Error("it is mounted here", err)
	}
	mount.Close()
	ended(t, view)
}

func TestADetachedViewThatCannotBeMadeIsAnError(t *testing.T) {
	_, _, err := realClient(t).MakeDetached(context.Background(), Request{
		ID: "web-1", Mounts: []Mount{{"ext4", "/dev/nothing", nil}},
	})
	if !errors.Is(err, ErrNotApplicable) {
		t.Error(err)
	}
}

func TestALineWithoutAMountIsNoDetachedView(t *testing.T) {
	_, mount, err := client(t, "ready").MakeDetached(context.Background(), request)
	if err == nil || mount != nil {
		t.Error("a view without a mount")
	}
}

func TestAContextBoundsADetachedView(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	before := time.Now()
	_, _, err := client(t, "deaf").MakeDetached(ctx, request)
	if !errors.Is(err, context.DeadlineExceeded) || time.Since(before) > 5*time.Second {
		t.Error(err, time.Since(before))
	}
}
