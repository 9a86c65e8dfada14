/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a view's process gives up, so that an attacker who takes it over gains only the view. On a
 * kernel that lacks one of the measures the others still apply.
 */
#pragma once

#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The measures, in the order in which they are taken. */
enum sandbox_measure {
	SANDBOX_PRIVILEGES,   /* no program that it runs can give it any (no_new_privs) */
	SANDBOX_DESCRIPTORS,  /* none is open but those that serving takes */
	SANDBOX_LANDLOCK,     /* no path of any filesystem, no TCP, nothing outside to signal */
	SANDBOX_DUMP,	      /* no unprivileged process may read its memory, no core */
	SANDBOX_LIMITS,	      /* no new descriptor, process, file content; little memory */
	SANDBOX_CAPABILITIES, /* none */
	SANDBOX_SECCOMP,      /* no system call but the few that serving takes */
	SANDBOX_COUNT,
};

/* A set of measures has the bit 1 << SANDBOX_… of each. */
enum { SANDBOX_ALL = (1 << SANDBOX_COUNT) - 1 };

/* Their names in listings. */
extern const char sandbox_names[SANDBOX_COUNT][16];

/*
 * Gives up the capabilities that a view needs at no time, before anything is read that strangers
 * wrote. With *asks* it keeps those that asking another user's view requires, until it is called
 * again. As far as that goes: without privilege there is nothing to give up.
 */
void sandbox_early(bool asks);

/*
 * Gives up all capabilities but those of the set *kept*, in which capability N has the bit 1 << N.
 * Returns: 0 or -errno.
 */
int capabilities_keep(uint64_t kept);

/* The measures that this build and this kernel have. Changes nothing. */
unsigned sandbox_possible(void);

/* Why one of them is not available. */
const char *sandbox_lack(enum sandbox_measure measure);

/* The version of Landlock that this kernel has; 0: none. */
int sandbox_landlock_abi(void);

/* What a view's process keeps. */
struct sandbox_fds {
	const int *fds;
	size_t count;
	bool reading; /* some of them are files that are read with pread(2) */
};

/*
 * Takes every available measure; none can be undone. It leaves the descriptors in *keep* open.
 * Returns: the measures that are in force.
 */
unsigned sandbox(const struct sandbox_fds *keep);

/*
 * The same for a process that is no view's: it needs *memory* bytes of address space, and reads
 * with read(2) only.
 */
unsigned sandbox_child(const int *keep, size_t n, size_t memory);

/* With which flags of clone(2) a process that stands by starts a child. */
#define STANDBY_CLONE_FLAGS (CLONE_CHILD_SETTID | SIGCHLD)

/*
 * As sandbox(), for a process that stands by (standby.h). It may also start children, wait for
 * them, and take further system calls away.
 */
unsigned sandbox_standby(const struct sandbox_fds *keep);

/*
 * As sandbox_standby(), for a process that will take a view over (serve/takeover.h), which may also
 * close descriptors.
 */
unsigned sandbox_takeover(const struct sandbox_fds *keep);

/*
 * Each takes further calls away from a process that is sandboxed: those that standing by takes,
 * from a child or from a process that has none after all; and those that taking over takes, so that
 * the process may do as much as after sandbox(), or sandbox_standby(). *reading* as it was there.
 * Returns: 0 or -errno.
 */
int sandbox_narrow_to_successor(bool reading);
int sandbox_narrow_to_worker(bool reading);
int sandbox_narrow_to_standby(bool reading);
