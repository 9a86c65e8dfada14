// SPDX-License-Identifier: Apache-2.0

// Package viewfs makes a view of a container's boot artifacts for a containerd shim, and removes it.
// A view never fails a container: without one the container boots from a copy. See ../README.md.
//
// # Versions
//
// The package and the programs need not be of one release. Within a major version of the programs
// (until 1.0: within a minor version):
//
//   - Keys are added to the ready line, to the answers of viewfsctl and to --version=json. No key is
//     removed, and none changes its type or its meaning. Keys that are not known are ignored.
//   - Codes are added. A code that is not known is an Error like ErrSystem: errors.Is finds it by its
//     name, and IsQuiet is false.
//   - Arguments and mount options are added. None is removed, and none changes its meaning. A program
//     that does not know one answers ErrUsage; Features.Knows tells before that.
//
// All else requires a new major version.
package viewfs
