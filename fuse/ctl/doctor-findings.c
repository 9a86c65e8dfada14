/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/ctl/doctor-findings.h"

#include <stdarg.h>

#include "fuse/base/text.h"
#include "layerindex/array.h"

void findings_add(struct findings *findings, enum severity severity, const char *subject,
		  const char *fix, const char *format, ...)
{
	cleanup_free char *text = NULL;
	struct finding finding = {.severity = severity, .subject = subject, .fix = fix};
	struct finding *items;
	va_list args;

	va_start(args, format);
	text = text_vformat(format, args);
	va_end(args);
	finding.text = text ? text_printable(text) : NULL;
	items = array_grow(findings->items, findings->count, &findings->capacity, sizeof(*items));
	findings->items = items ? items : findings->items;
	if (!finding.text || !items) {
		free(finding.text);
		findings->no_memory = true;
		return;
	}
	findings->items[findings->count++] = finding;
}

void findings_done(struct findings *findings)
{
	for (size_t i = 0; i < findings->count; i++)
		free(findings->items[i].text);
	free(findings->items);
	*findings = (struct findings){};
}
