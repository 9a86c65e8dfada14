// SPDX-License-Identifier: Apache-2.0

package chain

import (
	"context"
	"fmt"
	"time"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/pkg/namespaces"

	"urunc-viewfs.invalid/viewfs"
)

const (
	// What a killed process leaves, containerd removes after that long: longer than a fill takes.
	expiration = 15 * time.Minute
	// For the removal of what a failed View leaves.
	undoTimeout = 10 * time.Second
)

// Fill copies the boot artifacts of the container's image into the artifact store, unless the store
// has them: from a View of the snapshot's parent, once per image and host. It leaves no View and no
// lease, whatever fails. It ends with ctx; see viewfs.Client.Fill.
func Fill(ctx context.Context, containerd *client.Client, views *viewfs.Client, container *Container) error {
	return views.Fill(ctx, viewfs.FillRequest{
		Chain: container.Chain, Annotations: container.Annotations,
		View: func(ctx context.Context) (viewfs.Mount, func(context.Context) error, error) {
			return view(namespaces.WithNamespace(ctx, container.Namespace), containerd, container)
		},
	})
}

// view makes a View of the container's image, with a lease, and returns what removes both.
func view(
	ctx context.Context, containerd *client.Client, container *Container,
) (viewfs.Mount, func(context.Context) error, error) {
	manager := containerd.LeasesService()
	lease, err := manager.Create(ctx, leases.WithRandomID(), leases.WithExpiration(expiration))
	if err != nil {
		return viewfs.Mount{}, nil, err
	}
	ctx = leases.WithLease(ctx, lease.ID)
	snapshotter := containerd.SnapshotService(container.Snapshotter)
	key := "urunc-viewfs-" + lease.ID
	made, err := snapshotter.View(ctx, key, container.Chain)
	remove := func(ctx context.Context) error {
		ctx = namespaces.WithNamespace(ctx, container.Namespace)
		failed := ignoreNotFound(snapshotter.Remove(ctx, key))
		if err := manager.Delete(ctx, lease); failed == nil {
			failed = ignoreNotFound(err)
		}
		return failed
	}
	if err == nil && len(made) != 1 {
		err = fmt.Errorf("a View of %s is %d mounts, which %s does not mount alone",
			container.Chain, len(made), container.Snapshotter)
	}
	if err != nil {
		undo, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTimeout)
		defer cancel()
		_ = remove(undo)
		return viewfs.Mount{}, nil, err
	}
	return mountOf(made[0]), remove, nil
}

func mountOf(made mount.Mount) viewfs.Mount {
	return viewfs.Mount{Type: made.Type, Source: made.Source, Options: made.Options}
}
