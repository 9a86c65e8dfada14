/* SPDX-License-Identifier: Apache-2.0 */
/* The layers' directories: each kind of source that a caller may name, brought into one form. */
#pragma once

#include <json-c/json.h>
#include <stdbool.h>

#include "fuse/base/digest.h"
#include "fuse/base/error.h"
#include "fuse/base/retry.h"
#include "fuse/base/text.h"
#include "fuse/cli/idmap.h"
#include "fuse/cli/layers-from.h"
#include "fuse/cli/overlay-options.h"
#include "fuse/source/blobs.h"
#include "fuse/source/mounted-overlay.h"
#include "layerindex/layerindex.h"

struct source {
	struct strings layers; /* absolute paths, topmost first */
	int *fds; /* of layers that only a descriptor leads to, else -EBADF; owned; NULL: of none */
	size_t fd_count;
	bool userxattr;
	struct idmap uids, gids;
	char *bundle;			 /* its directory; owned; NULL: none was named */
	struct json_object *annotations; /* of the bundle, owned, or NULL */
	char *origin_label; /* where the layers come from, for messages: "--mounts=x.json"; owned */
	char *container;    /* the id of the container that was found by --container; owned; NULL */
	/* What the artifact store is asked for if there are no layers. */
	struct digest_wish chain;
	struct blob_place blobs;     /* of the image; borrowed from the arguments */
	struct digest_wish manifest; /* the image's, once that is known */
	bool by_manifest;	     /* what the store has by chain does not suffice */
	/* Read off a mount, or guessed: where paths lead nowhere, no view is applicable. */
	bool from_mount;
	bool resolve_ready;		/* each artifact must be found before the view is ready */
	struct mounted_overlay overlay; /* that the layers were read off */
	char *upper; /* that overlay's upper directory, absolute; owned; NULL: none, or unknown */
};

#define SOURCE_INIT ((struct source){.overlay = MOUNTED_OVERLAY_INIT})

/*
 * Finds out where the layers are, without touching them; with --chain there may be none. Takes
 * ownership of all that *typed* holds, on failure too: it is empty afterwards. *basedir*, or NULL,
 * is what relative paths are relative to. *ret* must be SOURCE_INIT, and is released by
 * source_done() on failure too. Returns: 0, or < 0 with *error.
 */
int source_find(const struct layers_from *from, struct overlay_options *typed, const char *basedir,
		struct source *ret, struct view_error *error);

/* Whether it names layer blobs, of which a stored image can be made. */
bool source_has_blobs(const struct source *source);

/* Whether it names a stored image, beside layers or without any. */
bool source_names_stored(const struct source *source);

/*
 * Whether the artifact store is asked for the image, now that its layers cannot be had: *error*
 * says why, and is dropped then.
 */
bool source_asks_store(const struct source *source, struct view_error *error);

/*
 * Opens the layers, and moves the descriptors into the stack. *index*, borrowed until the stack is
 * closed, or NULL, is what may be known of the layers. *flags* are more of enum li_stack_flags.
 * Faults that pass are tried again within *retry*.
 * Returns: 0, with a stack owned by the caller, or < 0 with *error.
 */
int source_open(struct source *source, const struct li_index *index, unsigned flags,
		struct retry retry, struct li_stack **ret, struct view_error *error);

void source_done(struct source *source);
DEFINE_CLEANUP(struct source, source_done)
