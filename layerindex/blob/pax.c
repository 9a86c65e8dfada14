/* SPDX-License-Identifier: Apache-2.0 */
/* Rules: parsePAX(), parsePAXRecord() and validPAXRecord() of Go's archive/tar. */
#include "layerindex/blob/pax.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "layerindex/cleanup.h"

enum { RECORD_MIN = 5 };

static const char *const names[PAX_KEYS] = {
	[PAX_PATH] = "path",
	[PAX_LINKPATH] = "linkpath",
	[PAX_SIZE] = "size",
	[PAX_UID] = "uid",
	[PAX_GID] = "gid",
	[PAX_MTIME] = "mtime",
	[PAX_ATIME] = "atime",
	[PAX_CTIME] = "ctime",
	[PAX_SPARSE_MAJOR] = "GNU.sparse.major",
	[PAX_SPARSE_MINOR] = "GNU.sparse.minor",
	[PAX_SPARSE_NAME] = "GNU.sparse.name",
	[PAX_SPARSE_SIZE] = "GNU.sparse.size",
	[PAX_SPARSE_REALSIZE] = "GNU.sparse.realsize",
	[PAX_SPARSE_COUNT] = "GNU.sparse.numblocks",
	[PAX_SPARSE_MAP] = "GNU.sparse.map",
};

/* The offsets and lengths of a sparse file of version 0.0, which come in records of their own. */
struct regions {
	char *text;
	size_t length, count;
};

void pax_done(struct pax *pax)
{
	free(TAKE_PTR(pax->map));
	memset(pax->values, 0, sizeof(pax->values));
}

static bool is(struct span span, const char *text)
{
	return span.length == strlen(text) && memcmp(span.text, text, span.length) == 0;
}

/* A NUL may stand in the value of a record that names nothing. */
static bool is_valid(struct span key, struct span value)
{
	bool is_name =
		is(key, "path") || is(key, "linkpath") || is(key, "uname") || is(key, "gname");
	struct span checked = is_name ? value : key;

	return key.length > 0 && !memchr(checked.text, '\0', checked.length);
}

/* One record: "LENGTH KEY=VALUE\n", LENGTH of all of it. *text is moved behind it. */
static int parse_record(struct span *text, struct span *ret_key, struct span *ret_value)
{
	const char *space = memchr(text->text, ' ', text->length);
	size_t digits = space ? (size_t)(space - text->text) : 0;
	const char *equals;
	struct span record;
	int64_t length;

	if (!space || tar_parse_int((struct span){text->text, digits}, &length) < 0)
		return -EBADMSG;
	if (length < RECORD_MIN || (uint64_t)length > text->length || (size_t)length <= digits + 1)
		return -EBADMSG;
	record = (struct span){space + 1, (size_t)length - digits - 2};
	if (record.text[record.length] != '\n')
		return -EBADMSG;
	equals = memchr(record.text, '=', record.length);
	if (!equals)
		return -EBADMSG;
	*ret_key = (struct span){record.text, (size_t)(equals - record.text)};
	*ret_value = (struct span){equals + 1, record.length - ret_key->length - 1};
	text->text += length;
	text->length -= (size_t)length;
	return is_valid(*ret_key, *ret_value) ? 0 : -EBADMSG;
}

/* An offset, then a length, and so on; *most* is how long all of them can become. */
static int add_region(struct regions *regions, bool is_length, struct span value, size_t most)
{
	if ((regions->count % 2 == 1) != is_length || memchr(value.text, ',', value.length))
		return -EBADMSG;
	if (!regions->text)
		regions->text = malloc(most);
	if (!regions->text)
		return -ENOMEM;
	if (regions->count++ > 0)
		regions->text[regions->length++] = ',';
	memcpy(regions->text + regions->length, value.text, value.length);
	regions->length += value.length;
	return 0;
}

static int add(struct pax *pax, struct regions *regions, struct span key, struct span value,
	       size_t most)
{
	if (is(key, "GNU.sparse.offset") || is(key, "GNU.sparse.numbytes"))
		return add_region(regions, is(key, "GNU.sparse.numbytes"), value, most);
	for (int i = 0; i < PAX_KEYS; i++)
		if (is(key, names[i]))
			pax->values[i] = value;
	return 0;
}

int pax_parse(char *text, size_t length, struct pax *ret)
{
	struct span rest = {text, length};
	struct regions regions = {};
	int r = 0;

	*ret = (struct pax){};
	while (r == 0 && rest.length > 0) {
		struct span key, value;

		r = parse_record(&rest, &key, &value);
		if (r < 0)
			break;
		/* In place of the newline: what names a file can be used as a C string. */
		text[rest.text - text - 1] = '\0';
		r = add(ret, &regions, key, value, length);
	}
	if (r < 0) {
		free(regions.text);
		return r;
	}
	if (regions.count > 0) {
		ret->map = regions.text;
		ret->values[PAX_SPARSE_MAP] = (struct span){regions.text, regions.length};
	}
	return 0;
}
