/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "fuse/base/text.h"

/* Names in place here and in the like: a pointer is a relocation in every view's memory. */
static const struct {
	char name[16];
	int exit;
} codes[] = {
	[CODE_NONE] = {"NONE", 0},
	[CODE_EUSAGE] = {"EUSAGE", 1},
	[CODE_ENOTAPPLICABLE] = {"ENOTAPPLICABLE", 32},
	[CODE_ELAYER] = {"ELAYER", 32},
	[CODE_ECONFIG] = {"ECONFIG", 32},
	[CODE_ENOARTIFACT] = {"ENOARTIFACT", 32},
	[CODE_EARTIFACT] = {"EARTIFACT", 32},
	[CODE_EDIGEST] = {"EDIGEST", 32},
	[CODE_EMOUNT] = {"EMOUNT", 32},
	[CODE_ESYSTEM] = {"ESYSTEM", 2},
	[CODE_BUG] = {"ESYSTEM", 4},
};

int view_fail(struct view_error *error, enum view_code code, const char *format, ...)
{
	char raw[MESSAGE_SIZE];
	va_list args;

	if (error->code != CODE_NONE)
		return -ECANCELED;
	error->code = code;
	va_start(args, format);
	vsnprintf(raw, sizeof(raw), format, args);
	va_end(args);
	escape_unprintable(error->message, sizeof(error->message), raw);
	return -ECANCELED;
}

void view_hint(struct view_error *error, const char *format, ...)
{
	size_t n = strlen(error->message);
	char raw[MESSAGE_SIZE];
	va_list args;

	va_start(args, format);
	vsnprintf(raw, sizeof(raw), format, args);
	va_end(args);
	escape_unprintable(error->message + n, sizeof(error->message) - n, raw);
}

bool is_resource_error(int r)
{
	return r == -ENOMEM || r == -EMFILE || r == -ENFILE;
}

const char *view_code_name(enum view_code code)
{
	return codes[code].name;
}

enum view_code view_code_of(const char *name)
{
	for (int code = CODE_EUSAGE; code < CODE_BUG; code++)
		if (strcmp(codes[code].name, name) == 0)
			return (enum view_code)code;
	return CODE_BUG;
}

int view_code_exit(enum view_code code)
{
	return codes[code].exit;
}
