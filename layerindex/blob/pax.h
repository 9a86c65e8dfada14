/* SPDX-License-Identifier: Apache-2.0 */
/* The records of a PAX extended header. */
#pragma once

#include "layerindex/blob/tar-number.h"

/* The records that have a meaning here. Times other than mtime must only be well-formed. */
enum pax_key {
	PAX_PATH,
	PAX_LINKPATH,
	PAX_SIZE,
	PAX_UID,
	PAX_GID,
	PAX_MTIME,
	PAX_ATIME,
	PAX_CTIME,
	PAX_SPARSE_MAJOR,
	PAX_SPARSE_MINOR,
	PAX_SPARSE_NAME,
	PAX_SPARSE_SIZE,
	PAX_SPARSE_REALSIZE,
	PAX_SPARSE_COUNT,
	PAX_SPARSE_MAP,
	PAX_KEYS,
};

/* An empty value counts as none, as Go has it. */
struct pax {
	struct span values[PAX_KEYS]; /* in the text that was parsed, or in *map* */
	char *map; /* of the records of version 0.0, as version 0.1 has it; owned */
};

void pax_done(struct pax *pax);

/*
 * Reads all records of a header. The last of a name counts. *text* must outlive *ret*; the newline
 * behind each record becomes a NUL, so that a value which names a file is a C string.
 * Returns: 0, with the records, owned by the caller, in *ret; -EBADMSG; or -ENOMEM.
 */
int pax_parse(char *text, size_t length, struct pax *ret);
