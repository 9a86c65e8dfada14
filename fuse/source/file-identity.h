/* SPDX-License-Identifier: Apache-2.0 */
/* Whether a file that overlayfs shows is a certain file of a layer. */
#pragma once

#include <stdbool.h>

/*
 * Compares the file handles of *shown*, a file of an overlay, and *found*, a file of a layer; both
 * may be O_PATH. The overlay's handle holds that of the file below (fs/overlayfs/export.c), with
 * the inode's generation, and the UUID of the filesystem where that has one. Inode numbers alone do
 * not identify a file: a filesystem uses them again. No file is opened. What overlayfs or the
 * filesystem cannot tell (before Linux 6.6) is not compared.
 * Returns: false: they are two files.
 */
bool file_may_be_shown(int shown, int found);
