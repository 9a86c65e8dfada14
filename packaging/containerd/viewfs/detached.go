// SPDX-License-Identifier: Apache-2.0

package viewfs

import (
	"context"
	"errors"
	"net"
	"os"
	"syscall"
	"unsafe"
)

const (
	sysMoveMount    = 429 // on every machine; package syscall lacks it
	moveMountFEmpty = 0x4 // MOVE_MOUNT_F_EMPTY_PATH
)

// MakeDetached makes a view that is mounted nowhere, and returns the root of its mount. A process
// that has the mount open reads the files below it (openat(2), or /proc/self/fd/N/PATH), or attaches
// it with Attach in the mount namespace of its own. The view ends when no process has the mount open
// or attached any more, so there is nothing to remove: close the file when the monitor has it.
//
// The program must know --pass-mount (Features.Knows). When ctx ends before that, no view is left.
func (c *Client) MakeDetached(ctx context.Context, request Request) (*View, *os.File, error) {
	args, input, err := c.arguments(ctx, request)
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, c.timeout()+grace)
	defer cancel()
	socket, err := newMountSocket()
	if err != nil {
		return nil, nil, err
	}
	defer socket.close()
	args = append(args, "--id="+request.ID, "--pass-mount=3", "--log-format=json", "--", defaultProgram, "-")
	line, err := c.run(ctx, call{program: c.program(), args: args, input: input, socket: socket, log: c.log})
	if err != nil {
		return nil, nil, err
	}
	view, err := ParseLine(line)
	if err != nil {
		return nil, nil, err
	}
	if socket.mount == nil {
		return nil, nil, errors.New("a ready line came without a mount")
	}
	mount := socket.mount
	socket.mount = nil
	return view, mount, nil
}

// Attach attaches a detached mount to the directory dir in the mount namespace of the calling thread,
// whose tree must be private: else the mount would appear in others. A Go program does this in a
// child that it starts with CLONE_NEWNS. Close the mount afterwards.
func Attach(mount *os.File, dir string) error {
	var empty [1]byte
	path, err := syscall.BytePtrFromString(dir)
	if err != nil {
		return err
	}
	const here = ^uintptr(99) // AT_FDCWD
	_, _, errno := syscall.Syscall6(sysMoveMount, mount.Fd(), uintptr(unsafe.Pointer(&empty)), here,
		uintptr(unsafe.Pointer(path)), moveMountFEmpty, 0)
	if errno != 0 {
		return os.NewSyscallError("move_mount "+dir, errno)
	}
	return nil
}

// mountSocket is a socket over which the program sends its answer, and a mount with it.
type mountSocket struct {
	*net.UnixConn
	theirs *os.File // the program's end
	mount  *os.File // nil: none has come
}

func newMountSocket() (*mountSocket, error) {
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socketpair", err)
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "mount"), os.NewFile(uintptr(fds[1]), "mount")
	defer ours.Close()
	conn, err := net.FileConn(ours)
	if err != nil {
		theirs.Close()
		return nil, err
	}
	return &mountSocket{UnixConn: conn.(*net.UnixConn), theirs: theirs}, nil
}

// Read reads a part of the answer, and keeps the mount that comes with it.
func (s *mountSocket) Read(text []byte) (int, error) {
	control := make([]byte, syscall.CmsgSpace(4))
	n, controlled, _, _, err := s.ReadMsgUnix(text, control)
	if err != nil || n == 0 {
		return n, err
	}
	messages, err := syscall.ParseSocketControlMessage(control[:controlled])
	if err != nil {
		return n, err
	}
	for i := range messages {
		fds, err := syscall.ParseUnixRights(&messages[i])
		if err != nil {
			return n, err
		}
		for _, fd := range fds {
			s.closeMount()
			s.mount = os.NewFile(uintptr(fd), "mount")
		}
	}
	return n, nil
}

func (s *mountSocket) closeMount() {
	if s.mount != nil {
		s.mount.Close()
		s.mount = nil
	}
}

func (s *mountSocket) close() {
	s.closeMount()
	s.theirs.Close()
	s.UnixConn.Close()
}
