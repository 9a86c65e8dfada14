/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/ctl/toml.h"

#include <stdio.h>
#include <string.h>

#define BLANKS " \t\r"

/* Whether a line "[table]" names *name*: the dots within a quoted part count as those between. */
static bool names_table(const char *line, size_t length, const char *name)
{
	for (size_t i = 1; i < length; i++) {
		if (line[i] == ']')
			return !*name;
		if (strchr("\"'" BLANKS, line[i]))
			continue;
		if (line[i] != *name++)
			return false;
	}
	return false;
}

/* The value in a line "key = 'value'", of *ret_size* bytes, or NULL. */
static const char *find_value(const char *line, size_t length, const char *key, size_t *ret_size)
{
	const char *end = line + length, *close;

	if (strncmp(line, key, strlen(key)) != 0)
		return NULL;
	line += strlen(key);
	line += strspn(line, BLANKS);
	if (*line++ != '=')
		return NULL;
	line += strspn(line, BLANKS);
	if (*line != '"' && *line != '\'')
		return NULL;
	close = strchr(line + 1, *line);
	if (!close || close > end)
		return NULL;
	*ret_size = (size_t)(close - line - 1);
	return line + 1;
}

bool toml_string(const char *text, const char *name, const char *key, char *ret, size_t size)
{
	bool inside = false, found = false;

	while (*text) {
		const char *value;
		size_t length, n;

		text += strspn(text, BLANKS "\n");
		length = strcspn(text, "\n");
		value = inside ? find_value(text, length, key, &n) : NULL;
		if (*text == '[')
			inside = names_table(text, length, name);
		if (value) {
			snprintf(ret, size, "%.*s", (int)n, value);
			found = true;
		}
		text += length;
	}
	return found;
}
