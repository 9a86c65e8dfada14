/* SPDX-License-Identifier: Apache-2.0 */
/* The command line of the programs that name a source of layers: urunc-viewfs and viewfsctl. */
#pragma once

#include <getopt.h>
#include <stdbool.h>

#include "fuse/base/error.h"
#include "fuse/base/log.h"
#include "fuse/cli/layers-from.h"
#include "fuse/cli/options.h"

struct arguments {
	struct options options;
	struct layers_from from;
	const char *mountpoint; /* MOUNTPOINT, urunc-viewfs only; borrowed from argv */
	bool foreground;
	bool json, digest; /* viewfsctl resolve; json also of store add and --version */
	bool syslog;	   /* viewfsctl store add */
	const char *tree;  /* viewfsctl store add; borrowed from argv */
	int ready_fd;	   /* -1: none */
	int lifeline;	   /* -1: none */
	int pass_mount;	   /* a UNIX socket; -1: none. MOUNTPOINT is "-" with it */
	struct log_options log;
	bool help, version; /* asked for: nothing else counts */
};

#define ARGUMENTS_INIT                               \
	((struct arguments){.options = OPTIONS_INIT, \
			    .ready_fd = -1,          \
			    .lifeline = -1,          \
			    .pass_mount = -1,        \
			    .log = {.level = LOG_LEVEL_INFO}})

enum arguments_for {
	FOR_VIEW,    /* urunc-viewfs SOURCE MOUNTPOINT */
	FOR_RESOLVE, /* viewfsctl resolve [SOURCE] */
	FOR_ADD,     /* viewfsctl store add */
};

/*
 * Parses argv[1] and on. *ret* must be ARGUMENTS_INIT, and is filled as far as it went even on
 * failure, so that the failure can be said where the caller wants to hear it.
 * Returns: 0, or < 0 with *error.
 */
int arguments_parse(struct arguments *ret, int argc, char **argv, enum arguments_for what,
		    struct view_error *error);

/*
 * Says what getopt_long(3) did not accept, after it returned '?', and the name that resembles it.
 * *letters* and *names* are those that it was given. Returns: < 0 with *error*.
 */
int arguments_refuse(char **argv, const char *letters, const struct option *names,
		     struct view_error *error);

/* Prints the long arguments that such a call knows, as the items of a JSON array. */
void arguments_print_names(enum arguments_for what);

void arguments_done(struct arguments *arguments);
DEFINE_CLEANUP(struct arguments, arguments_done)
