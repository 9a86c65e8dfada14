// SPDX-License-Identifier: Apache-2.0
module urunc-viewfs.invalid/example

go 1.19

require urunc-viewfs.invalid/viewfs v0.0.0

replace urunc-viewfs.invalid/viewfs => ../viewfs
