/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The process beside a view that ends with a terminal (--foreground) or a descriptor (--lifeline).
 * It waits, and unmounts the view when the terminal or the descriptor goes away.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

/*
 * Keeps the view that process *server* serves until it ends, a signal arrives at *signals*, or the
 * lifeline closes. Without *foreground* the call returns at once and a process of its own waits.
 * Returns: the exit status.
 */
int supervise(const char *mountpoint, int lifeline, bool foreground, pid_t server, int signals);
