// SPDX-License-Identifier: Apache-2.0
module viewfs

go 1.19
