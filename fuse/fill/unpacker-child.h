/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A confined child that reads name logs, tables of contents and archives, and answers what the tree
 * that they make has at a path, or which layer it must read for that.
 */
#pragma once

#include <stdint.h>
#include <sys/types.h>

/* Starts an unpacker of an image of *layers* layers that is told by *from* and answers into *to*.
 * Returns: a pid, or -errno. */
pid_t unpacker_child_start(int from, int to, uint32_t layers);
