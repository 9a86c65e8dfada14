/* SPDX-License-Identifier: Apache-2.0 */
/* The commands of viewfsctl. */
#pragma once

#include <json-c/json.h>
#include <linux/capability.h>
#include <stdbool.h>
#include <stdint.h>

#include "fuse/base/error.h"
#include "fuse/base/words.h"
#include "fuse/cli/layers-from.h"
#include "fuse/cli/options.h"

/* The arguments of a command. */
struct ctl_call {
	int argc; /* with the command's name as argv[0] */
	char **argv;
	bool json, dry_run, repair, all, prometheus;
	const char *id, *columns, *binary; /* NULL: not given */
	struct container_wish container;
	struct options options; /* where the command knows -o; owned by ctl_run() */
	char **operands;	/* of argv, ended by NULL */
};

#define CTL_CAPABILITY(name) (UINT64_C(1) << (name))

/*
 * To look at views: at their processes, on the way to wherever they are, through fusectl, and as
 * their owners.
 */
#define CTL_LOOK_AT_VIEWS                                                       \
	(CTL_CAPABILITY(CAP_SYS_PTRACE) | CTL_CAPABILITY(CAP_DAC_READ_SEARCH) | \
	 CTL_CAPABILITY(CAP_SYS_ADMIN) | CTL_CAPABILITY(CAP_SETUID) | CTL_CAPABILITY(CAP_SETGID))

/* To end them: also to write into fusectl what belongs to a view's owner, and to signal. */
#define CTL_END_VIEWS \
	(CTL_LOOK_AT_VIEWS | CTL_CAPABILITY(CAP_DAC_OVERRIDE) | CTL_CAPABILITY(CAP_KILL))

/* To find the layers of an index, or a store, wherever they are. */
#define CTL_READ_FILES CTL_CAPABILITY(CAP_DAC_READ_SEARCH)

struct ctl_command {
	const char *name;
	const char *summary; /* one line of viewfsctl's --help */
	void (*print_help)(void);
	/* Returns: the exit status, or < 0 with *error*. */
	int (*run)(const struct ctl_call *call, struct view_error *error);
	/* Which of them the command knows; options and columns: -o. */
	bool json, dry_run, repair, all, prometheus, id, container, binary, options, columns;
	/* What operands are called, where the command requires one, an id or --all; or NULL. */
	const char *operands;
	bool parses; /* all of argv, --help too: ctl_run() does not */
	/* Those that it needs (capabilities_keep()); 0: it gives some up itself. The others are
	 * given up before anything is read that strangers wrote. */
	uint64_t capabilities;
};

extern const struct ctl_command ctl_index;
extern const struct ctl_command ctl_doctor;
extern const struct ctl_command ctl_gc;
extern const struct ctl_command ctl_list;
extern const struct ctl_command ctl_resolve;
extern const struct ctl_command ctl_store;
extern const struct ctl_command ctl_umount;
extern const struct ctl_command ctl_upgrade;

/* Parses the command's arguments and runs it. Returns: the exit status, or < 0 with *error*. */
int ctl_run(const struct ctl_command *command, int argc, char **argv, struct view_error *error);

/*
 * Rejects an unknown command, or action of a command; *nearest* was offered all that there are.
 * Returns: < 0 with *error*.
 */
int ctl_refuse(const struct nearest *nearest, struct view_error *error);

/* Whether a view's *id*, or NULL, is the one that --id names, or a long one that begins so. */
bool ctl_is_id(const char *id, const char *wanted);

/* Says what went wrong in *command*, or NULL. Returns: the exit status. */
int ctl_fail(const char *command, const struct view_error *error);

/* Says a failure that does not end the command. *status* keeps the first one's exit status. */
void ctl_goes_on(const struct view_error *error, int *status);

/* The "error" of --json; owned, or NULL without memory. */
struct json_object *ctl_describe_error(const struct view_error *error);
