# SPDX-License-Identifier: Apache-2.0
"""What the tests share: building layers, asking the kernel, asking the programs under test."""
