/* SPDX-License-Identifier: Apache-2.0 */
/* Mount options as they are typed; the layers in them against a second reading of the grammar. */
#include <string.h>

#include "fuse/cli/options.h"
#include "tests/fuzz/check.h"

/* Takes one character, which a backslash before it makes a plain one; none at the very end. */
static bool next_char(const char **p, char *ret)
{
	bool escaped = (*p)[0] == '\\';

	*ret = (*p)[escaped];
	*p += escaped + (*ret != '\0');
	return escaped && *ret;
}

/* Cuts the parts of a lowerdir= at *p up to the comma that ends it. */
static void read_lowerdir(const char *p, struct strings *ret)
{
	cleanup_free char *part = strdup(p);
	size_t n = 0;
	bool plain;
	char c;

	require(part, "there is memory for a layer");
	strings_clear(ret);
	do {
		plain = !next_char(&p, &c);
		if (plain && (c == ':' || c == ',' || !c)) {
			part[n] = '\0';
			if (n > 0)
				require(strings_take(ret, strdup(part)) == 0, "there is memory");
			n = 0;
		} else {
			part[n++] = c;
		}
	} while (!plain || (c && c != ','));
}

static void read_lowerdir_plus(const char *p, struct strings *ret)
{
	const char *end = p;
	char c;

	while (*end && *end != ',')
		next_char(&end, &c);
	require(strings_take(ret, strndup(p, end - p)) == 0, "there is memory for a layer");
}

/* What a list that was accepted says of layers. */
static void read_layers(const char *list, struct strings *ret)
{
	bool plain = true;
	char c = ',';

	while (c) {
		if (plain && c == ',' && strncmp(list, "lowerdir=", 9) == 0)
			read_lowerdir(list + 9, ret);
		if (plain && c == ',' && strncmp(list, "lowerdir+=", 10) == 0)
			read_lowerdir_plus(list + 10, ret);
		plain = !next_char(&list, &c);
	}
}

static void compare_layers(const char *list, const struct strings *got)
{
	cleanup_with(strings_clear) struct strings expected = {};

	read_layers(list, &expected);
	require(expected.count == got->count, "there are as many layers as expected");
	for (size_t i = 0; i < got->count; i++)
		require(strcmp(expected.items[i], got->items[i]) == 0, "a layer is as expected");
}

static void check_options(const struct options *options)
{
	require(!options->basedir || *options->basedir, "basedir= is not empty");
	require(!options->binary || *options->binary, "binary= is not empty");
	require(!options->initrd || *options->initrd, "initrd= is not empty");
	require(!options->id || (*options->id && strlen(options->id) <= ID_MAX), "id= has a size");
	require(options->timeout >= 1 && options->timeout <= TIMEOUT_MAX, "timeout= has limits");
	require(options->uid >= -1 && options->uid < UINT32_MAX, "uid= is an owner");
	require(options->gid >= -1 && options->gid < UINT32_MAX, "gid= is a group");
	require(options->mode == OWNER_OF_LAYER || (options->mode & ~0555) == 0,
		"mode= has no write bits");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	cleanup_free char *list = input_string(data, size);
	cleanup_free char *changed = input_string(data, size);
	VIEW_ERROR(error);
	cleanup_with(options_done) struct options options = OPTIONS_INIT;
	int r = options_parse(&options, changed, &error);

	require_reason(r, &error);
	require(r == 0 || error.code == CODE_EUSAGE, "the call's words are to blame");
	require_sound_overlay(&options.overlay);
	check_options(&options);
	if (r == 0)
		compare_layers(list, &options.overlay.lowers);
	return 0;
}
