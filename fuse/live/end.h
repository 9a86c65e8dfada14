/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Taking views away. A view is unmounted by a descriptor of its mount's root, and ended by the
 * kernel, through fusectl, with that descriptor held: neither a path nor a number leads to another
 * one meanwhile. A child does it: the way to a place may lead through a filesystem that hangs.
 */
#pragma once

#include <stddef.h>

#include "fuse/live/ending.h"

/*
 * Removes every view from each of the places, in use or not, dead or alive, one above the other;
 * and ends those that no mount of this namespace leads to then. A place where nothing is, or that
 * is not there, is no error; one where something else is, is one. Waits for the processes to end.
 * All of it takes not more than about nine seconds.
 * Returns: 0, or -ENOMEM; endings_done() in both cases.
 */
int views_end(struct ending *endings, size_t n);

void endings_done(struct ending *endings, size_t n);
