/* SPDX-License-Identifier: Apache-2.0 */
/* A table of contents, of either form: its reader ends, and what it says can be unpacked. */
#include <errno.h>
#include <string.h>

#include "layerindex/blob/toc.h"
#include "tests/fuzz/check.h"
#include "tests/tools/whole-layers.h"

struct input {
	const uint8_t *data;
	size_t size;
};

/* In pieces of a few bytes: a border is everywhere. */
static ssize_t read_input(void *from, void *buffer, size_t n)
{
	struct input *input = from;

	if (n > 7)
		n = 7;
	if (n > input->size)
		n = input->size;
	memcpy(buffer, input->data, n);
	input->data += n;
	input->size -= n;
	return (ssize_t)n;
}

static int check_range(void *context, uint32_t layer, uint64_t entry, const struct toc_range *range)
{
	enum toc_form *form = context;

	(void)entry;
	require(layer == 0, "there is one layer");
	require(range->offset > 0 && range->skip >= 0, "a range is in the blob");
	require(*form == TOC_ESTARGZ || range->end > range->offset, "it has an end, or none");
	return 0;
}

/* The first byte says which form. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	enum toc_form form = size > 0 && data[0] & 1 ? TOC_ESTARGZ : TOC_CHUNKED;
	struct input input = {data + (size > 0), size - (size > 0)};
	struct toc *toc = toc_new(form, read_input, &input);
	char path[APPLY_PATH_SIZE];
	const struct tree_file *file;
	struct apply apply;
	int r;

	require(toc && apply_init(&apply, false) == 0, "there is memory");
	r = whole_table(&apply, toc, check_range, &form);
	require(r == 0 || r == -EBADMSG || r == -E2BIG || r == -EPROTONOSUPPORT,
		"a table is read, or refused");
	if (r == 0)
		apply_find(&apply, "urunc.json", &file, path);
	apply_done(&apply);
	toc_free(toc);
	return 0;
}
