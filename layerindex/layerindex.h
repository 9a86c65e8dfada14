/* SPDX-License-Identifier: Apache-2.0 */
/*
 * layerindex: what is at PATH in this stack of layers, and give me it open.
 *
 * A stack of layers is merged as the kernel's overlayfs merges its lower layers when mounted with
 * redirect_dir=nofollow and without metacopy: the answer for a path is what a container chrooted
 * into that overlay would find. Nothing is listed or walked beyond the names that a path asks for,
 * and paths, names, links and marks are hostile input.
 *
 * Errors: every function that can fail returns 0 or -errno, and writes its outputs
 * only when it returns 0. The library neither logs nor exits. It is not thread-safe: a stack
 * belongs to one thread at a time.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <time.h>

#include "layerindex/cleanup.h"

enum {
	LI_LAYERS_MAX = 4096, /* layers in a stack; overlayfs itself stops at 500 */
	LI_PATH_MAX = 4095, /* bytes of a path asked for, and of a symlink's body (PATH_MAX - 1) */
	LI_NAME_MAX = 255,  /* bytes of one component (NAME_MAX) */
	LI_LINKS_MAX = 40,  /* symlinks followed in one walk (MAXSYMLINKS, include/linux/namei.h) */
	/* Layer directories kept open at once, as far as the descriptor limit lets them be; the
	 * others are opened anew each time. */
	LI_OPEN_LAYERS = 512,
};

/*
 * A directory of small files that hold what was found out about layers: urunc-viewfs-index(5).
 * Any number of processes may use it at once.
 */
struct li_index;

enum { LI_INDEX_BYTES_MAX = 16 << 20 }; /* of all files; those not used for longest go first */

/*
 * Opens an index. Its directory may be missing, and the *make* - 1 above it too, if the caller may
 * write where the first of them will be made: such an index is empty until li_index_make().
 * Returns: 0, with the index in *ret*, owned by the caller; -EPERM: the directory is another
 *	user's, or others may write in it; or what opening it failed with.
 */
int li_index_open(const char *path, unsigned make, struct li_index **ret);

/*
 * Makes the directories that were missing, if any: the index's of mode 0700, those above of 0755.
 * Returns: 0, or -errno as li_index_open().
 */
int li_index_make(struct li_index *index);

/* NULL is allowed. */
void li_index_close(struct li_index *index);

enum li_entry_state {
	LI_ENTRY_CURRENT,   /* its layers are there */
	LI_ENTRY_STALE,	    /* they are not, and it is of no use any more */
	LI_ENTRY_DAMAGED,   /* or of another version */
	LI_ENTRY_TEMPORARY, /* being written, or left by a writer that died */
};

/* A file of an index. */
struct li_index_entry {
	const char *name;
	enum li_entry_state state;
	uint64_t bytes;	      /* that it takes on the disk */
	struct timespec used; /* last, within an hour */
	size_t layers, paths; /* that it speaks of */
	const char *layer;    /* the topmost of them; "": unknown */
};

/*
 * Calls *visit* for each file; what it is given is borrowed. Looks at the layers, which may not
 * answer. Returns: 0, or -errno.
 */
int li_index_each(const struct li_index *index,
		  void (*visit)(const struct li_index_entry *entry, void *context), void *context);

/* Calls *visit* with the name of each file, and looks at no layer. Returns: 0, or -errno. */
int li_index_each_name(const struct li_index *index, void (*visit)(const char *name, void *context),
		       void *context);

/* Removes a file of the index. Returns: 0, also where it is gone, or -errno. */
int li_index_remove(const struct li_index *index, const char *name);

struct li_stack;

enum li_stack_flags {
	LI_STACK_USERXATTR = 1 << 0, /* overlay marks are user.overlay.*, not trusted.overlay.* */
	/* No path of a layer may lead through a process's descriptors, root or working directory in
	 * /proc (-ELOOP): it is the maker's process that was meant. */
	LI_STACK_NO_MAGICLINKS = 1 << 2,
	/* No index is used unless every layer is root's, or this user's. */
	LI_STACK_INDEX_OWN = 1 << 1,
};

/*
 * Opens a stack of *n* layer directories, topmost first. A path may end in a symlink, as in the
 * kernel's lowerdir=; the paths are copied. Holds at most LI_OPEN_LAYERS descriptors, and at most
 * half of those that the process may have: the rest is the caller's. What *index* knows of the
 * layers spares asking them; it is borrowed until the stack is closed, and may be NULL.
 *
 * Returns: 0, with the stack in *ret, owned by the caller (li_stack_close()).
 *	-EINVAL: no layer.
 *	-E2BIG: more than LI_LAYERS_MAX.
 *	-EPERM: trusted.overlay.* marks cannot be read (this requires CAP_SYS_ADMIN in the initial user
 *	namespace; without it deleted files would reappear) and LI_STACK_USERXATTR was not given.
 *	-ENOSYS: /proc is not mounted, and marks cannot be read without it.
 *	Any other: opening the layer failed whose index is then in *ret_layer (-ENOENT, -ENOTDIR,
 *	-EACCES, ...). Where no layer is to blame *ret_layer is n.
 */
int li_stack_open(char *const *paths, size_t n, unsigned flags, const struct li_index *index,
		  struct li_stack **ret, size_t *ret_layer);

/*
 * The same for layers of which some are given as descriptors (O_PATH will do): those of *fds* that
 * are not negative. Their paths are for people, and no index is used for the stack, which takes
 * ownership of the descriptors on success and leaves -EBADF in their place.
 */
int li_stack_open_given(char *const *paths, int *fds, size_t n, unsigned flags,
			const struct li_index *index, struct li_stack **ret, size_t *ret_layer);

/*
 * Files what was learned from the layers in the index that the stack was opened with, for the next;
 * nothing about layers that had changed in the very tick of the clock in which it was opened.
 * Returns: 0, or what writing failed with; the stack is as good as before.
 */
int li_stack_publish(struct li_stack *stack);

/*
 * The name of a file of the index that was about these layers and is damaged or foreign; borrowed
 * until the stack is closed. NULL: there was none. One of another version is no damage.
 */
const char *li_stack_damaged_entry(const struct li_stack *stack);

/* Closes what the stack holds and frees it; NULL is allowed. */
void li_stack_close(struct li_stack *stack);

size_t li_stack_size(const struct li_stack *stack);

/* The path of a layer as it was given; borrowed until the stack is closed. */
const char *li_stack_path(const struct li_stack *stack, size_t layer);

/*
 * Which directory a layer is, whatever its path leads to by now. A filesystem gives the inode's
 * number of a directory that was removed to another one: the times tell them apart. They are zero
 * where the filesystem does not tell them.
 */
struct li_root {
	dev_t device;
	ino_t inode;
	struct timespec birth, change;
};

struct li_root li_stack_root(const struct li_stack *stack, size_t layer);

/* Whether its overlay marks are user.overlay.* (LI_STACK_USERXATTR). */
bool li_stack_is_userxattr(const struct li_stack *stack);

/*
 * Whether a layer lies on a filesystem that is made of others, overlayfs or FUSE: the kernel limits
 * how deeply they may be stacked (FILESYSTEM_MAX_STACK_DEPTH).
 */
bool li_stack_is_stacked(const struct li_stack *stack);

/*
 * Whether every layer is held open, so that resolving no longer uses a layer's path. Where it is
 * false a mount over a directory that leads to a layer comes between. What the index speaks for is
 * not held.
 */
bool li_stack_is_held(const struct li_stack *stack);

/* The file or directory at a path. */
struct li_file {
	int fd; /* O_PATH, close-on-exec, pinned to the inode; owned */
	struct stat st;
	size_t layer; /* index in the stack; of a merged directory that of its topmost part */
	char *name;   /* beneath the layer, without a leading slash, "" is its root; owned */
};

#define LI_FILE_INIT ((struct li_file){.fd = -EBADF})

/* Releases what *file* owns; what was never filled must be LI_FILE_INIT. */
void li_file_done(struct li_file *file);
DEFINE_CLEANUP(struct li_file, li_file_done)

enum li_resolve_flags {
	LI_RESOLVE_NOFOLLOW = 1 << 0, /* a final symlink is the answer, as with O_NOFOLLOW */
};

/*
 * Walks *path* through the merged tree from its root, as openat2(RESOLVE_IN_ROOT) on a mounted
 * overlay would: absolute links restart at the root, ".." is the parent of the merged directory
 * and stops at the root.
 *
 * Returns: 0, with *ret filled (li_file_done()).
 *	-ENOENT, -ENOTDIR, -ELOOP, -ENAMETOOLONG: as the kernel says for that walk.
 *	-EPERM, -EINVAL, -EIO: a redirect or metacopy mark stands on the way (never followed); or a
 *	layer's filesystem fails alike: li_stack_met_mark() tells which.
 *	-EXDEV: a mount lies on the way inside a layer, and what it covers could not be reached.
 *	-ESTALE: a layer directory is no longer the one that was opened.
 *	-ENOMEM, -EMFILE, -ENFILE, -EIO and what else a layer's filesystem fails with.
 */
int li_resolve(struct li_stack *stack, const char *path, unsigned flags, struct li_file *ret);

/* Whether the last li_resolve() failed because of a redirect or metacopy mark. */
bool li_stack_met_mark(const struct li_stack *stack);

/*
 * Opens a resolved regular file for reading: the same inode, whatever has happened to its name.
 * Never blocks, never changes the access time where the filesystem allows that.
 *
 * Returns: a descriptor (close-on-exec, owned by the caller); -EINVAL when it is not a regular
 *	file; -EAGAIN: a lease is being broken, or the filesystem is busy; else what opening it
 *	failed with.
 */
int li_file_open(const struct li_file *file);
