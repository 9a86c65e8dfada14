/* SPDX-License-Identifier: Apache-2.0 */
/* The mount options, as typed after -o. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "fuse/base/digest.h"
#include "fuse/base/error.h"
#include "fuse/cli/overlay-options.h"

enum {
	TIMEOUT_DEFAULT = 10, /* seconds */
	TIMEOUT_MAX = 86400,
	ID_MAX = 255, /* bytes of a container id */
};

#define STORE_SIZE_DEFAULT (UINT64_C(4) << 30)

enum resolve_when { RESOLVE_LAZY, RESOLVE_READY };
enum decode_rule { DECODE_STRICT, DECODE_AUTO };

enum passthrough_wish { PASSTHROUGH_AUTO, PASSTHROUGH_ON, PASSTHROUGH_OFF };

enum sandbox_wish { SANDBOX_AUTO, SANDBOX_REQUIRE };

enum survive_wish { SURVIVE_OFF, SURVIVE_ON };

enum ingest_when {
	INGEST_BY_SOURCE = -1, /* not given: wait for --oci, else later */
	INGEST_LATER,
	INGEST_WAIT,
	INGEST_NO,
};

enum toc_wish { TOC_AUTO, TOC_OFF };

/* Artifacts that must have a digest. */
enum pin { PIN_CONFIG, PIN_BINARY, PIN_INITRD, PINS };

/* The artifacts' roles, as ready lines name them. */
#define NAME_CONFIG "config"
#define NAME_BINARY "binary"
#define NAME_INITRD "initrd"

#define OWNER_OF_LAYER (-1) /* uid, gid, mode: the layer's own */

struct options {
	struct overlay_options overlay; /* lowerdir= and its kin */
	char *platform;			/* OS/ARCH[/VARIANT]; NULL: the host's */
	char *basedir;
	char *binary, *initrd; /* NULL: what the image says */
	char *id;
	char *cache;	     /* of layers: a directory, or "none"; NULL: as it fits */
	char *store;	     /* the artifact store's directory; NULL: as it fits */
	uint64_t store_size; /* bytes */
	unsigned timeout;    /* seconds */

	enum resolve_when resolve;
	enum decode_rule decode;
	enum passthrough_wish passthrough;
	enum sandbox_wish sandbox;
	enum survive_wish survive;
	struct digest_wish pins[PINS];
	enum ingest_when ingest;
	enum toc_wish toc;
	int64_t uid, gid;
	int mode; /* permission bits without those for writing */
};

#define OPTIONS_INIT                                        \
	((struct options){.timeout = TIMEOUT_DEFAULT,       \
			  .store_size = STORE_SIZE_DEFAULT, \
			  .ingest = INGEST_BY_SOURCE,       \
			  .uid = OWNER_OF_LAYER,            \
			  .gid = OWNER_OF_LAYER,            \
			  .mode = OWNER_OF_LAYER})

/*
 * Cuts the next option off *rest*, in place: at the first comma that has no backslash before it and
 * is not in the quotes of SELinux's context="…". Returns: the option, or NULL at the end.
 */
char *options_next(char **rest);

/*
 * Reads a comma-separated list, as mount(8) hands it on; *list* is changed.
 * Returns: 0, or < 0 with *error*.
 */
int options_parse(struct options *options, char *list, struct view_error *error);

/* Whether an option has this name, even a rejected one. */
bool options_know(const char *name);

void options_done(struct options *options);
DEFINE_CLEANUP(struct options, options_done)

/* Prints the mount options for --help. */
void options_help(void);

/* Prints the names of the options that are not rejected, as the items of a JSON array. */
void options_print_names(void);
