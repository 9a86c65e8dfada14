/* SPDX-License-Identifier: Apache-2.0 */
/* The files of an image, in its layer directories or in the artifact store. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

#include "fuse/base/digest.h"
#include "fuse/base/error.h"
#include "fuse/base/retry.h"
#include "layerindex/layerindex.h"
#include "layerindex/store/store.h"

struct stored_image;

struct image_file;

/* Another way to an image's files, for the process that fills the store. */
struct image_finder {
	/* As image_find(). */
	int (*find)(void *context, const char *path, struct image_file *ret);
	/* Readies the files at the paths to be found, all at once. NULL: there is no need. */
	int (*prepare)(void *context, char *const *paths, size_t n);
	void (*close)(void *context);
	void *context; /* owned */
};

struct image {
	size_t layers;		 /* 0: it is a stored image */
	struct li_store_key key; /* of a stored image: what the store was asked for */
	/* Owned; NULL: it is a stored image, or the layers were released. */
	struct li_stack *stack;
	struct li_index *index;	     /* that the stack was opened with; owned, or NULL */
	struct stored_image *stored; /* owned, or NULL likewise */
	struct image_finder finder;  /* its find is NULL of any other image */
	struct retry retry;	     /* of what failed with a fault that passes */
};

/* That the artifact store has no answer: no other error has this value. */
enum { IMAGE_MISS = -ENOMSG };

/*
 * Opens the image that the artifact store has under a chain id or a manifest's digest. *given* is
 * the store's directory; NULL: store_directory_path() says which. Unless *quiet*, it logs a warning
 * where the store, or a part of it, is there and cannot be used.
 * Returns: 0; or < 0 with *error*, CODE_ENOTAPPLICABLE where the store lacks it, or cannot be used:
 *	IMAGE_MISS if adding the image may help.
 */
int image_open_stored(const struct li_store_key *key, const char *given, bool quiet,
		      struct image *ret, struct view_error *error);

/* What the store knows of a stored image; borrowed. */
const struct li_store_facts *image_stored_facts(const struct image *image);

/* Releases what the image holds. What it is called by, layers and key, stays. */
void image_close(struct image *image);
DEFINE_CLEANUP(struct image, image_close)

/* The file or directory at a path of an image. */
struct image_file {
	int fd;			   /* open for reading; -EBADF: it is no regular file; owned */
	struct stat st;		   /* as the image has it */
	size_t layer;		   /* which has it; 0 of a stored image */
	struct digest_wish digest; /* of its content; given: it is known, as of a stored image */
	bool is_ours; /* without a name, in the store's directory: see struct li_store_addition */
	/* The file's path, without a leading slash, beneath that layer or the store's directory;
	 * owned; NULL where there is no such file: a stored image has artifacts only. */
	char *name;
	char *origin; /* "sha256:HEX/PATH", if that is known: see struct li_store_answer; owned */
};

#define IMAGE_FILE_INIT ((struct image_file){.fd = -EBADF})

void image_file_done(struct image_file *file);
DEFINE_CLEANUP(struct image_file, image_file_done)

/* Why there is no artifact, as the store files it beside the errno values of a walk. */
enum {
	IMAGE_TARGET_PATH = EILSEQ, /* links lead to a path that urunc does not allow */
	IMAGE_MARK = EPERM,	    /* image_met_mark() */
};

/*
 * Finds what *path* leads to, and opens it if it is a regular file; nothing else is opened: a
 * device would do what opening it does. The attributes of an artifact in layers are those of the
 * very file that is open, and its permission bits grant no process more than its access ACL does.
 * A fault of layers that passes is tried again as long as image->retry says.
 * Returns: 0, with *ret*, which must be IMAGE_FILE_INIT; IMAGE_MISS, of a stored image; or see
 *	li_resolve() and li_file_open(), whose errors a stored image gives as they were filed.
 */
int image_find(const struct image *image, const char *path, struct image_file *ret);

/* Whether the last image_find() failed because of a redirect or metacopy mark of overlayfs. */
bool image_met_mark(const struct image *image);

/* Why a file of the type *mode* is no artifact, as the store files it: a positive errno value. */
int image_reason_of_type(mode_t mode);

/* Says that image_find() returned IMAGE_MISS for *path*. Returns: IMAGE_MISS with *error*. */
int image_fail_miss(const struct image *image, const char *path, struct view_error *error);

/* The place of a file of the image, for people; owned, or NULL without memory. */
char *image_origin(const struct image *image, const struct image_file *file);

/* What a key of the store is called: "chain" or "manifest". */
const char *image_key_name(const struct li_store_key *key);

/* An image in words, for messages: "any of 20 layers", "image sha256:…" by either key. */
struct image_words {
	char text[96];
};

struct image_words image_in_words(const struct image *image);

/* Whether it lies on a filesystem that is made of others: see li_stack_is_stacked(). */
bool image_is_stacked(const struct image *image);

/*
 * Whether its files can be found after the view is mounted. Not where a layer would be opened by
 * its path again: see li_stack_is_held(); and not of a stored image, which is no image for the view
 * if an answer is missing.
 */
bool image_can_wait(const struct image *image);

/*
 * The artifact store's directory: *given*, if that is not NULL; else /var/cache/urunc-viewfs for
 * root, and for another user below $XDG_CACHE_HOME or $HOME/.cache.
 * Returns: an owned path; NULL: there is none, or no memory.
 */
char *store_directory_path(const char *given);

/*
 * Whether the image of a manifest may be added, or failed lately because of what it is. Returns: 0,
 * or < 0 with *error*, which is that of then: CODE_ELAYER or CODE_ENOTAPPLICABLE.
 */
int store_check_failure(const struct li_store *store, const struct li_digest *manifest,
			struct view_error *error);
