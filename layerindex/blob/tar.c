/* SPDX-License-Identifier: Apache-2.0 */
/* Rules: Reader.next() of Go's archive/tar. */
#include "layerindex/blob/tar.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "layerindex/blob/pax.h"
#include "layerindex/blob/sparse.h"
#include "layerindex/blob/tar-header.h"
#include "layerindex/cleanup.h"

/* What was said ahead of a file about it. */
struct ahead {
	char *pax_text, *long_name, *long_link; /* owned */
	struct pax pax;
};

struct tar {
	tar_source source;
	void *from;
	struct ahead ahead;
	struct sparse sparse;
	struct tar_header header;
	char *sparse_name; /* owned */
	int64_t held;	   /* bytes of content that the archive still has of this file */
	size_t padding;	   /* bytes behind them */
	int64_t position;  /* in the content, holes included */
	int64_t size;	   /* of the content */
	size_t region;	   /* the next one of a sparse file */
};

struct tar *tar_new(tar_source source, void *from)
{
	struct tar *tar = calloc(1, sizeof(*tar));

	if (tar) {
		tar->source = source;
		tar->from = from;
	}
	return tar;
}

static void ahead_done(struct ahead *ahead)
{
	free(ahead->pax_text);
	free(ahead->long_name);
	free(ahead->long_link);
	pax_done(&ahead->pax);
	*ahead = (struct ahead){};
}

void tar_free(struct tar *tar)
{
	if (!tar)
		return;
	ahead_done(&tar->ahead);
	sparse_done(&tar->sparse);
	free(tar->sparse_name);
	free(tar);
}

/* Reads *n* bytes, or fewer where the archive ends. Returns: how many, or -errno. */
static ssize_t read_up_to(struct tar *tar, void *buffer, size_t n)
{
	size_t done = 0;

	while (done < n) {
		ssize_t r = tar->source(tar->from, (char *)buffer + done, n - done);

		if (r < 0)
			return r;
		if (r == 0)
			break;
		done += (size_t)r;
	}
	return (ssize_t)done;
}

/* Reads *n* bytes. Returns: 0; -EBADMSG: there are fewer; or -errno. */
static int read_exactly(struct tar *tar, void *buffer, size_t n)
{
	ssize_t r = read_up_to(tar, buffer, n);

	if (r < 0)
		return (int)r;
	return (size_t)r == n ? 0 : -EBADMSG;
}

/* Skips what is left of a file. Returns: 1; 0: the archive ends in its padding; or -errno. */
static int skip_content(struct tar *tar)
{
	char buffer[128 * TAR_BLOCK];
	ssize_t n;

	while (tar->held > 0) {
		size_t part =
			tar->held < (int64_t)sizeof(buffer) ? (size_t)tar->held : sizeof(buffer);
		int r = read_exactly(tar, buffer, part);

		if (r < 0)
			return r;
		tar->held -= (int64_t)part;
	}
	n = read_up_to(tar, buffer, tar->padding);
	if (n < 0)
		return (int)n;
	return (size_t)n == TAKE(tar->padding, 0) ? 1 : 0;
}

/* Reads a header. Returns: 1; 0 at the archive's end, which two blocks of zeros mark; or -errno. */
static int read_header(struct tar *tar)
{
	static const char zeros[TAR_BLOCK];
	char block[TAR_BLOCK];

	for (int ends = 0;; ends++) {
		ssize_t n = read_up_to(tar, block, sizeof(block));
		int r;

		if (n <= 0)
			return (int)n;
		if (n < TAR_BLOCK)
			return -EBADMSG;
		if (memcmp(block, zeros, sizeof(block)) != 0) {
			r = ends == 0 ? tar_header_parse(block, &tar->header) : -EBADMSG;
			return r < 0 ? r : 1;
		}
		if (ends == 1)
			return 0;
	}
}

static struct tar_entry entry_of(const struct tar_header *header)
{
	return (struct tar_entry){
		.name = header->name,
		.link = header->link,
		.type = header->type,
		.size = header->size,
		.mode = header->mode,
		.uid = header->uid,
		.gid = header->gid,
		.mtime = {.tv_sec = header->mtime},
	};
}

/* Types without content, whatever size their headers tell. */
static bool is_header_only(char type)
{
	return type >= '1' && type <= '6';
}

/* Begins a file's content. */
static int start_content(struct tar *tar, const struct tar_entry *entry)
{
	tar->held = is_header_only(entry->type) ? 0 : entry->size;
	tar->size = tar->held;
	tar->position = 0;
	tar->region = 0;
	if (tar->held < 0)
		return -EBADMSG;
	tar->padding = (size_t)(-tar->held & (TAR_BLOCK - 1));
	return 0;
}

/* The content of a header that is about the next one; owned, ended by a NUL that does not count. */
static int read_special(struct tar *tar, char **ret, size_t *ret_size)
{
	size_t n = (size_t)tar->held;
	cleanup_free char *text = NULL;
	int r;

	if (tar->held > TAR_SPECIAL_MAX)
		return -EBADMSG;
	text = malloc(n + 1);
	if (!text)
		return -ENOMEM;
	r = read_exactly(tar, text, n);
	if (r < 0)
		return r;
	tar->held = 0;
	text[n] = '\0';
	*ret = TAKE_PTR(text);
	*ret_size = n;
	return 0;
}

static void replace(char **text, char *with)
{
	free(*text);
	*text = with;
}

/* Takes a header that is about the next one. Returns: > 0; 0: it is a file's own; or -errno. */
static int take_special(struct tar *tar, char type)
{
	struct ahead *ahead = &tar->ahead;
	char *text;
	size_t size;
	int r;

	if (type != 'x' && type != 'g' && type != 'L' && type != 'K')
		return 0;
	r = read_special(tar, &text, &size);
	if (r < 0)
		return r;
	if (type == 'L') {
		replace(&ahead->long_name, text);
		return 1;
	}
	if (type == 'K') {
		replace(&ahead->long_link, text);
		return 1;
	}
	replace(&ahead->pax_text, text);
	pax_done(&ahead->pax);
	r = pax_parse(text, size, &ahead->pax);
	if (r < 0)
		return r;
	/* A global one is handed out: containerd treats it as a file of no effect. */
	return type == 'x' ? 1 : 0;
}

static int merge_numbers(const struct pax *pax, struct tar_entry *entry)
{
	const struct span *values = pax->values;
	struct timespec ignored;
	int64_t *const numbers[PAX_KEYS] = {
		[PAX_SIZE] = &entry->size,
		[PAX_UID] = &entry->uid,
		[PAX_GID] = &entry->gid,
	};
	struct timespec *const times[PAX_KEYS] = {
		[PAX_MTIME] = &entry->mtime,
		[PAX_ATIME] = &ignored,
		[PAX_CTIME] = &ignored,
	};

	for (int i = 0; i < PAX_KEYS; i++) {
		int r = 0;

		if (values[i].length == 0)
			continue;
		if (numbers[i])
			r = tar_parse_int(values[i], numbers[i]);
		else if (times[i])
			r = tar_parse_time(values[i], times[i]);
		if (r < 0)
			return r;
	}
	return 0;
}

/* What was said ahead replaces what the header says; a GNU name replaces a PAX path. */
static int merge_ahead(struct ahead *ahead, struct tar_entry *entry)
{
	const struct span *values = ahead->pax.values;
	int r = merge_numbers(&ahead->pax, entry);

	if (r < 0)
		return r;
	if (values[PAX_PATH].length > 0)
		entry->name = values[PAX_PATH].text;
	if (values[PAX_LINKPATH].length > 0)
		entry->link = values[PAX_LINKPATH].text;
	if (ahead->long_name && *ahead->long_name)
		entry->name = ahead->long_name;
	if (ahead->long_link && *ahead->long_link)
		entry->link = ahead->long_link;
	return 0;
}

/* A global header has its own path, if it tells one; nothing else of it counts. */
static int take_global(const struct ahead *ahead, struct tar_entry *entry)
{
	if (ahead->pax.values[PAX_PATH].length > 0)
		entry->name = ahead->pax.values[PAX_PATH].text;
	return 0;
}

static bool equals(struct span span, const char *text)
{
	return span.length == strlen(text) && memcmp(span.text, text, span.length) == 0;
}

/* Returns: 0: no sparse file in PAX form; 1: its map is in the records; 2: in the content. */
static int sparse_form(const struct pax *pax)
{
	struct span major = pax->values[PAX_SPARSE_MAJOR], minor = pax->values[PAX_SPARSE_MINOR];

	if (equals(major, "0") && (equals(minor, "0") || equals(minor, "1")))
		return 1;
	if (equals(major, "1") && equals(minor, "0"))
		return 2;
	if (major.length > 0 || minor.length > 0)
		return 0;
	return pax->values[PAX_SPARSE_MAP].length > 0 ? 1 : 0;
}

/* A number of the map that begins a sparse file's content: decimal, ended by a newline. *block* is
 * what was read of the content, of which *at* bytes were parsed. */
static int next_map_number(struct tar *tar, char block[TAR_BLOCK], size_t *at, int64_t *ret)
{
	char text[32];
	size_t n = 0;

	for (;;) {
		if (*at == TAR_BLOCK) {
			int r;

			if (tar->held < TAR_BLOCK)
				return -EBADMSG;
			r = read_exactly(tar, block, TAR_BLOCK);
			if (r < 0)
				return r;
			tar->held -= TAR_BLOCK;
			*at = 0;
		}
		if (block[(*at)++] == '\n')
			return tar_parse_int((struct span){text, n}, ret);
		if (n == sizeof(text))
			return -EBADMSG;
		text[n++] = block[*at - 1];
	}
}

static int read_sparse_map(struct tar *tar)
{
	char block[TAR_BLOCK] = {};
	size_t at = TAR_BLOCK;
	int64_t count;
	int r = next_map_number(tar, block, &at, &count);

	tar->sparse.used = true;
	if (r < 0 || count < 0)
		return r < 0 ? r : -EBADMSG;
	for (int64_t i = 0; i < count && r == 0; i++) {
		struct region region;

		r = next_map_number(tar, block, &at, &region.offset);
		if (r == 0)
			r = next_map_number(tar, block, &at, &region.length);
		if (r == 0)
			r = sparse_add(&tar->sparse, region);
	}
	return r;
}

/* The name of a sparse file may hold a NUL, which no file's name may. */
static int take_sparse_name(struct tar *tar, struct span name, struct tar_entry *entry)
{
	if (name.length == 0)
		return 0;
	if (memchr(name.text, '\0', name.length))
		return -EBADMSG;
	replace(&tar->sparse_name, strndup(name.text, name.length));
	entry->name = tar->sparse_name;
	return entry->name ? 0 : -ENOMEM;
}

static int take_sparse(struct tar *tar, struct tar_entry *entry)
{
	const struct span *values = tar->ahead.pax.values;
	struct span size = values[PAX_SPARSE_SIZE];
	int form = sparse_form(&tar->ahead.pax);
	int r;

	if (form == 0)
		return 0;
	r = take_sparse_name(tar, values[PAX_SPARSE_NAME], entry);
	if (r < 0)
		return r;
	if (size.length == 0)
		size = values[PAX_SPARSE_REALSIZE];
	if (size.length > 0 && tar_parse_int(size, &entry->size) < 0)
		return -EBADMSG;
	r = form == 1 ? sparse_parse(&tar->sparse, values[PAX_SPARSE_COUNT], values[PAX_SPARSE_MAP])
		      : read_sparse_map(tar);
	if (r < 0)
		return r;
	if (is_header_only(entry->type) || !sparse_is_valid(&tar->sparse, entry->size, tar->held))
		return -EBADMSG;
	tar->size = entry->size;
	return 0;
}

static int take_file(struct tar *tar, struct tar_entry *entry)
{
	int r = merge_ahead(&tar->ahead, entry);
	size_t length;

	if (r < 0)
		return r;
	length = strlen(entry->name);
	if (entry->type == '\0')
		entry->type = length > 0 && entry->name[length - 1] == '/' ? '5' : '0';
	r = start_content(tar, entry);
	return r < 0 ? r : take_sparse(tar, entry);
}

int tar_next(struct tar *tar, struct tar_entry *ret)
{
	int r;

	ahead_done(&tar->ahead);
	sparse_done(&tar->sparse);
	do {
		r = skip_content(tar);
		if (r <= 0)
			return r;
		r = read_header(tar);
		if (r <= 0)
			return r;
		*ret = entry_of(&tar->header);
		r = start_content(tar, ret);
		if (r == 0)
			r = take_special(tar, ret->type);
	} while (r > 0);
	if (r == 0)
		r = ret->type == 'g' ? take_global(&tar->ahead, ret) : take_file(tar, ret);
	return r < 0 ? r : 1;
}

/* How many bytes can be read at this position in one piece, and whether they are a hole. */
static int64_t piece(struct tar *tar, bool *ret_hole)
{
	const struct sparse *sparse = &tar->sparse;

	*ret_hole = false;
	if (!sparse->used)
		return tar->held;
	for (; tar->region < sparse->count; tar->region++) {
		const struct region *region = &sparse->regions[tar->region];

		*ret_hole = tar->position < region->offset;
		if (*ret_hole)
			return region->offset - tar->position;
		if (tar->position < region->offset + region->length)
			return region->offset + region->length - tar->position;
	}
	*ret_hole = true;
	return tar->size - tar->position;
}

ssize_t tar_read(struct tar *tar, void *buffer, size_t n)
{
	bool hole;
	int64_t left = piece(tar, &hole);
	ssize_t r;

	if ((uint64_t)left < n)
		n = (size_t)left;
	if (n == 0)
		return 0;
	if (hole) {
		memset(buffer, 0, n);
		r = (ssize_t)n;
	} else {
		r = tar->source(tar->from, buffer, n);
		if (r <= 0)
			return r < 0 ? r : -EBADMSG;
		tar->held -= r;
	}
	tar->position += r;
	return r;
}
