/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What on this machine would keep a view from working, or make it slow, and the fix. A check adds
 * what it found; where it has nothing to look at, it adds nothing.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "layerindex/cleanup.h"

enum severity {
	SEVERITY_OK,
	SEVERITY_NOTE,	  /* good to know */
	SEVERITY_WARNING, /* views work, but not as they should */
	SEVERITY_ERROR,	  /* no view can work */
};

struct finding {
	enum severity severity;
	const char *subject; /* one word; static */
	char *text;	     /* printable; owned */
	const char *fix;     /* what to do; static, NULL where nothing is to be done */
};

struct checkup {
	struct finding *items; /* owned */
	size_t count, capacity;
	bool no_memory; /* for some finding */
};

void checkup_add(struct checkup *checkup, enum severity severity, const char *subject,
		 const char *fix, const char *format, ...) __attribute__((format(printf, 5, 6)));

void checkup_done(struct checkup *checkup);
DEFINE_CLEANUP(struct checkup, checkup_done)

/* The kernel, its FUSE, and what this process may do: checkup-fuse.c. */
void check_kernel(struct checkup *checkup);
void check_device(struct checkup *checkup);
void check_privilege(struct checkup *checkup);
void check_passthrough(struct checkup *checkup);
void check_openat2(struct checkup *checkup);

/* What is installed, and how it is set up: checkup-host.c. */
void check_program(struct checkup *checkup);
void check_fuse3(struct checkup *checkup);
void check_containerd(struct checkup *checkup);
void check_snapshots(struct checkup *checkup);
void check_apparmor(struct checkup *checkup);
void check_selinux(struct checkup *checkup);

/* What is mounted: checkup-views.c. */
void check_views(struct checkup *checkup);
