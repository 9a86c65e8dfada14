/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/ctl/checkup.h"

#include <stdarg.h>
#include <stdio.h>

#include "fuse/base/array.h"
#include "fuse/base/text.h"

void checkup_add(struct checkup *checkup, enum severity severity, const char *subject,
		 const char *fix, const char *format, ...)
{
	cleanup_free char *text = NULL;
	struct finding finding = {.severity = severity, .subject = subject, .fix = fix};
	struct finding *items;
	va_list args;

	va_start(args, format);
	if (vasprintf(&text, format, args) < 0)
		text = NULL;
	va_end(args);
	finding.text = text ? text_printable(text) : NULL;
	items = array_grow(checkup->items, checkup->count, &checkup->capacity, sizeof(*items));
	checkup->items = items ? items : checkup->items;
	if (!finding.text || !items) {
		free(finding.text);
		checkup->no_memory = true;
		return;
	}
	checkup->items[checkup->count++] = finding;
}

void checkup_done(struct checkup *checkup)
{
	for (size_t i = 0; i < checkup->count; i++)
		free(checkup->items[i].text);
	free(checkup->items);
	*checkup = (struct checkup){};
}
