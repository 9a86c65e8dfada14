/* SPDX-License-Identifier: Apache-2.0 */
/* The process that makes one view and serves it. */
#pragma once

#include "fuse/serve/call.h"

/*
 * The life of the process that serves (*argument* is a struct server_call): makes the view, sends
 * the outcome, and serves until the mount is gone. Of the caller's descriptors it keeps none, but
 * for stderr where that is asked for. Returns: the process's exit status.
 */
int server_start(void *argument);
