/* SPDX-License-Identifier: Apache-2.0 */
/* The directory of an index: its files are read, published and forgotten, each of them whole. */
#pragma once

#include <stdint.h>

#include "layerindex/index/facts-file.h"
#include "layerindex/layerindex.h"

struct li_index {
	int fd;		  /* -EBADF: it is not made yet */
	int above;	  /* the directory in which it will be made; owned, or -EBADF */
	char *name;	  /* its path there; owned, or NULL */
	uint8_t boot[16]; /* of the machine's, or zeros where the directory does not outlive it */
};

/* Reads the facts in the file *name*, which is no use of them; else as index_load(). */
int index_read(const struct li_index *index, const char *name, struct chain *ret_chain,
	       struct facts *ret);

/*
 * Reads the facts that are filed under *key*.
 * Returns: 0, with *ret_chain* and *ret*, owned by the caller; -ENOENT: there are none; -EINVAL or
 *	-EPROTO: what is there is not (yet, or any more) what it must be; or what reading it failed
 *	with.
 */
int index_load(const struct li_index *index, const struct chain_key *key, struct chain *ret_chain,
	       struct facts *ret);

/*
 * Files them under their key, whole or not at all, in place of what is there.
 * Returns: 0, or what writing failed with.
 */
int index_publish(const struct li_index *index, const struct chain *chain,
		  const struct facts *facts);

/* Forgets the entries that were not used for longest, where all of them take too much room. */
void index_trim(const struct li_index *index);
