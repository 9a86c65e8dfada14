// SPDX-License-Identifier: Apache-2.0

// Package chain asks containerd what a container is made of, for a view of its boot artifacts, and
// fills the artifact store with the images of block snapshotters. See ../README.md.
package chain

import (
	"context"
	"errors"
	"fmt"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/image-spec/identity"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"urunc-viewfs.invalid/viewfs"
)

const (
	descriptorsMax = 64      // of an image, that are looked at
	documentMax    = 4 << 20 // bytes of a manifest or a configuration
)

// Container is what containerd knows of a container, as far as a view of it requires that.
type Container struct {
	Namespace   string            `json:"namespace"`
	ID          string            `json:"id"`
	Image       string            `json:"image"` // its name; another image may have it by now
	Snapshotter string            `json:"snapshotter"`
	Snapshot    string            `json:"snapshot"` // its key
	Mounts      []mount.Mount     `json:"mounts"`   // of the rootfs
	Chain       string            `json:"chain"`    // the chain id, which is the snapshot's parent
	Manifest    string            `json:"manifest,omitempty"`
	Content     string            `json:"content,omitempty"` // the directory of the content store
	Annotations map[string]string `json:"annotations,omitempty"`
}

// Request is what viewfs.Client.Make requires for a view of the container.
func (c *Container) Request() viewfs.Request {
	request := viewfs.Request{
		Namespace: c.Namespace, ID: c.ID, Mounts: c.Mounts, Chain: c.Chain, Annotations: c.Annotations,
	}
	if c.Manifest != "" && c.Content != "" {
		request.Manifest, request.Content = c.Manifest, c.Content
	}
	return request
}

// Find asks containerd for a container. The manifest is that of the container's chain id: it is
// empty if containerd removed the image, or if its name means another one by now.
func Find(ctx context.Context, containerd *client.Client, namespace, id string) (*Container, error) {
	ctx = namespaces.WithNamespace(ctx, namespace)
	loaded, err := containerd.LoadContainer(ctx, id)
	if err != nil {
		return nil, err
	}
	info, err := loaded.Info(ctx, client.WithoutRefreshedMetadata)
	if err != nil {
		return nil, err
	}
	if info.SnapshotKey == "" {
		return nil, fmt.Errorf("container %s has no snapshot", id)
	}
	found := &Container{
		Namespace: namespace, ID: id, Image: info.Image,
		Snapshotter: info.Snapshotter, Snapshot: info.SnapshotKey,
	}
	if spec, err := loaded.Spec(ctx); err == nil {
		found.Annotations = spec.Annotations
	}
	snapshotter := containerd.SnapshotService(found.Snapshotter)
	snapshot, err := snapshotter.Stat(ctx, found.Snapshot)
	if err != nil {
		return nil, err
	}
	found.Chain = snapshot.Parent
	if found.Mounts, err = snapshotter.Mounts(ctx, found.Snapshot); err != nil {
		return nil, err
	}
	if found.Manifest, err = findManifest(ctx, containerd, found.Image, found.Chain); err != nil {
		return nil, err
	}
	found.Content, err = contentDirectory(ctx, containerd)
	return found, err
}

// findManifest finds the manifest with that chain id below the image's name; "" if there is none.
func findManifest(ctx context.Context, containerd *client.Client, name, chain string) (string, error) {
	image, err := containerd.ImageService().Get(ctx, name)
	if err != nil {
		return "", ignoreNotFound(err)
	}
	provider := containerd.ContentStore()
	left := []ocispec.Descriptor{image.Target}
	for seen := 0; seen < len(left) && seen < descriptorsMax; seen++ {
		descriptor := left[seen]
		isManifest := images.IsManifestType(descriptor.MediaType)
		if !isManifest && !images.IsIndexType(descriptor.MediaType) || descriptor.Size > documentMax {
			continue
		}
		below, err := images.Children(ctx, provider, descriptor)
		if err != nil && !errdefs.IsNotFound(err) {
			return "", err
		}
		if !isManifest {
			left = append(left, below...)
			continue
		}
		is, err := hasChain(ctx, provider, below, chain)
		if err != nil {
			return "", err
		}
		if is {
			return descriptor.Digest.String(), nil
		}
	}
	return "", nil
}

// hasChain says whether the configuration among the children of a manifest has that chain id.
func hasChain(ctx context.Context, provider content.Provider, children []ocispec.Descriptor, chain string) (bool, error) {
	for _, child := range children {
		if !images.IsConfigType(child.MediaType) || child.Size > documentMax {
			continue
		}
		layers, err := images.RootFS(ctx, provider, child)
		if err != nil {
			return false, ignoreNotFound(err)
		}
		return len(layers) > 0 && identity.ChainID(layers).String() == chain, nil
	}
	return false, nil
}

func ignoreNotFound(err error) error {
	if errdefs.IsNotFound(err) {
		return nil
	}
	return err
}

// contentDirectory asks containerd where its content store is.
func contentDirectory(ctx context.Context, containerd *client.Client) (string, error) {
	answer, err := containerd.IntrospectionService().Plugins(ctx, "type==io.containerd.content.v1")
	if err != nil {
		return "", err
	}
	for _, plugin := range answer.Plugins {
		if root := plugin.Exports["root"]; root != "" {
			return root, nil
		}
	}
	return "", errors.New("containerd does not say where its content store is")
}
