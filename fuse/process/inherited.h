/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a process inherits from the one that started it, and what a view does about each:
 *
 *   signal mask           set: inherited_settle(), signals_of_server()
 *   signal dispositions   TERM, CHLD: the default. The others that could end a view are blocked, so
 *                         that their dispositions do not matter; faults end it in any case
 *   pending signals       those of the call end it; a view has none: it is forked
 *   timers                ITIMER_REAL, VIRTUAL, PROF are cleared by fork(2); in the call their
 *                         signals are blocked. Others do not outlive execve(2)
 *   umask                 022
 *   working directory     /: daemonize_detach()
 *   root directory        kept: the layers are looked up in it
 *   stdio                 /dev/null where closed: fds_fill_stdio(); and in the background
 *   other descriptors     closed: fds_close()
 *   session, terminal     the caller's until it is mounted, since autofs lets pass only the process
 *                         group that it started; then a session of its own, without a terminal
 *   user, groups          kept. Capabilities but three are dropped first: sandbox_early()
 *   securebits, keyrings  kept: no program is run, but fusermount3
 *   no_new_privs          kept, and set later; fusermount3 says so where it cannot work
 *   seccomp, Landlock     kept: what they deny fails with a message
 *   dumpable              kept until the sandbox clears it
 *   CORE, FSIZE, NOFILE,  kept at first: what does not fit fails with a message, unless the program
 *   NPROC, AS, DATA       does not even start. FSIZE: only the index is lost. The sandbox lowers
 *                         the first five
 *   CPU                   kept; the signal of the soft limit is blocked
 *   STACK                 kept; a server in memory that it shares has a stack of its own
 *   other limits          kept: they limit what a view does not use
 *   nice, scheduling,     kept: the caller decides how important a view is. A processor is shared
 *   affinity, ioprio      with the call for a moment: spawn()
 *   oom_score_adj         kept, likewise
 *   personality           kept: it changes neither paths nor attributes
 *   cgroup                kept: a view counts as its caller's, and ends when that is killed whole
 *   mount, network, user, kept: a view is mounted in the caller's namespace
 *   UTS, IPC, time
 *   PID namespace         kept, with one exception: where the call is process 1, its end would kill
 *                         the view, so only -f is possible: launch()
 *   parent's death signal cleared by fork(2), and set to SIGKILL
 *   child subreaper       not inherited
 *   environment           PATH is used to find fusermount3, XDG_RUNTIME_DIR to find the index
 */
#pragma once

#include <stdbool.h>

/*
 * Decides what a call has of this, before anything else is done: the umask, the dispositions, and
 * a mask that blocks what could end it unseen. Faults and job control stay.
 */
void inherited_settle(void);

/*
 * What ends a call or a view that is watched: TERM and INT; with *terminal* QUIT, and HUP unless
 * the caller ignores it, as nohup(1) does; with *children* CHLD too. All of them must be blocked.
 * Returns: a signalfd, close-on-exec, owned, or -errno.
 */
int signals_open(bool terminal, bool children);

/* Reads one of these. Returns: its number; 0: there is none; or -errno. */
int signals_read(int fd);

/*
 * The mask of a process that serves: TERM and, with *interrupt*, INT end it; HUP, QUIT, USR1, USR2,
 * ALRM, VTALRM, PROF, PIPE, IO, XFSZ, XCPU and real-time signals are blocked.
 */
void signals_of_server(bool interrupt);

/* The mask of another program that is about to be run: none is blocked. */
void signals_of_program(void);
