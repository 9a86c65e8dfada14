/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Findings: obstacles on this machine that stop or slow down a view, and the fix. A check adds
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
	const char *fix;     /* what to do; static, NULL where there is nothing to do */
};

struct findings {
	struct finding *items; /* owned */
	size_t count, capacity;
	bool no_memory; /* for some finding */
};

void findings_add(struct findings *findings, enum severity severity, const char *subject,
		  const char *fix, const char *format, ...) __attribute__((format(printf, 5, 6)));

void findings_done(struct findings *findings);
DEFINE_CLEANUP(struct findings, findings_done)

/* The kernel, its FUSE, and what this process may do: doctor-kernel.c. */
void check_kernel(struct findings *findings);
void check_device(struct findings *findings);
void check_privilege(struct findings *findings);
void check_passthrough(struct findings *findings);
void check_openat2(struct findings *findings);

/* What is installed, and how it is set up: doctor-host.c. */
void check_program(struct findings *findings);
void check_fuse3(struct findings *findings);
void check_apparmor(struct findings *findings);
void check_selinux(struct findings *findings);

/* containerd, its snapshots, its shim, and urunc: doctor-containerd.c. */
void check_containerd(struct findings *findings);
void check_snapshotter(struct findings *findings);
void check_snapshots(struct findings *findings);
void check_shim(struct findings *findings);
void check_urunc(struct findings *findings);

/* The artifact store: doctor-store.c. */
void check_store(struct findings *findings);

/* What is mounted: doctor-views.c. */
void check_views(struct findings *findings);
