/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A view: at most three artifacts and the directories above them, in one array that never changes
 * once it is built. A node's index is its FUSE node id; the root is 1, and 0 is no node.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "fuse/base/error.h"
#include "fuse/cli/options.h"
#include "fuse/source/source.h"
#include "fuse/view/urunc-config.h"

enum { VIEW_ROOT = 1, ARTIFACTS_MAX = 3 };

enum role {
	ROLE_CONFIG = 1 << 0,
	ROLE_BINARY = 1 << 1,
	ROLE_INITRD = 1 << 2,
};

enum artifact_state {
	ARTIFACT_UNRESOLVED, /* not looked for yet, or in vain: the fault may pass */
	ARTIFACT_READY,
	ARTIFACT_MISSING, /* permanently */
};

/* How the content reaches a reader; decided once (opener.c). */
enum reading {
	READ_UNDECIDED,
	READ_PASSTHROUGH, /* by the kernel, from backing_id */
	READ_CACHED,	  /* through us, kept in the page cache */
	READ_DIRECT,	  /* through us, past the page cache */
};

struct artifact {
	char *path;	/* in the view, with a leading slash; owned */
	unsigned roles; /* enum role; one file may have several */
	enum artifact_state state;
	bool reported; /* what is wrong with it was logged */
	int fd;	       /* open for reading once it is ready, until it is passed through; owned */
	enum reading reading;
	int backing_id; /* of READ_PASSTHROUGH */
	struct stat st; /* as it is shown, once it is ready */
	/* Its content's, where that is known: of a stored image, and of what is pinned (pin.h). */
	struct digest_wish digest;
	bool pinned;	    /* it must not change until it is the kernel's to read */
	struct stat hashed; /* of a pinned one: the file that was hashed */
	size_t layer;	    /* which has it */
	char *origin;	    /* the file's path in that layer's directory, for people; owned */
};

struct node {
	uint32_t parent;
	const char *name; /* borrowed from an artifact's path, not ended by NUL */
	size_t length;
	struct artifact *artifact; /* NULL: a directory */
};

struct view {
	struct image image; /* what it is a view of; owned; closed once the layers were released */
	struct idmap uids, gids;
	int64_t uid, gid;
	int mode;
	struct timespec time; /* of the made-up directories */
	struct artifact artifacts[ARTIFACTS_MAX];
	size_t artifact_count;
	struct node *nodes; /* owned */
	size_t node_count;  /* nodes 1 to node_count - 1 exist */
};

/*
 * Makes the view of what boots. Takes ownership of *image* and of the source's id maps, on failure
 * too. Nothing is resolved yet. Returns: 0, or < 0 with *error*; view_done() in both cases.
 */
int view_init(struct view *view, const struct options *options, struct source *source,
	      struct image *image, const struct urunc_config *boot, struct view_error *error);
/*
 * Makes the nodes of a view whose artifacts are named. The same names in the same order give the
 * same node ids in every version: a view that another program takes over keeps them.
 * Returns: 0, or < 0 with *error*.
 */
int view_build(struct view *view, struct view_error *error);

void view_done(struct view *view);
DEFINE_CLEANUP(struct view, view_done)

/*
 * Opens the image, and reads what boots from it. Nothing is mounted, and no artifact resolved.
 * Moves the id maps out of *source*. *make_index*: what is learned will be kept, in an index that
 * is made where it is missing. Faults of layers that pass are
 * tried again, later too (view->image.retry), until nine tenths of the time limit have passed since
 * *start_us* (now_us()).
 * Returns: 0, or < 0 with *error*: IMAGE_MISS: the artifact store lacks the image, or an answer;
 *	view_done() in both cases. Where the image could be opened, *ret* has it in both cases.
 */
int view_prepare(const struct options *options, struct source *source, bool make_index,
		 uint64_t start_us, struct view *ret, struct view_error *error);

/* view_done(), and gives *source* back what view_prepare() took, so that it may be called again. */
void view_undo(struct view *view, struct source *source);

/*
 * Uses the urunc.json that was read as the config artifact, unless *config* is empty. Returns: 0,
 * or < 0 with *error*.
 */
int view_take_config(struct view *view, struct image_file *config, struct view_error *error);

/* The child *name* of a directory, or 0. */
uint32_t view_lookup(const struct view *view, uint32_t parent, const char *name);

/*
 * Finds the artifact in the layers and opens it, unless that was done. What fails with a fault that
 * does not pass makes it ARTIFACT_MISSING. Returns: 0, or < 0 with *error*, as view_prepare().
 */
int artifact_resolve(struct view *view, struct artifact *artifact, struct view_error *error);

/* Logs what artifact_resolve() found wrong, once, and not that an unneeded config is absent. */
void artifact_report(struct artifact *artifact, const struct view_error *error);

/*
 * Resolves all of them; the first that cannot be is the error. A config that nothing was read from
 * may be missing: it is no artifact then. Where *source* was read off a mounted overlay, each must
 * be what that shows (mounted_compare()). Returns: as artifact_resolve().
 */
int view_resolve(struct view *view, const struct source *source, struct view_error *error);

/* The same for a lazy view: one that is missing is reported; that a layer fails is an error. */
int view_resolve_early(struct view *view, struct view_error *error);

/*
 * Whether a view lacks an artifact that its image names: it was looked for, and cannot be shown. A
 * urunc.json that nothing was read from is none.
 */
bool artifact_is_missing(const struct artifact *artifact);

/* Whether no artifact is left to be looked for. */
bool view_all_resolved(const struct view *view);

/*
 * Releases the layers. An artifact that was not found by now is missing: the view does not keep its
 * layers open for an artifact that might appear later. To get it, mount the view again.
 */
void view_release_layers(struct view *view);

/* The attributes a node is shown with; an artifact must be ready. */
struct stat view_attributes(const struct view *view, uint32_t node);

/* "binary", or "binary+initrd" where one file has several roles. */
const char *roles_name(unsigned roles);
