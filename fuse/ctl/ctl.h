/* SPDX-License-Identifier: Apache-2.0 */
/* The commands of viewfsctl. Each takes its own name as argv[0] and returns the exit status. */
#pragma once

#include <stdbool.h>

#include "fuse/base/error.h"

int ctl_index(int argc, char **argv);
int ctl_doctor(int argc, char **argv);
int ctl_gc(int argc, char **argv);
int ctl_list(int argc, char **argv);
int ctl_resolve(int argc, char **argv);
int ctl_umount(int argc, char **argv);

/* What the commands that name no source of layers can be told. */
struct ctl_call {
	bool json, dry_run;
	char **operands; /* borrowed from argv, ended by NULL */
};

struct ctl_usage {
	bool json, dry_run;   /* which of them the command knows */
	const char *operands; /* what they are called, where it takes some and needs one */
	void (*print_help)(void);
};

/* Parses a command's arguments. Returns: -1: run the command; else the exit status. */
int ctl_parse(int argc, char **argv, const struct ctl_usage *words, struct ctl_call *ret);

/* Says what went wrong in *command*, or NULL. Returns: the exit status. */
int ctl_fail(const char *command, const struct view_error *error);

/* The same for *r*, the -errno of *what*. */
int ctl_fail_errno(const char *what, int r);
