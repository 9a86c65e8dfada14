/* SPDX-License-Identifier: Apache-2.0 */
/* The arguments that say where the image comes from. */
#pragma once

#include "fuse/base/digest.h"

/* All strings are borrowed from argv; NULL: not given. */
struct layers_from {
	const char *source;	  /* SOURCE */
	const char *mounts;	  /* --mounts=FILE, "-" is stdin */
	const char *bundle;	  /* --bundle=DIR */
	struct digest_wish chain; /* --chain=sha256:HEX */
};
