/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A confined child that reads one plain archive, and hands out its name log: another archive must
 * not be able to change what is known of this one.
 */
#pragma once

#include <sys/types.h>

/* Starts a lister that is told by *from* and answers into *to*: it lists one archive, and ends.
 * Returns: a pid, or -errno. */
pid_t lister_start(int from, int to);
