// SPDX-License-Identifier: Apache-2.0

package viewfs_test

import (
	"context"
	"errors"
	"fmt"

	"urunc-viewfs.invalid/viewfs"
)

func ExampleClient_Make() {
	client := &viewfs.Client{Program: "/opt/urunc/bin/urunc-viewfs", Dir: "/run/urunc-viewfs"}
	_, err := client.Make(context.Background(), viewfs.Request{
		Namespace: "default", ID: "web-1",
		Bundle: "/run/containerd/io.containerd.runtime.v2.task/default/web-1",
	})
	switch {
	case err == nil:
		fmt.Println("boot from the view")
	case viewfs.IsQuiet(err):
		fmt.Println("boot from a copy")
	default:
		fmt.Println("boot from a copy, and warn:", err)
	}
	// Output: boot from a copy
}

func ExampleParseLine() {
	line := `{"ready":false,"error":{"code":"ELAYER","message":"layer 2: /l/2: No such file or directory"}}`
	_, err := viewfs.ParseLine([]byte(line))
	fmt.Println(errors.Is(err, viewfs.ErrLayer), err)
	// Output: true layer 2: /l/2: No such file or directory
}

func ExampleBootOptions() {
	fmt.Println(viewfs.BootOptions(map[string]string{
		"com.urunc.unikernel.unikernelType": "unikraft",
		"com.urunc.unikernel.hypervisor":    "qemu",
		"com.urunc.unikernel.binary":        "L3VuaWtlcm5lbC9rZXJuZWw=", // or /unikernel/kernel
	}))
	// Output: [binary=/unikernel/kernel]
}
