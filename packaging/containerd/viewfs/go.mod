// SPDX-License-Identifier: Apache-2.0
// The path is this line alone: change it when the repository has its public address.
module urunc-viewfs.invalid/viewfs

go 1.19
