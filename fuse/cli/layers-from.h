/* SPDX-License-Identifier: Apache-2.0 */
/* The arguments that say where the layers come from. */
#pragma once

/* All borrowed from argv; NULL: not given. */
struct layers_from {
	const char *source; /* SOURCE */
	const char *mounts; /* --mounts=FILE, "-" is stdin */
	const char *bundle; /* --bundle=DIR */
};
